package contract

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// answer is the outcome of one request.
type answer struct {
	// value is the answer of a fetch.
	value any
	// replied is false if Reply was closed without a value, or the request is no fetch.
	replied bool
	// err is the error of the typed API; over the channel it is always nil.
	err error
}

// way is one of the ways to make requests of a module.
type way struct {
	name string
	// ask carries out a request and returns when it has been carried out. Over the channel that cannot be known for a set, so
	// it returns when the request has been sent.
	ask func(t testing.TB, s *subject, r *protocol.StorageRequest) answer
	// typed is true if errors are returned.
	typed bool
}

// ways are all the ways to make requests. The typed ones are skipped if the module has no typed API.
var ways = []way{
	{name: "channel", ask: overChannel},
	{name: "typed", ask: overStore, typed: true},
	{name: "typed fetch", ask: overFetch, typed: true},
}

// wayNamed returns a way by its name.
func wayNamed(name string) way {
	for _, w := range ways {
		if w.name == name {
			return w
		}
	}
	panic("no way named " + name)
}

// isFetch reports whether a request type has an answer.
func isFetch(r *protocol.StorageRequest) bool {
	switch r.RequestType {
	case protocol.StorageFetchClusters, protocol.StorageFetchConsumers, protocol.StorageFetchTopics,
		protocol.StorageFetchConsumer, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		return true
	}
	return false
}

// overChannel sends a request and, if it is a fetch, awaits its answer.
func overChannel(t testing.TB, s *subject, r *protocol.StorageRequest) answer {
	t.Helper()
	request := *r
	if isFetch(&request) {
		// The partition decides, so that Replies with and without room are both covered.
		request.Reply = make(chan any, int(request.Partition)&1)
	}
	sent := request
	send(t, s.channel, &request)
	if request.Reply == nil {
		return answer{}
	}
	got := await(t, request.Reply)
	require.Equal(t, sent, request, "the request was changed")
	return got
}

// send sends a request, or fails the test if the module does not take it.
func send(t testing.TB, channel chan *protocol.StorageRequest, request *protocol.StorageRequest) {
	t.Helper()
	select {
	case channel <- request:
		return
	default:
	}
	guard := time.NewTimer(hangGuard)
	defer guard.Stop()
	select {
	case channel <- request:
	case <-guard.C:
		require.FailNow(t, "the module receives no request")
	}
}

// await reads a Reply to its end and checks that it holds at most one value.
func await(t testing.TB, reply chan any) answer {
	t.Helper()
	guard := time.NewTimer(hangGuard)
	defer guard.Stop()
	var got answer
	for {
		select {
		case value, more := <-reply:
			if !more {
				return got
			}
			require.False(t, got.replied, "a second value on Reply: %v", value)
			got = answer{value: value, replied: true}
		case <-guard.C:
			require.FailNow(t, "Reply is neither answered nor closed")
		}
	}
}

// overStore carries out a request as its typed call.
func overStore(t testing.TB, s *subject, r *protocol.StorageRequest) answer {
	t.Helper()
	value, err := callStore(t, s, r)
	if err != nil {
		return answer{err: err}
	}
	return answer{value: value, replied: isFetch(r)}
}

// overFetch is overStore with fetches made as channel requests of the typed API.
func overFetch(t testing.TB, s *subject, r *protocol.StorageRequest) answer {
	t.Helper()
	if !isFetch(r) {
		return overStore(t, s, r)
	}
	request := *r
	build, err := s.store.Fetch(context.Background(), &request)
	require.Equal(t, *r, request, "the request was changed")
	if err != nil {
		return answer{err: err}
	}
	return answer{value: build(), replied: true}
}

func callStore(t testing.TB, s *subject, r *protocol.StorageRequest) (any, error) {
	ctx := context.Background()
	switch r.RequestType {
	case protocol.StorageSetBrokerOffset:
		return nil, s.store.SetEndOffset(ctx, r.Cluster, r.Topic, endOffsetOf(r))
	case protocol.StorageSetConsumerOffset:
		return nil, s.store.Commit(ctx, r.Cluster, r.Group, commitOf(r))
	case protocol.StorageSetConsumerOwner:
		return nil, s.store.SetOwner(ctx, r.Cluster, r.Group, protocol.PartitionOwner{
			Topic: r.Topic, Partition: r.Partition, Owner: r.Owner, ClientID: r.ClientID,
		})
	case protocol.StorageClearConsumerOwners:
		return nil, s.store.ClearOwners(ctx, r.Cluster, r.Group)
	case protocol.StorageSetDeleteTopic:
		return nil, s.store.DeleteTopic(ctx, r.Cluster, r.Topic)
	case protocol.StorageSetDeleteGroup:
		if r.Topic == "" {
			return nil, s.store.DeleteGroup(ctx, r.Cluster, r.Group)
		}
		return nil, s.store.DeleteGroupTopic(ctx, r.Cluster, r.Group, r.Topic)
	case protocol.StorageFetchClusters:
		names, err := s.store.Clusters(ctx)
		require.True(t, slices.IsSorted(names), "the clusters are not sorted: %q", names)
		return names, err
	case protocol.StorageFetchConsumers:
		names, err := s.store.Groups(ctx, r.Cluster)
		return collect(names, err)
	case protocol.StorageFetchTopics:
		names, err := s.store.Topics(ctx, r.Cluster)
		return collect(names, err)
	case protocol.StorageFetchConsumersForTopic:
		names, err := s.store.GroupsOfTopic(ctx, r.Cluster, r.Topic)
		return collect(names, err)
	case protocol.StorageFetchTopic:
		// The answer is appended to dst.
		got, err := s.store.EndOffsets(ctx, r.Cluster, r.Topic, []int64{-7})
		require.Equal(t, []int64{-7}, got[:min(1, len(got))], "EndOffsets changed what was in dst")
		return append([]int64{}, got[min(1, len(got)):]...), err
	case protocol.StorageFetchConsumer:
		group := protocol.Group{Topics: []protocol.GroupTopic{{Name: "left over"}}}
		asked := time.Now()
		err := s.store.Group(ctx, r.Cluster, r.Group, &group)
		if err != nil {
			require.Empty(t, group.Topics, "Group returned an error and a filled answer")
			return nil, err
		}
		checkMoments(t, &group, asked)
		return consumerTopics(&group, s.config.int("intervals", 10)), nil
	}
	return nil, errors.New("the typed API has no such request")
}

func collect(names func(func(string) bool), err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return append([]string{}, slices.Collect(names)...), nil
}

func endOffsetOf(r *protocol.StorageRequest) protocol.EndOffset {
	return protocol.EndOffset{
		Partition: r.Partition, TopicPartitionCount: r.TopicPartitionCount, Offset: r.Offset, Timestamp: r.Timestamp,
		LogStartOffset: r.LogStartOffset, TopicID: r.TopicID,
	}
}

func commitOf(r *protocol.StorageRequest) protocol.Commit {
	return protocol.Commit{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Order: r.Order, Timestamp: r.Timestamp,
	}
}

// consumerTopics converts a typed answer to that of the channel.
func consumerTopics(group *protocol.Group, intervals int) protocol.ConsumerTopics {
	topics := protocol.ConsumerTopics{}
	for _, topic := range group.Topics {
		partitions := protocol.ConsumerPartitions{}
		for _, p := range topic.Partitions {
			offsets := []*protocol.ConsumerOffset{}
			if len(p.Commits) > 0 {
				offsets = make([]*protocol.ConsumerOffset, max(0, intervals-len(p.Commits)))
			}
			for _, commit := range p.Commits {
				offset := &protocol.ConsumerOffset{
					Offset: commit.Offset, Order: commit.Order, Timestamp: commit.Timestamp,
					ObservedTimestamp: commit.ObservedTimestamp,
				}
				if commit.LagKnown {
					offset.Lag = &protocol.Lag{Value: commit.Lag}
				}
				offsets = append(offsets, offset)
			}
			partition := &protocol.ConsumerPartition{
				Offsets: offsets, BrokerOffsets: append([]int64{}, p.EndOffsets...),
				Owner: p.Owner, ClientID: p.ClientID, CurrentLag: p.CurrentLag, State: p.State,
			}
			if p.DifferenceKnown {
				partition.Difference = &p.Difference
			}
			if p.EndOffsetAge >= 0 {
				partition.EndOffsetAge = &protocol.Age{Duration: p.EndOffsetAge}
			}
			if p.LogStartOffset >= 0 {
				partition.LogStartOffset = &p.LogStartOffset
			}
			if p.TimeLag.Kind != protocol.TimeLagUnknown {
				partition.TimeLag = &p.TimeLag
			}
			if p.Lost > 0 {
				partition.Lost = &p.Lost
			}
			partitions = append(partitions, partition)
		}
		topics[topic.Name] = partitions
	}
	return topics
}

// dropReasons are the errors of a set that changed nothing.
var dropReasons = []error{
	storage.ErrUnknownCluster, storage.ErrUnknownGroup, storage.ErrUnknownTopic, storage.ErrUnknownPartition,
	storage.ErrFiltered, storage.ErrTooOld, storage.ErrDuplicate, storage.ErrBackfill, storage.ErrInvalid,
	storage.ErrStale,
}

// reason returns the drop reason of an error, or the error itself if it has none.
func reason(err error) error {
	for _, known := range dropReasons {
		if errors.Is(err, known) {
			return known
		}
	}
	return err
}

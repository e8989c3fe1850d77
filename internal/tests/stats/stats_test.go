package stats_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// outcomes are the numbers of requests of a type by outcome; "" is the outcome of those that succeeded.
type outcomes map[protocol.StorageRequestConstant]map[storage.Reason]uint64

func outcomesOf(stats storage.Stats) outcomes {
	all := outcomes{}
	for kind, of := range stats.Requests.ByType() {
		counted := maps.Clone(of.Dropped)
		if of.Done > 0 {
			if counted == nil {
				counted = map[storage.Reason]uint64{}
			}
			counted[""] = of.Done
		}
		if counted != nil {
			all[kind] = counted
		}
	}
	return all
}

// statsScript sends one request for each possible outcome of a type.
func statsScript(now int64) (requests []*protocol.StorageRequest, want outcomes) {
	want = outcomes{}
	add := func(outcome error, r protocol.StorageRequest) {
		if r.Cluster == "" {
			r.Cluster = "local"
		}
		requests = append(requests, &r)
		if want[r.RequestType] == nil {
			want[r.RequestType] = map[storage.Reason]uint64{}
		}
		want[r.RequestType][storage.ReasonOf(outcome)]++
	}
	end := protocol.StorageRequest{RequestType: protocol.StorageSetBrokerOffset, Topic: "topic", Offset: 100, TopicPartitionCount: 2}
	add(nil, end)
	add(nil, end)
	end.Partition = -1
	add(storage.ErrInvalid, end)
	end.Cluster = "nowhere"
	add(storage.ErrUnknownCluster, end)

	commit := func(outcome error, change func(*protocol.StorageRequest)) {
		r := *testkit.CommitOf("group", "topic", 0, 10, 0, now)
		change(&r)
		add(outcome, r)
	}
	commit(nil, func(*protocol.StorageRequest) {})
	for order := int64(10); order < 14; order++ {
		commit(nil, func(r *protocol.StorageRequest) { r.Order = order })
	}
	commit(storage.ErrDuplicate, func(r *protocol.StorageRequest) { r.Order = 13 })
	commit(storage.ErrBackfill, func(r *protocol.StorageRequest) { r.Order = 1 })
	commit(storage.ErrTooOld, func(r *protocol.StorageRequest) { r.Timestamp = 1 })
	commit(storage.ErrFiltered, func(r *protocol.StorageRequest) { r.Group = "denied" })
	commit(storage.ErrUnknownTopic, func(r *protocol.StorageRequest) { r.Topic = "none" })
	commit(storage.ErrUnknownPartition, func(r *protocol.StorageRequest) { r.Partition = 1 })
	commit(storage.ErrInvalid, func(r *protocol.StorageRequest) { r.Partition = -1 })
	commit(storage.ErrUnknownCluster, func(r *protocol.StorageRequest) { r.Cluster = "nowhere" })

	owner := func(outcome error, change func(*protocol.StorageRequest)) {
		r := protocol.StorageRequest{RequestType: protocol.StorageSetConsumerOwner, Group: "group", Topic: "topic", Owner: "host"}
		change(&r)
		add(outcome, r)
	}
	owner(nil, func(*protocol.StorageRequest) {})
	owner(storage.ErrFiltered, func(r *protocol.StorageRequest) { r.Group = "denied" })
	owner(storage.ErrUnknownTopic, func(r *protocol.StorageRequest) { r.Topic = "none" })
	owner(storage.ErrUnknownPartition, func(r *protocol.StorageRequest) { r.Partition = 1 })
	owner(storage.ErrInvalid, func(r *protocol.StorageRequest) { r.Partition = -1 })
	owner(storage.ErrUnknownCluster, func(r *protocol.StorageRequest) { r.Cluster = "nowhere" })

	named := func(outcome error, kind protocol.StorageRequestConstant, cluster, group, topic string) {
		add(outcome, protocol.StorageRequest{RequestType: kind, Cluster: cluster, Group: group, Topic: topic})
	}
	named(nil, protocol.StorageFetchClusters, "local", "", "")
	for _, kind := range []protocol.StorageRequestConstant{
		protocol.StorageFetchConsumers, protocol.StorageFetchTopics, protocol.StorageFetchConsumersForTopic,
		protocol.StorageFetchTopic, protocol.StorageFetchConsumer, protocol.StorageClearConsumerOwners,
	} {
		named(nil, kind, "LOCAL", "group", "topic")
		named(storage.ErrUnknownCluster, kind, "nowhere", "group", "topic")
	}
	named(nil, protocol.StorageFetchConsumersForTopic, "local", "", "none")
	named(storage.ErrUnknownTopic, protocol.StorageFetchTopic, "local", "", "none")
	named(storage.ErrUnknownGroup, protocol.StorageFetchConsumer, "local", "none", "")
	named(storage.ErrUnknownGroup, protocol.StorageClearConsumerOwners, "local", "none", "")

	named(storage.ErrUnknownCluster, protocol.StorageSetDeleteGroup, "nowhere", "group", "")
	named(storage.ErrUnknownGroup, protocol.StorageSetDeleteGroup, "local", "none", "")
	named(storage.ErrUnknownGroup, protocol.StorageSetDeleteGroup, "local", "none", "topic")
	named(storage.ErrUnknownTopic, protocol.StorageSetDeleteGroup, "local", "group", "none")
	named(nil, protocol.StorageSetDeleteGroup, "local", "group", "topic")
	named(storage.ErrUnknownCluster, protocol.StorageSetDeleteTopic, "nowhere", "", "topic")
	named(storage.ErrUnknownTopic, protocol.StorageSetDeleteTopic, "local", "", "none")
	named(nil, protocol.StorageSetDeleteTopic, "local", "", "topic")
	return requests, want
}

func isFetch(r *protocol.StorageRequest) bool {
	switch r.RequestType {
	case protocol.StorageFetchClusters, protocol.StorageFetchConsumers, protocol.StorageFetchTopics,
		protocol.StorageFetchConsumer, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		return true
	}
	return false
}

// TestStatsRequests produces every outcome over the channel and with typed calls: each is counted once, as it should be.
func TestStatsRequests(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*testkit.Service, *protocol.StorageRequest){
		"channel": func(s *testkit.Service, r *protocol.StorageRequest) {
			if isFetch(r) {
				s.Ask(r)
			} else {
				s.Send(r)
			}
		},
		"typed": func(s *testkit.Service, r *protocol.StorageRequest) { _ = callTyped(s.Store(), r) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.Started(t, testkit.Config("group-denylist", "^denied$"))
			require.Empty(t, outcomesOf(s.Stats()))
			requests, want := statsScript(time.Now().UnixMilli())
			for i, r := range requests {
				before := s.Stats()
				do(s, r)
				if !isFetch(r) && name == "channel" {
					s.Send(nil) // it takes effect after the one before
					require.Eventually(t, func() bool { return s.Stats().Relay.NilRequests == before.Relay.NilRequests+1 }, testkit.Patience, 1)
				}
				require.NotEqual(t, outcomesOf(before), outcomesOf(s.Stats()), "request %d was not counted", i)
			}
			require.Equal(t, want, outcomesOf(s.Stats()))
			stats := s.Stats()
			require.Zero(t, stats.Relay.NilReplies+stats.Relay.UnknownTypes+stats.Panics+stats.Relay.AbandonedReplies)
		})
	}
}

// callTyped makes the typed call for a request.
func callTyped(s storage.Store, r *protocol.StorageRequest) error {
	ctx := context.Background()
	var err error
	switch r.RequestType {
	case protocol.StorageSetBrokerOffset:
		err = s.SetEndOffset(ctx, r.Cluster, r.Topic, protocol.EndOffset{
			Partition: r.Partition, TopicPartitionCount: r.TopicPartitionCount, Offset: r.Offset, Timestamp: r.Timestamp,
		})
	case protocol.StorageSetConsumerOffset:
		err = s.Commit(ctx, r.Cluster, r.Group, protocol.Commit{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Order: r.Order, Timestamp: r.Timestamp,
		})
	case protocol.StorageSetConsumerOwner:
		err = s.SetOwner(ctx, r.Cluster, r.Group, protocol.PartitionOwner{
			Topic: r.Topic, Partition: r.Partition, Owner: r.Owner, ClientID: r.ClientID,
		})
	case protocol.StorageClearConsumerOwners:
		err = s.ClearOwners(ctx, r.Cluster, r.Group)
	case protocol.StorageSetDeleteTopic:
		err = s.DeleteTopic(ctx, r.Cluster, r.Topic)
	case protocol.StorageSetDeleteGroup:
		if r.Topic == "" {
			err = s.DeleteGroup(ctx, r.Cluster, r.Group)
		} else {
			err = s.DeleteGroupTopic(ctx, r.Cluster, r.Group, r.Topic)
		}
	case protocol.StorageFetchClusters:
		_, err = s.Clusters(ctx)
	case protocol.StorageFetchConsumers:
		_, err = s.Groups(ctx, r.Cluster)
	case protocol.StorageFetchTopics:
		_, err = s.Topics(ctx, r.Cluster)
	case protocol.StorageFetchConsumersForTopic:
		_, err = s.GroupsOfTopic(ctx, r.Cluster, r.Topic)
	case protocol.StorageFetchTopic:
		_, err = s.EndOffsets(ctx, r.Cluster, r.Topic, nil)
	case protocol.StorageFetchConsumer:
		err = s.Group(ctx, r.Cluster, r.Group, new(protocol.Group))
	}
	return err
}

// TestStatsBatches counts each element of a batch as a request.
func TestStatsBatches(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config())
	ctx, store, now := t.Context(), s.Store(), time.Now().UnixMilli()
	ends := []protocol.EndOffset{{TopicPartitionCount: 3, Offset: 100}, {Partition: -1}, {Partition: 1, Offset: 100}}
	commits := []protocol.Commit{
		{Topic: "topic", Timestamp: now}, {Topic: "none", Timestamp: now}, {Topic: "topic", Partition: 2, Timestamp: now},
		{Topic: "topic", Partition: 1, Timestamp: now}, {Topic: "topic", Timestamp: 1},
	}
	require.Error(t, store.SetEndOffsetBatch(ctx, "local", "topic", ends))
	require.Error(t, store.CommitBatch(ctx, "local", "group", commits))
	require.ErrorIs(t, store.SetEndOffsetBatch(ctx, "nowhere", "topic", ends), storage.ErrUnknownCluster)
	require.ErrorIs(t, store.CommitBatch(ctx, "nowhere", "group", commits), storage.ErrUnknownCluster)
	require.NoError(t, store.SetEndOffsetBatch(ctx, "local", "topic", nil))
	require.NoError(t, store.CommitBatch(ctx, "local", "group", nil))
	require.Equal(t, outcomes{
		protocol.StorageSetBrokerOffset: {"": 2, storage.ReasonInvalid: 1, storage.ReasonUnknownCluster: 3},
		protocol.StorageSetConsumerOffset: {
			"": 2, storage.ReasonUnknownTopic: 1, storage.ReasonUnknownPartition: 1, storage.ReasonTooOld: 1,
			storage.ReasonUnknownCluster: 5,
		},
	}, outcomesOf(s.Stats()))
}

// TestStatsFaults counts the faults of senders and the panics that they cause.
func TestStatsFaults(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Commits(10)
		for range 3 {
			s.Send(nil)
		}
		for range 2 {
			s.Send(testkit.FetchOf("group"))
		}
		for _, kind := range []protocol.StorageRequestConstant{-1 << 30, -1, protocol.StorageRequestConstant(protocol.StorageRequestTypes), 1000} {
			s.Send(&protocol.StorageRequest{RequestType: kind, Cluster: "local"})
		}
		closed := testkit.FetchOf("group")
		closed.Reply = make(chan any)
		close(closed.Reply)
		s.Send(closed)
		synctest.Wait()
		stats := s.Stats()
		require.EqualValues(t, 3, stats.Relay.NilRequests)
		require.EqualValues(t, 2, stats.Relay.NilReplies)
		require.EqualValues(t, 4, stats.Relay.UnknownTypes)
		require.EqualValues(t, 1, stats.Relay.ClosedReplies)
		require.Zero(t, stats.Panics)
		require.Zero(t, stats.Relay.WaitingReplies)
		require.Zero(t, stats.Relay.AbandonedReplies)
	})
}

// TestStatsReplies counts answers that wait for their requester, and those that were abandoned.
func TestStatsReplies(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Commits(10)
		var replies []chan any
		for range 5 {
			r := testkit.FetchOf("group")
			r.Reply = make(chan any)
			replies = append(replies, r.Reply)
			s.Send(r)
		}
		is := func(waiting int, abandoned uint64) {
			t.Helper()
			synctest.Wait()
			stats := s.Stats()
			require.Equal(t, waiting, stats.Relay.WaitingReplies)
			require.Equal(t, abandoned, stats.Relay.AbandonedReplies)
			require.Zero(t, stats.Relay.QueuedAnswers)
			require.Zero(t, stats.Relay.QueuedRequests)
		}
		is(5, 0)
		<-replies[0]
		<-replies[1]
		is(3, 0)
		time.Sleep(9 * time.Second)
		is(3, 0)
		time.Sleep(time.Second)
		is(0, 3)
		require.EqualValues(t, 5, s.Stats().Requests.FetchGroup.Done)
	}, "reply-timeout", 10)
}

// TestStatsWhileItStartsAndStops reads the statistics of a module while it is started and stopped.
func TestStatsWhileItStartsAndStops(t *testing.T) {
	t.Parallel()
	m := testkit.InMemory(t, testkit.Config()).(*storage.InMemoryStorage)
	stopped := func() {
		_, err := m.Stats()
		require.ErrorIs(t, err, storage.ErrStopped)
	}
	stopped()
	quit := make(chan struct{})
	var readers sync.WaitGroup
	readers.Add(1)
	go func() {
		defer readers.Done()
		for {
			select {
			case <-quit:
				return
			default:
				_, _ = m.Stats()
			}
		}
	}()
	for range 100 {
		require.NoError(t, m.Start())
		require.NoError(t, m.Stop())
		m.Configure("test", "storage.test")
	}
	close(quit)
	readers.Wait()
	stopped()
}

package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// logTopic is where groups commit.
const logTopic = "__consumer_offsets"

// The kinds of requests, as Status.Errors and Status.Refused name them.
const (
	askMetadata    = "metadata"
	askTopics      = "metadata of missing topics"
	askEnds        = "end offsets"
	askStarts      = "log start offsets"
	askGroups      = "list of groups"
	askCommits     = "committed offsets"
	askMissing     = "committed offsets of missing groups"
	askGone        = "committed offsets of missing partitions"
	askMembers     = "group members"
	askLog         = "read of " + logTopic
	askTimes       = "offsets by time"
	askConfigs     = "message.timestamp.type of topics"
	askShard       = "membership in the group that shares the log"
	askStoreWrites = "store"
)

var requests = []string{askMetadata, askTopics, askEnds, askStarts, askGroups, askCommits, askMissing, askGone, askMembers, askLog,
	askTimes, askConfigs, askShard, askStoreWrites}

// partitions are the partitions of topics.
type partitions map[string][]int32

// offsets are the offsets of partitions of topics.
type offsets map[string]map[int32]int64

// failed records that a request failed. An error that repeats is logged once.
func (f *Feed) failed(request string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	level := kgo.LogLevelWarn
	if f.state.failed(request, err, isRefused(err)) {
		level = kgo.LogLevelDebug
	}
	f.log.Log(level, "request failed", "cluster", f.cluster, "request", request, "err", err)
	callHooks(f, func(h HookRequestError) { h.OnRequestError(request, err) })
}

func isRefused(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) ||
		errors.Is(err, kerr.ClusterAuthorizationFailed)
}

// topic is the metadata of a topic.
type topic struct {
	id       protocol.TopicID
	count    int32
	internal bool
	// leaderless are the partitions that have no leader.
	leaderless []int32
}

// metadata is the answer of one broker about the cluster.
type metadata struct {
	topics  map[string]topic
	unsure  map[string]bool // topics that cannot be read at the moment
	err     error           // why they cannot
	brokers []int32
}

// metadata requests every topic.
func (f *Feed) metadata(ctx context.Context) (*metadata, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = nil // all
	response, err := request.RequestWith(ctx, f.client)
	if err != nil {
		return nil, fmt.Errorf("ask for metadata: %w", err)
	}
	m := &metadata{topics: make(map[string]topic, len(response.Topics)), unsure: make(map[string]bool)}
	for i := range response.Brokers {
		m.brokers = append(m.brokers, response.Brokers[i].NodeID)
	}
	var faults faultList
	for i := range response.Topics {
		t := &response.Topics[i]
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			m.unsure[*t.Topic] = true
			faults.add(fmt.Errorf("topic %q: %w", *t.Topic, err))
			continue
		}
		found := topic{id: protocol.TopicID(t.TopicID), count: int32(len(t.Partitions)), internal: t.IsInternal}
		for j := range t.Partitions {
			if p := &t.Partitions[j]; p.Leader < 0 {
				found.leaderless = append(found.leaderless, p.Partition)
			}
		}
		m.topics[*t.Topic] = found
	}
	m.err = faults.err()
	return m, nil
}

// absent returns those of some topics that every broker does not know when it is asked by name. A listing of all topics may be stale,
// and leaves out topics that the feed may not describe; an answer to a name distinguishes the two.
func (f *Feed) absent(ctx context.Context, brokers []int32, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, t)
	}
	answers := make(map[string]int, len(names))
	for _, broker := range brokers {
		answer, err := f.client.Broker(int(broker)).RetriableRequest(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("ask broker %d for metadata: %w", broker, err)
		}
		response := answer.(*kmsg.MetadataResponse)
		for i := range response.Topics {
			t := &response.Topics[i]
			if t.Topic != nil && t.ErrorCode == kerr.UnknownTopicOrPartition.Code {
				answers[*t.Topic]++
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return answers[name] < len(brokers) }), nil
}

// The timestamps by which ListOffsets names the ends of a log.
const (
	timeEnd   = -1
	timeStart = -2
)

// listOffsets requests an offset of each partition from its leader, with one request per broker. Partitions without an answer are left
// out, and the errors name them.
func (f *Feed) listOffsets(ctx context.Context, of partitions, time int64, committed bool) (offsets, error) {
	found := make(offsets, len(of))
	err := f.askOffsets(ctx, of, func(string, int32) int64 { return time }, committed, found.add)
	return found, err
}

// add records the answer of a leader.
func (o offsets) add(topic string, p *kmsg.ListOffsetsResponseTopicPartition) {
	if p.Offset < 0 {
		return
	}
	if o[topic] == nil {
		o[topic] = make(map[int32]int64)
	}
	o[topic][p.Partition] = p.Offset
}

// askOffsets calls each for every partition that its leader answered.
func (f *Feed) askOffsets(ctx context.Context, of partitions, time func(string, int32) int64, committed bool,
	each func(string, *kmsg.ListOffsetsResponseTopicPartition)) error {
	request := kmsg.NewPtrListOffsetsRequest()
	if committed {
		request.IsolationLevel = 1
	}
	for name, numbers := range of {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = name
		for _, number := range numbers {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = number, time(name, number)
			t.Partitions = append(t.Partitions, p)
		}
		if len(numbers) > 0 {
			request.Topics = append(request.Topics, t)
		}
	}
	if len(request.Topics) == 0 {
		return nil
	}
	var faults faultList
	for _, shard := range f.client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			faults.add(shard.Err)
			continue
		}
		response := shard.Resp.(*kmsg.ListOffsetsResponse)
		for i := range response.Topics {
			t := &response.Topics[i]
			for j := range t.Partitions {
				p := &t.Partitions[j]
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					faults.add(fmt.Errorf("topic %q, partition %d: %w", t.Topic, p.Partition, err))
				} else {
					each(t.Topic, p)
				}
			}
		}
	}
	return faults.err()
}

// groupType is a kind of group, as ListGroups names it.
type groupType string

const (
	classicGroup  groupType = "classic"
	consumerGroup groupType = "consumer"
	shareGroup    groupType = "share"
)

// listGroups requests the groups of every broker. If it returns an error, the groups are incomplete.
func (f *Feed) listGroups(ctx context.Context) (map[string]groupType, error) {
	groups := make(map[string]groupType)
	var faults faultList
	for _, shard := range f.client.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if shard.Err != nil {
			faults.add(shard.Err)
			continue
		}
		response := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
			faults.add(err)
			continue
		}
		for i := range response.Groups {
			g := &response.Groups[i]
			kind := groupType(strings.ToLower(g.GroupType)) // "Classic", as Kafka spells it
			if kind == "" {
				kind = classicGroup // an older broker knows no other kind
			}
			// Share groups commit nothing.
			if kind != shareGroup && f.Feeds(g.Group) {
				groups[g.Group] = kind
			}
		}
	}
	if n := f.uncoordinated(); n > 0 {
		faults.add(fmt.Errorf("%d of %d partitions of %s have no leader: no broker lists their groups", n, f.logCount.Load(), logTopic))
	}
	return groups, faults.err()
}

// uncoordinated returns the number of partitions of the log that have no leader and whose groups are the feed's.
func (f *Feed) uncoordinated() (n int) {
	leaderless := f.leaderless.Load()
	if leaderless == nil {
		return 0
	}
	share := f.share.Load()
	for _, partition := range *leaderless {
		if !f.sharded() || share != nil && share.owned[partition] {
			n++
		}
	}
	return n
}

// faultList joins the first few of what may be thousands of errors.
type faultList struct {
	errs  []error
	count int
}

func (l *faultList) add(err error) {
	l.count++
	if len(l.errs) < 3 {
		l.errs = append(l.errs, err)
	}
}

// addUnlessGone adds an error of a listed group, unless the group has been deleted since or is of another kind by now.
func (l *faultList) addUnlessGone(err error) {
	if !errors.Is(err, kerr.GroupIDNotFound) {
		l.add(err)
	}
}

func (l *faultList) err() error {
	if l.count == 0 {
		return nil
	}
	joined := errors.Join(l.errs...)
	if more := l.count - len(l.errs); more > 0 {
		return fmt.Errorf("%w\nand %d more", joined, more)
	}
	return joined
}

package kafkafeed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
	"github.com/lagkeeper/storage/protocol"
)

// The commits of a streams group are fed like those of any other group. Its members are not requested.
func TestStreamsGroupsAreLeftAlone(t *testing.T) {
	for _, mode := range []Mode{ModeLog, ModePoll} {
		t.Run(string(mode), func(t *testing.T) {
			f := newFake(t)
			f.produce("orders", 100)
			s := simulate(f, 2)
			log := s.logOf("app")
			s.append(log, -1, commitKeyBytes(1, "app", "orders", 0), commitValueBytes(3, 40, 1))
			for version := int16(17); version <= 23; version++ {
				s.append(log, -1, append(versionKey(version), "app"...), []byte{0, 0})
				s.append(log, -1, append(versionKey(version), "app"...), nil)
			}
			s.kinds = map[string]string{"app": "Streams"}
			s.append(s.logOf("classic"), -1, commitKeyBytes(1, "classic", "orders", 0), commitValueBytes(3, 30, time.Now().UnixMilli()))
			s.append(log, -1, commitKeyBytes(1, "app", "orders", 0), commitValueBytes(3, 50, time.Now().UnixMilli()))
			var mu sync.Mutex
			var described []string
			f.cluster.ControlKey(int16(kmsg.DescribeGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
				f.cluster.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				described = append(described, r.(*kmsg.DescribeGroupsRequest).Groups...)
				return nil, nil, false
			})
			f.cluster.ControlKey(int16(kmsg.ConsumerGroupDescribe), func(r kmsg.Request) (kmsg.Response, error, bool) {
				f.cluster.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				described = append(described, r.(*kmsg.ConsumerGroupDescribeRequest).Groups...)
				return nil, nil, false
			})
			store := openStore(t, "")
			hook := &polls{}
			feed := runFeed(t, store, f.opts(Interval(often), WithMode(mode), WithHooks(hook))...)
			<-feed.Ready()
			agree(t, store, lags{"app orders 0": "50 100 50", "classic orders 0": "30 100 70"})
			before := hook.polls.Load()
			eventually(t, "it was polled often", func() bool { return hook.polls.Load() > before+3 })
			require.Equal(t, lags{"app orders 0": "50 100 50", "classic orders 0": "30 100 70"}, storedLags(t, store))
			mu.Lock()
			defer mu.Unlock()
			require.Contains(t, described, "classic")
			require.NotContains(t, described, "app")
			require.Zero(t, feed.Status().Errors[askMembers], "a group deleted between listing and describing is not an error")
			if mode == ModeLog {
				require.Equal(t, uint64(14), feed.Status().Records[KindStreamsGroup])
			}
		})
	}
}

// streamsMember is a member of a streams group of a real Kafka.
type streamsMember struct {
	w         *world
	group, id string
	epoch     int32
	tasks     int
}

// beat sends the heartbeat of a topology that reads a topic.
func (m *streamsMember) beat(ctx context.Context, topic string) error {
	request := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	request.Group, request.MemberID, request.MemberEpoch = m.group, m.id, m.epoch
	if m.epoch == 0 {
		request.RebalanceTimeoutMillis = 300_000
		part := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
		part.SubtopologyID, part.SourceTopics = "0", []string{topic}
		topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
		topology.Subtopologies = append(topology.Subtopologies, part)
		request.Topology, request.ProcessID = &topology, kmsg.StringPtr("process")
		request.ActiveTasks, request.StandbyTasks, request.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
		request.ClientTags = []kmsg.StreamsGroupHeartbeatRequestClientTag{}
	}
	// The client does not know the coordinator of such a group; there is only one broker.
	answer, err := m.w.client.SeedBrokers()[0].Request(ctx, request)
	if err == nil {
		err = kerr.ErrorForCode(answer.(*kmsg.StreamsGroupHeartbeatResponse).ErrorCode)
	}
	if err != nil {
		m.epoch, m.tasks = 0, 0 // it joins again
		return err
	}
	response := answer.(*kmsg.StreamsGroupHeartbeatResponse)
	m.epoch = response.MemberEpoch
	for _, task := range response.ActiveTasks {
		m.tasks += len(task.Partitions)
	}
	return nil
}

func (m *streamsMember) commit(topic string, partition int32, offset int64) {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.MemberID, request.Generation = m.group, m.id, m.epoch
	t, p := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	t.Topic, p.Partition, p.Offset = topic, partition, offset
	t.Partitions = append(t.Partitions, p)
	succeeds(m.w.t, "commit of a member", func(ctx context.Context) error {
		topics, err := m.w.admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		t.TopicID = topics[topic].ID
		request.Topics = []kmsg.OffsetCommitRequestTopic{t}
		response, err := request.RequestWith(ctx, m.w.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	})
}

// A group of the streams protocol, as Kafka itself writes it.
func TestRealKafkaStreamsGroup(t *testing.T) {
	if kafkatest.IsOld() {
		t.Skip("this version of Kafka has no streams groups")
	}
	w := newWorld(t, 1)
	w.topic("orders", 3, 20)
	w.commit("other", "orders", 0, 1) // makes Kafka create its log
	member := &streamsMember{w: w, group: "app", id: "AAAAAAAAAAAAAAAAAAAAAQ"}
	succeeds(t, "the member has its tasks", func(ctx context.Context) error {
		if err := member.beat(ctx, "orders"); err != nil || member.tasks == 3 {
			return err
		}
		return fmt.Errorf("it has %d tasks", member.tasks)
	})
	for partition := range int32(3) {
		member.commit("orders", partition, int64(5+partition))
	}
	want := lags{"other orders 0": "1 20 19", "app orders 0": "5 20 15", "app orders 1": "6 20 14", "app orders 2": "7 20 13"}
	for _, mode := range []Mode{ModeLog, ModePoll} {
		store := openStore(t, "")
		feed := w.feed(store, WithMode(mode))
		<-feed.Ready()
		agree(t, store, want)
		status := feed.Status()
		require.Zero(t, status.Errors[askMembers], status.LastError)
		require.Empty(t, status.Refused)
		if mode == ModeLog {
			require.Positive(t, status.Records[KindStreamsGroup])
			require.Zero(t, status.Records[KindUnknown])
			require.Zero(t, status.Records[KindCorrupt])
		}
		var group protocol.Group
		require.NoError(t, store.Group(t.Context(), "prod", "app", &group))
		require.False(t, slices.ContainsFunc(group.Topics[0].Partitions, func(p protocol.GroupPartition) bool { return p.Owner != "" }))
		feed.stop()
	}
}

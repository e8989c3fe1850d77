package kafkafeed

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// Topics grow, are truncated, compacted and recreated while the feed runs, and once while it does not.
func (c *three) changedTopics() {
	store := openStore(c.t, "")
	feed := c.feed(store)
	<-feed.Ready()
	z := newZoo(c.world)
	z.grown()
	z.recreated()
	z.truncated()
	z.compacted()
	c.same(store)
	lost := 0
	for key, p := range storedPartitions(c.t, store) {
		if p.Lost > 0 {
			require.Contains(c.t, key, "truncated-")
			require.Equal(c.t, int64(25), p.LogStartOffset)
			lost++
		}
	}
	require.Equal(c.t, 3, lost)

	// It has more records than before, so that only its id shows that it is another topic.
	feed.stop()
	z.recreate(90)
	feed = c.feed(store)
	<-feed.Ready()
	c.same(store)
	again := 0
	for partition, p := range storedPartitions(c.t, store) {
		if strings.Contains(partition, " recreated ") {
			require.NotContains(c.t, p.EndOffsets, int64(12), "the end of the earlier topic")
			require.Equal(c.t, int64(90), p.EndOffsets[len(p.EndOffsets)-1])
			require.Equal(c.t, uint64(90-p.Commits[0].Offset), p.CurrentLag)
			again++
		}
	}
	require.Equal(c.t, 6, again)
}

// A broker is gone, and with it the only copy of a partition.
func (c *three) leaderless() {
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "solo", -1, -1
	for partition := range int32(3) {
		on := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		on.Partition, on.Replicas = partition, []int32{partition + 1}
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, on)
	}
	request.Topics = append(request.Topics, topic)
	succeeds(c.t, "create topic solo", func(ctx context.Context) error {
		response, err := request.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		return either(nil, kerr.ErrorForCode(response.Topics[0].ErrorCode), kerr.TopicAlreadyExists)
	})
	c.known("solo", 3)
	c.world.produce("solo", 3, 10)
	for partition := range int32(3) {
		c.truncate("solo", partition, 4)
	}

	store := openStore(c.t, "")
	feed := c.feed(store)
	l := c.ledger(store, feed)
	commit := func(offset int64) {
		for partition := range int32(3) {
			l.until("the commit is acknowledged", func() bool { return l.commit("solo", "solo", partition, offset) })
		}
	}
	commit(2)
	<-feed.Ready()
	c.same(store)
	of := func(partition string) protocol.GroupPartition {
		return storedPartitions(c.t, store)["solo solo "+partition]
	}
	require.Equal(c.t, uint64(2), of("1").Lost)

	c.kafka.Kill(1)
	commit(5)
	for _, partition := range []int32{0, 2} {
		l.until("a record is acknowledged", func() bool { return l.produce("solo", partition) })
	}
	l.until("the others go on, and its group too", func() bool {
		ends, _ := c.admin.ListEndOffsets(c.t.Context(), "solo") // the error is about one partition
		want := lags{"solo solo 1": "5 10 5"}
		for _, partition := range []int32{0, 2} {
			end, _ := ends.Lookup("solo", partition)
			want[fmt.Sprint("solo solo ", partition)] = fmt.Sprint(5, " ", end.Offset, " ", end.Offset-5) // 11, or more after a retry
		}
		have := storedLags(c.t, store)
		maps.DeleteFunc(have, func(key, _ string) bool { return !strings.HasPrefix(key, "solo ") })
		return maps.Equal(want, have)
	})
	l.until("brokers say that it has no leader", func() bool {
		_, err := c.admin.ListEndOffsets(c.t.Context(), "solo")
		return err != nil && strings.Contains(err.Error(), "no leader")
	})
	require.Equal(c.t, int64(4), of("1").LogStartOffset)
	for range 3 {
		last := feed.Status().LastPoll
		l.until("the next poll is complete", func() bool { return feed.Status().LastPoll.After(last) })
		l.until("its end grows old, and no other", func() bool { return older(storedPartitions(c.t, store), "solo solo 1", "solo solo 0") })
		require.Equal(c.t, int64(10), of("1").EndOffsets[len(of("1").EndOffsets)-1])
	}
	require.Positive(c.t, feed.Status().Errors[askEnds])

	c.kafka.Restart(1)
	c.kafka.Await()
	l.until("a record is acknowledged", func() bool { return l.produce("solo", 1) })
	l.until("it is young again", func() bool {
		return of("1").EndOffsets[len(of("1").EndOffsets)-1] > 10
	})
	c.same(store)
	c.remove("solo")
	eventually(c.t, "the topic is gone", func() bool { return !strings.Contains(fmt.Sprint(storedLags(c.t, store)), "solo") })
}

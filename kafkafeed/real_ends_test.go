package kafkafeed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// On a topic with an open transaction, consumers of both isolation levels have no lag once they have read all they can read.
func TestRealKafkaEndsOfTransactionalTopics(t *testing.T) {
	w := newWorld(t, 1)
	w.topic("orders", 1, 10)
	stamp := "LogAppendTime"
	w.create("dated", 1, map[string]*string{"message.timestamp.type": &stamp})
	w.produce("dated", 1, 2)
	w.commit("late", "dated", 0, 0)

	writer, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.UnknownTopicRetries(-1), kgo.TransactionalID("writer"), kgo.TransactionTimeout(10*time.Minute))
	require.NoError(t, err)
	t.Cleanup(writer.Close)
	require.NoError(t, writer.BeginTransaction())
	write := func() {
		require.NoError(t, writer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("v")}, &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr())
	}
	write()
	readAll := func(group string, level kgo.IsolationLevel, want int) {
		reader, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"),
			kgo.FetchIsolationLevel(level), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
		require.NoError(t, err)
		defer reader.Close()
		read(t, reader, want)
		commitRead(t, reader)
	}
	readAll("committed", kgo.ReadCommitted(), 10)
	store, high, stable := openStore(t, ""), openStore(t, ""), openStore(t, "")
	feed := w.feed(store)
	<-feed.Ready()
	<-w.feed(high, HighWatermark()).Ready()
	<-w.feed(stable, LastStableOffset()).Ready()
	lagOf := func(store storage.Store, group, want string) {
		t.Helper()
		eventually(t, group+" is "+want, func() bool { return storedLags(t, store)[group+" orders 0"] == want })
	}
	lagOf(store, "committed", "10 10 0")
	lagOf(high, "committed", "10 12 2")
	lagOf(stable, "committed", "10 10 0")
	toolSays := func(group, want string) {
		t.Helper()
		eventually(t, "Kafka's own tool says that "+group+" is "+want, func() bool { return w.describedLags()[group+" orders 0"] == want })
	}
	toolSays("committed", "10 12 2") // it counts uncommitted messages
	require.Equal(t, 1, feed.Status().OpenPartitions)

	readAll("uncommitted", kgo.ReadUncommitted(), 12)
	lagOf(store, "uncommitted", "12 12 0")
	lagOf(high, "uncommitted", "12 12 0")
	lagOf(stable, "uncommitted", "12 10 0") // it is ahead, and would be for as long as the transaction hangs
	eventually(t, "with the last stable offset the group is beyond the end", func() bool {
		var group protocol.Group
		require.NoError(t, stable.Group(t.Context(), "prod", "uncommitted", &group))
		return group.Topics[0].Partitions[0].State == protocol.PartitionBeyondEnd
	})

	require.NoError(t, writer.EndTransaction(t.Context(), kgo.TryCommit))
	for _, s := range []storage.Store{store, high, stable} {
		lagOf(s, "uncommitted", "12 13 1") // the marker
		lagOf(s, "committed", "10 13 3")
	}
	toolSays("uncommitted", "12 13 1")

	_, source, err := feed.RecordTime(t.Context(), "dated", 0, 0)
	require.NoError(t, err)
	require.Equal(t, protocol.TimeSourceBroker, source)
	eventually(t, "the lag in time comes from the broker", func() bool {
		var late protocol.Group
		require.NoError(t, store.Group(t.Context(), "prod", "late", &late))
		return late.Topics[0].Partitions[0].TimeLag.Source == protocol.TimeSourceBroker
	})
}

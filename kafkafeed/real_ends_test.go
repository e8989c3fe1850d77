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
	_, err := w.admin.CreateTopic(t.Context(), 1, -1, map[string]*string{"message.timestamp.type": &stamp}, "dated")
	require.NoError(t, err)
	w.produce("dated", 1, 2)
	w.commit("late", "dated", 0, 0)

	writer, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.TransactionalID("writer"), kgo.TransactionTimeout(10*time.Minute))
	require.NoError(t, err)
	t.Cleanup(writer.Close)
	require.NoError(t, writer.BeginTransaction())
	write := func() {
		require.NoError(t, writer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("v")}, &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr())
	}
	write()
	read := func(group string, level kgo.IsolationLevel, want int) {
		reader, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"),
			kgo.FetchIsolationLevel(level), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
		require.NoError(t, err)
		defer reader.Close()
		for n := 0; n < want; {
			fetches := reader.PollFetches(t.Context())
			require.NoError(t, fetches.Err())
			n += fetches.NumRecords()
		}
		require.NoError(t, reader.CommitUncommittedOffsets(t.Context()))
	}
	read("committed", kgo.ReadCommitted(), 10)
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
	require.Equal(t, "10 12 2", w.describedLags()["committed orders 0"], "Kafka's own tool counts uncommitted messages")
	require.Equal(t, 1, feed.Status().OpenPartitions)

	read("uncommitted", kgo.ReadUncommitted(), 12)
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
	require.Equal(t, "12 13 1", w.describedLags()["uncommitted orders 0"])

	_, source, err := feed.RecordTime(t.Context(), "dated", 0, 0)
	require.NoError(t, err)
	require.Equal(t, protocol.TimeSourceBroker, source)
	var late protocol.Group
	require.NoError(t, store.Group(t.Context(), "prod", "late", &late))
	require.Equal(t, protocol.TimeSourceBroker, late.Topics[0].Partitions[0].TimeLag.Source)
}

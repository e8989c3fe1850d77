package kafkafeed

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
	"github.com/lagkeeper/storage/protocol"
)

// world is a Kafka with a client that writes to it.
type world struct {
	t      *testing.T
	kafka  *kafkatest.Cluster
	client *kgo.Client
	admin  *kadm.Client
	// patience is how long a request of a feed waits for its answer.
	patience time.Duration
}

// brief is the patience of requests to brokers some of which fail: the default.
const brief = 10 * time.Second

// racing reports whether the race detector is on.
var racing bool

func newWorld(t *testing.T, brokers int) *world { return newWorldWith(t, brokers, nil) }

// newWorldWith is newWorld with further properties and listeners of every broker.
func newWorldWith(t *testing.T, brokers int, properties map[string]string, protocols ...string) *world {
	if racing {
		t.Skip("a real Kafka is run without the race detector only; it watches the tests with the Kafka in the process")
	}
	if testing.Short() {
		t.Skip("a real Kafka takes too long for -short")
	}
	w := &world{t: t, kafka: kafkatest.Start(t, brokers, properties, protocols...), patience: patience}
	if brokers > 1 {
		w.patience = brief
	}
	w.connect()
	return w
}

// connect makes the client that writes.
func (w *world) connect(opts ...kgo.Opt) {
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.kafka.Addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.UnknownTopicRetries(-1))...)
	require.NoError(w.t, err)
	w.t.Cleanup(client.Close)
	w.client, w.admin = client, kadm.NewClient(client)
}

// topic creates a topic and writes n records to each partition.
func (w *world) topic(name string, count int32, n int) {
	w.create(name, count, nil)
	w.produce(name, count, n)
}

func (w *world) produce(name string, count int32, n int) {
	var records []*kgo.Record
	for partition := range count {
		for range n {
			records = append(records, &kgo.Record{Topic: name, Partition: partition, Value: []byte("v")})
		}
	}
	require.NoError(w.t, w.client.ProduceSync(w.t.Context(), records...).FirstErr())
}

// openTransaction is a transaction that commits offsets.
type openTransaction struct {
	w        *world
	id       string
	producer int64
	epoch    int16
}

func (w *world) begin(id string) *openTransaction {
	w.t.Helper()
	var x *openTransaction
	succeeds(w.t, "begin of a transaction", func(ctx context.Context) (err error) {
		x, err = w.tryBegin(ctx, id)
		return err
	})
	return x
}

func (w *world) tryBegin(ctx context.Context, id string) (*openTransaction, error) {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID, request.TransactionTimeoutMillis = &id, 600_000
	response, err := request.RequestWith(ctx, w.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	return &openTransaction{w, id, response.ProducerID, response.ProducerEpoch}, nil
}

func (x *openTransaction) commit(group, topic string, partition int32, offset int64) {
	x.w.t.Helper()
	succeeds(x.w.t, "commit in a transaction", func(ctx context.Context) error {
		return x.tryCommit(ctx, group, topic, partition, offset)
	})
}

func (x *openTransaction) tryCommit(ctx context.Context, group, topic string, partition int32, offset int64) error {
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = x.id, x.producer, x.epoch, group
	added, err := add.RequestWith(ctx, x.w.client)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return err
	}
	request := kmsg.NewPtrTxnOffsetCommitRequest()
	request.TransactionalID, request.ProducerID, request.ProducerEpoch, request.Group, request.Generation = x.id, x.producer, x.epoch, group, -1
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	response, err := request.RequestWith(ctx, x.w.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
}

func (x *openTransaction) end(commit bool) {
	x.w.t.Helper()
	succeeds(x.w.t, "end of a transaction", func(ctx context.Context) error { return x.tryEnd(ctx, commit) })
}

func (x *openTransaction) tryEnd(ctx context.Context, commit bool) error {
	request := kmsg.NewPtrEndTxnRequest()
	request.TransactionalID, request.ProducerID, request.ProducerEpoch, request.Commit = x.id, x.producer, x.epoch, commit
	response, err := request.RequestWith(ctx, x.w.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.ErrorCode)
}

// feed runs a feed on the brokers. Its requests wait long, because those of one that fails are counted; tests with brokers that fail
// say otherwise.
func (w *world) feed(store storage.Store, opts ...Opt) *running {
	opts = append([]Opt{ClientOpts(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.RequestTimeoutOverhead(w.patience)), Interval(300 * time.Millisecond)}, opts...)
	return runFeed(w.t, store, opts...)
}

// readsLog waits until a feed reads the log.
func (r *running) readsLog(t *testing.T) {
	t.Helper()
	eventually(t, "it reads the log", func() bool {
		status := r.Status()
		return status.Mode == ModeLog && len(status.Logs) == kafkatest.LogPartitions
	})
}

// describedLags returns the lags that Kafka's own tool shows.
func (w *world) describedLags() lags {
	found := lags{}
	for _, row := range w.kafka.Describe() {
		if _, err := strconv.Atoi(row[3]); err != nil {
			continue // no commit
		}
		found[row[0]+" "+row[1]+" "+row[2]] = row[3] + " " + row[4] + " " + row[5]
	}
	return found
}

// agree waits until the store has what Kafka's own tool shows, and returns it. The tool runs again each time: right after a start of
// the brokers it does not know every group either.
func (w *world) agree(store storage.Store) lags {
	w.t.Helper()
	var want, have lags
	defer func() {
		if w.t.Failed() {
			require.Equal(w.t, want, have)
		}
	}()
	eventually(w.t, "the store agrees with Kafka's own tool", func() bool {
		want = w.describedLags()
		have = storedLags(w.t, store)
		return len(want) > 0 && maps.Equal(want, have)
	})
	return have
}

func TestRealKafkaAgreesWithItsOwnTool(t *testing.T) {
	w := newWorld(t, 1)
	w.topic("orders", 3, 20)
	w.topic("payments.eu", 2, 10)
	w.topic("empty", 1, 0)
	for i := range 10 {
		for j := range 3 {
			w.commit(fmt.Sprintf("by.hand-%d", i), "orders", int32(j), int64(i+j))
			w.commit(fmt.Sprintf("by.hand-%d", i), "orders", int32(j), int64(i+j+1))
		}
	}
	w.commit("empty-reader", "empty", 0, 0)

	committed := w.begin("committed")
	committed.commit("tx", "orders", 0, 7)
	committed.commit("tx", "orders", 1, 8)
	committed.end(true)
	aborted := w.begin("aborted")
	aborted.commit("tx", "orders", 0, 19)
	aborted.commit("tx-never", "orders", 0, 19)
	aborted.end(false)
	hanging := w.begin("hanging")
	hanging.commit("tx", "orders", 1, 18)
	w.commit("tx", "orders", 2, 3)

	classic, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.ConsumerGroup("classic"), kgo.ClientID("reader-1"),
		kgo.ConsumeTopics("orders", "payments.eu"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	t.Cleanup(classic.Close)
	read(t, classic, 3*20+2*10)
	commitRead(t, classic)
	modern, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addresses()...), kgo.ConsumerGroup("modern"), kgo.ClientID("reader-2"),
		kgo.ServerSideBalancer(), kgo.ConsumeTopics("payments.eu"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	t.Cleanup(modern.Close)
	read(t, modern, 2*10)
	commitRead(t, modern)
	w.commit("deleted", "orders", 0, 1)
	w.deleteGroup("deleted")
	w.commit("half-deleted", "orders", 0, 1)
	w.commit("half-deleted", "orders", 1, 1)
	w.deleteOffset("half-deleted", "orders", 0)

	store := openStore(t, "")
	feed := w.feed(store)
	<-feed.Ready()
	feed.readsLog(t)
	status := feed.Status()
	require.Zero(t, status.Records[KindCorrupt]+status.Records[KindUnknown])

	var have lags
	agree := func() {
		t.Helper()
		have = w.agree(store)
	}
	agree()
	require.Equal(t, "7 20 13", have["tx orders 0"], "the aborted transaction does not count")
	require.Equal(t, "8 20 12", have["tx orders 1"], "the open transaction does not count yet")
	require.NotContains(t, have, "tx-never orders 0")
	require.NotContains(t, have, "half-deleted orders 0")

	hanging.end(true)
	w.commit("by.hand-3", "payments.eu", 1, 10)
	w.produce("orders", 3, 5)
	w.topic("new", 1, 4)
	w.commit("by.hand-4", "new", 0, 1)
	eventually(t, "the transaction counts", func() bool { return storedLags(t, store)["tx orders 1"] == "18 25 7" })
	w.deleteGroup("by.hand-9")
	agree()
	require.Equal(t, "1 4 3", have["by.hand-4 new 0"], "a commit before the first poll of its topic")

	owned := func(of string) (found []string) {
		var group protocol.Group
		if store.Group(t.Context(), "prod", of, &group) != nil {
			return nil
		}
		for _, topic := range group.Topics {
			for _, p := range topic.Partitions {
				if p.ClientID != "" {
					found = append(found, p.Owner+" "+p.ClientID)
				}
			}
		}
		return found
	}
	eventually(t, "the group has owners", func() bool { return len(owned("classic")) == 5 })
	require.Equal(t, "127.0.0.1 reader-1", owned("classic")[0])
	eventually(t, "the other has owners", func() bool { return len(owned("modern")) == 2 })
	require.Equal(t, []string{"127.0.0.1 reader-2", "127.0.0.1 reader-2"}, owned("modern"))
	if !kafkatest.IsOld() {
		require.Positive(t, feed.Status().Records[KindConsumerGroup])
	}
	classic.Close()
	eventually(t, "the group has no owners", func() bool { return len(owned("classic")) == 0 })
	feed.stop()
}

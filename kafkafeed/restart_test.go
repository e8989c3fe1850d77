package kafkafeed

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// crashed returns the path of the newest snapshot of a running store: what a crash at this moment would leave.
func crashed(t *testing.T, path string) string {
	left := filepath.Join(t.TempDir(), "lag.snapshot")
	if content, err := os.ReadFile(path); err == nil {
		require.NoError(t, os.WriteFile(left, content, 0o600))
	}
	return left
}

func TestOpenTransactionAcrossASnapshotLosesNothing(t *testing.T) {
	f := withLog(t)
	f.log(logCommit(0, "g", 0, 10))
	end := f.inTransaction("x", logCommit(0, "g", 0, 20), logCommit(0, "tx", 1, 5))
	f.log(logCommit(0, "g", 2, 30))
	path := filepath.Join(t.TempDir(), "lag.snapshot")
	store := openStore(t, path)
	feed := runFeed(t, store, f.opts()...)
	<-feed.Ready()
	feed.stop()
	require.NoError(t, store.Snapshot(t.Context()))

	left := crashed(t, path)
	f.log(logCommit(0, "g", 2, 40))
	end(kgo.TryCommit)
	// The fake's coordinators do not know the fake's log.
	f.commit("g", 0, 20)
	f.commit("g", 2, 40)
	again := openStore(t, left)
	feed = runFeed(t, again, f.opts()...)
	<-feed.Ready()
	require.Equal(t, lags{"g orders 0": "20 100 80", "tx orders 1": "5 100 95", "g orders 2": "40 100 60"}, storedLags(t, again))
	status := feed.Status()
	require.Equal(t, uint64(2), status.Records[KindCommit]-2, "records before the transaction are not read again")
	var group protocol.Group
	require.NoError(t, again.Group(t.Context(), "prod", "g", &group))
	for _, p := range group.Topics[0].Partitions {
		require.NotEqual(t, protocol.PartitionRestored, p.State, "the replay is over")
	}
}

// Only the coordinators know of deletions whose records came and went while no feed read the log.
func TestDeletionWhoseTombstoneIsGone(t *testing.T) {
	f := withLog(t)
	f.commit("g", 0, 10)
	f.log(logCommit(0, "g", 0, 10), logCommit(0, "g", 1, 10), logCommit(0, "deleted", 1, 10))
	path := filepath.Join(t.TempDir(), "lag.snapshot")
	store := openStore(t, path)
	feed := runFeed(t, store, f.opts()...)
	<-feed.Ready()
	require.Len(t, storedLags(t, store), 3)
	feed.stop()
	require.NoError(t, store.Close())

	const silent, hidden, open = 0, 1, 2
	var stage, answers atomic.Int64
	f.cluster.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		response := r.ResponseKind().(*kmsg.OffsetFetchResponse)
		for _, asked := range r.(*kmsg.OffsetFetchRequest).Groups {
			group := kmsg.NewOffsetFetchResponseGroup()
			group.Group = asked.Group
			if stage.Load() == silent {
				group.ErrorCode = kerr.UnknownServerError.Code
			}
			for _, named := range asked.Topics { // the feed may not describe the topic
				topic, partition := kmsg.NewOffsetFetchResponseGroupTopic(), kmsg.NewOffsetFetchResponseGroupTopicPartition()
				topic.Topic, topic.TopicID, partition.ErrorCode = named.Topic, named.TopicID, kerr.TopicAuthorizationFailed.Code
				topic.Partitions = append(topic.Partitions, partition)
				group.Topics = append(group.Topics, topic)
			}
			response.Groups = append(response.Groups, group)
		}
		answers.Add(1)
		return response, nil, stage.Load() != open
	})
	store = openStore(t, path)
	feed = runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	require.Len(t, storedLags(t, store), 3, "a group without an answer from its coordinator stays")
	stage.Store(hidden)
	before := answers.Load()
	eventually(t, "it was asked often", func() bool { return answers.Load() > before+20 })
	require.Equal(t, "10 100 90", storedLags(t, store)["g orders 1"], "a hidden topic stays")
	stage.Store(open)
	agree(t, store, lags{"g orders 0": "10 100 90"})
	feed.stop()
}

// A later Kafka may write commits that cannot be decoded: the feed asks the coordinators for them.
func TestCommitsOfAVersionThatIsNotKnown(t *testing.T) {
	f := withLog(t)
	f.commit("g", 0, 10)
	f.log(logCommit(0, "g", 0, 10))
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	agree(t, store, lags{"g orders 0": "10 100 90"})
	f.commit("g", 0, 30)
	record := logCommit(0, "g", 0, 30)
	record.Value = []byte{0, 99, 1, 2, 3}
	f.log(record)
	agree(t, store, lags{"g orders 0": "30 100 70"})
	require.Equal(t, uint64(1), feed.Status().Records[KindUnknown])
	f.commit("g", 0, 40)
	f.log(logCommit(0, "g", 0, 40))
	agree(t, store, lags{"g orders 0": "40 100 60"})
}

func TestEveryLagIsRightBeforeTheLogIsRead(t *testing.T) {
	f := withLog(t)
	for i := range 20 {
		f.log(logCommit(0, "g", 0, int64(i)), logCommit(0, "short", 0, 3))
	}
	f.log(&kgo.Record{Topic: logTopic, Key: commitKeyBytes(1, "short", "orders", 0)}, logCommit(0, "short", 0, 7))
	f.commit("g", 0, 19)
	f.commit("short", 0, 7)
	f.commit("unread", 0, 5)
	var open atomic.Bool
	f.cluster.ControlKey(1, func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		if open.Load() {
			return nil, nil, false
		}
		return emptyFetch(r.(*kmsg.FetchRequest)), nil, true
	})
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts()...)
	right := lags{"g orders 0": "19 100 81", "short orders 0": "7 100 93", "unread orders 0": "5 100 95"}
	agree(t, store, right)
	select {
	case <-feed.Ready():
		t.Fatal("nothing was read")
	default:
	}
	open.Store(true)
	<-feed.Ready()
	require.Equal(t, right, storedLags(t, store))
	window := func(group string) (offsets []int64) {
		var g protocol.Group
		require.NoError(t, store.Group(t.Context(), "prod", group, &g))
		for _, c := range g.Topics[0].Partitions[0].Commits {
			offsets = append(offsets, c.Offset)
		}
		return offsets
	}
	require.Equal(t, []int64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, window("g"))
	require.Equal(t, []int64{7}, window("short"))
	require.Equal(t, []int64{5}, window("unread"), "what the log does not mention stays")
}

func TestLogThatBeginsAnewIsReadFromItsStart(t *testing.T) {
	f := withLog(t)
	// Of two partitions Kafka keeps this group in number 0, whose orders the store must forget.
	for i := range 20 {
		f.log(logCommit(0, "h", 0, int64(i)))
	}
	path := filepath.Join(t.TempDir(), "lag.snapshot")
	store := openStore(t, path)
	feed := runFeed(t, store, f.opts()...)
	<-feed.Ready()
	feed.stop()
	require.NoError(t, store.Close())

	rebuilt := withLog(t)
	rebuilt.log(logCommit(0, "h", 0, 50))
	store = openStore(t, path)
	feed = runFeed(t, store, rebuilt.opts()...)
	<-feed.Ready()
	require.Equal(t, lags{"h orders 0": "50 100 50"}, storedLags(t, store))
}

func (f *fake) beginTransaction(id string) (end func(kgo.TransactionEndTry), client *kgo.Client) {
	client, err := kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(id), kgo.TransactionTimeout(5*time.Minute))
	require.NoError(f.t, err)
	f.t.Cleanup(client.Close)
	require.NoError(f.t, client.BeginTransaction())
	return func(how kgo.TransactionEndTry) {
		require.NoError(f.t, client.EndTransaction(f.t.Context(), how))
		client.Close()
	}, client
}

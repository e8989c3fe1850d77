package kafkafeed

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// crashed returns a path with the newest snapshot of a store that is still running: what a crash at this moment leaves.
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
	again := openStore(t, left)
	feed = runFeed(t, again, f.opts()...)
	<-feed.Ready()
	require.Equal(t, lags{"g orders 0": "20 100 80", "tx orders 1": "5 100 95", "g orders 2": "40 100 60"}, storedLags(t, again))
	status := feed.Status()
	require.Equal(t, uint64(2), status.Records[KindCommit]-2, "what stands before the transaction is not read again")
	var group protocol.Group
	require.NoError(t, again.Group(t.Context(), "prod", "g", &group))
	for _, p := range group.Topics[0].Partitions {
		require.NotEqual(t, protocol.PartitionRestored, p.State, "the replay is over")
	}
}

// Whenever the process dies, what it reads again from the position of its newest snapshot makes the store what Kafka's
// coordinator has.
func TestAnyCrashEndsAsTheCoordinator(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			f := withLog(t)
			model := &coordinator{}
			open := map[string]func(kgo.TransactionEndTry){}
			clients := map[string]*kgo.Client{}
			path := filepath.Join(t.TempDir(), "lag.snapshot")
			store := openStore(t, path)
			feed := runFeed(t, store, f.opts()...)
			note := func(record *kgo.Record) {
				entry, err := Decode(&kgo.Record{Key: record.Key, Value: record.Value})
				require.NoError(t, err)
				entry.Order = int64(len(model.log))
				model.log = append(model.log, entry)
			}
			for range 60 {
				group, of, offset := fmt.Sprint("g", random.IntN(3)), random.Int32N(3), random.Int64N(100)
				id := fmt.Sprint("x", random.IntN(3))
				switch n := random.IntN(12); {
				case n < 4:
					record := logCommit(0, group, of, offset)
					f.log(record)
					note(record)
				case n < 6:
					record := logCommit(0, group, of, 0)
					record.Value = nil
					f.log(record)
					note(record)
				case n < 9:
					record := logCommit(0, group, of, offset)
					if open[id] == nil {
						open[id], clients[id] = f.beginTransaction(id)
					}
					require.NoError(t, clients[id].ProduceSync(t.Context(), record).FirstErr())
					note(record)
					model.log[len(model.log)-1].Producer = int64(id[1])
				case n < 11 && open[id] != nil:
					kind, how := KindCommitMarker, kgo.TryCommit
					if random.IntN(3) == 0 {
						kind, how = KindAbortMarker, kgo.TryAbort
					}
					open[id](how)
					delete(open, id)
					model.log = append(model.log, Entry{Kind: kind, Producer: int64(id[1]), Order: int64(len(model.log))})
				case random.IntN(2) == 0:
					<-feed.Ready()
					require.NoError(t, store.Snapshot(t.Context()))
				default:
					path = crashed(t, path)
					feed.stop()
					store = openStore(t, path)
					feed = runFeed(t, store, f.opts()...)
				}
			}
			path = crashed(t, path)
			feed.stop()
			store = openStore(t, path)
			feed = runFeed(t, store, f.opts()...)
			<-feed.Ready()
			want := lags{}
			for key, entry := range model.committed() {
				want[fmt.Sprint(key.group, " orders ", key.partition)] = fmt.Sprint(entry.Offset, " 100 ", 100-entry.Offset)
			}
			require.Equal(t, want, storedLags(t, store))
		})
	}
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
	require.Equal(t, []int64{5}, window("unread"), "what the log does not tell stays")
}

func TestLogThatBeginsAnewIsReadFromItsStart(t *testing.T) {
	f := withLog(t)
	// Of two partitions Kafka keeps this group in number 0, whose orders the store is to forget.
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

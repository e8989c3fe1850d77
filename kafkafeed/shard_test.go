package kafkafeed

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

const shardLogs = 8

// withWideLog returns a fake whose log has as many partitions as shards share.
func withWideLog(t *testing.T) *fake {
	f := newFake(t)
	require.NoError(t, f.cluster.CreateTopic(logTopic, shardLogs, map[string]string{"cleanup.policy": "compact"}))
	f.produce("orders", 100)
	return f
}

// placed is a commit in the log partition in which Kafka keeps its group.
func placed(group string, of int32, offset int64) *kgo.Record {
	return logCommit(protocol.LogPartitionOf(group, shardLogs), group, of, offset)
}

// fed returns the lags of the groups that a feed reports as its own.
func (r *running) fed(t *testing.T, store storage.Store) lags {
	found := storedLags(t, store)
	maps.DeleteFunc(found, func(key, _ string) bool {
		var group string
		_, err := fmt.Sscan(key, &group)
		return err != nil || !r.Feeds(group)
	})
	return found
}

func (r *running) partitions() map[int32]bool {
	found := map[int32]bool{}
	for _, log := range r.Status().Logs {
		found[log.Partition] = true
	}
	return found
}

func TestShardsShareTheLog(t *testing.T) {
	f := withWideLog(t)
	want := lags{}
	for i := range 40 {
		group := fmt.Sprint("g", i)
		f.commit(group, 0, int64(i)) // Kafka lists the group
		f.log(placed(group, 0, int64(i)))
		want[group+" orders 0"] = fmt.Sprint(i, " 100 ", 100-i)
	}
	opts := f.opts(Interval(often), ClientOpts(kgo.HeartbeatInterval(often)), Shard("lag-monitors"))
	stores := []*storage.DB{openStore(t, ""), openStore(t, "")}
	feeds := []*running{runFeed(t, stores[0], opts...), nil}
	<-feeds[0].Ready()
	agree(t, stores[0], want)
	require.NotContains(t, stored(t, stores[0]), "lag-monitors", "the feeds' own group is not monitored")

	feeds[1] = runFeed(t, stores[1], opts...)
	<-feeds[1].Ready()
	shares := func() bool {
		a, b := feeds[0].partitions(), feeds[1].partitions()
		return len(a) > 0 && len(b) > 0 && len(a)+len(b) == shardLogs
	}
	eventually(t, "each has a share", shares)
	// Groups of the other feed are deleted from the own store, so that no lag ages unnoticed.
	eventually(t, "each store holds its share", func() bool {
		a, b := storedLags(t, stores[0]), storedLags(t, stores[1])
		both := maps.Clone(a)
		maps.Copy(both, b)
		return len(a)+len(b) == len(want) && maps.Equal(both, want) &&
			maps.Equal(a, feeds[0].fed(t, stores[0])) && maps.Equal(b, feeds[1].fed(t, stores[1]))
	})
	for i := range 40 {
		group := fmt.Sprint("g", i)
		f.commit(group, 0, 50)
		f.log(placed(group, 0, 50))
		want[group+" orders 0"] = "50 100 50"
	}
	eventually(t, "both follow", func() bool {
		both := storedLags(t, stores[0])
		maps.Copy(both, storedLags(t, stores[1]))
		return maps.Equal(both, want)
	})
	feeds[0].stop()
	agree(t, stores[1], want)
	eventually(t, "it reads all of the log", func() bool { return len(feeds[1].partitions()) == shardLogs })
}

func stored(t *testing.T, store storage.Store) (groups []string) {
	all, err := store.Groups(t.Context(), "prod")
	require.NoError(t, err)
	for group := range all {
		groups = append(groups, group)
	}
	return groups
}

// A partition is handed over at its position: the other feed does not read again what one feed has applied, even if the partition
// moves back and forth.
func TestShardsOfASharedStoreHandOverPositions(t *testing.T) {
	f := withWideLog(t)
	store := openStore(t, "")
	opts := f.opts(Interval(often), ClientOpts(kgo.HeartbeatInterval(often)), Shard("lag-monitors"), SharedStore())
	feeds := []*running{runFeed(t, store, opts...)}
	<-feeds[0].Ready()
	want, commits := lags{}, uint64(0)
	for round := range 4 {
		for i := range 40 {
			group := fmt.Sprint("g", i)
			f.commit(group, 0, int64(10*round+1))
			f.log(placed(group, 0, int64(10*round)), placed(group, 0, int64(10*round+1)))
			commits += 2
			want[group+" orders 0"] = fmt.Sprint(10*round+1, " 100 ", 100-10*round-1)
		}
		agree(t, store, want)
		if round == 2 {
			feeds[0].stop()
		} else {
			next := runFeed(t, store, opts...)
			<-next.Ready()
			feeds = append(feeds, next)
		}
		eventually(t, "the log is shared", func() bool {
			logs := 0
			for i, feed := range feeds {
				if round < 2 || i > 0 {
					logs += len(feed.partitions())
				}
			}
			return logs == shardLogs
		})
	}
	agree(t, store, want)
	eventually(t, "each commit was read by one feed, once", func() bool {
		read := uint64(0)
		for _, feed := range feeds {
			read += feed.Status().Records[KindCommit]
		}
		require.LessOrEqual(t, read, commits)
		return read == commits // they are counted after they are stored
	})
}

func TestOpenTransactionIsHandedOver(t *testing.T) {
	f := withWideLog(t)
	store := openStore(t, "")
	opts := f.opts(Interval(often), ClientOpts(kgo.HeartbeatInterval(often)), Shard("lag-monitors"), SharedStore())
	first := runFeed(t, store, opts...)
	<-first.Ready()
	f.commit("g", 0, 20)
	f.log(placed("g", 0, 10))
	end := f.inTransaction("x", placed("g", 0, 20))
	agree(t, store, lags{"g orders 0": "10 100 90"})
	eventually(t, "the transaction is known", func() bool {
		for _, log := range first.Status().Logs {
			if log.PendingCommits == 1 {
				return true
			}
		}
		return false
	})
	first.stop()
	second := runFeed(t, store, opts...)
	eventually(t, "the other reads all", func() bool { return len(second.partitions()) == shardLogs })
	end(kgo.TryCommit)
	agree(t, store, lags{"g orders 0": "20 100 80"})
}

func TestShardWithoutTheRightToTheGroup(t *testing.T) {
	f := withWideLog(t)
	f.cluster.ControlKey(11, refuseJoin(f.cluster))
	feed := runFeed(t, openStore(t, ""), f.opts(Interval(often), Shard("lag-monitors"))...)
	eventually(t, "the refusal is told", func() bool { return len(feed.Status().Refused) > 0 })
	require.Equal(t, []string{askShard}, feed.Status().Refused)
	require.False(t, feed.Feeds("g"))
}

func TestShardOptions(t *testing.T) {
	_, err := New(openStore(t, ""), "prod", Shard("s"), WithMode(ModePoll))
	require.ErrorContains(t, err, `invalid mode "poll" of a shard: must be auto or log`)
	_, err = New(openStore(t, ""), "prod", SharedStore())
	require.ErrorContains(t, err, "invalid shared store: it shares no log, or does not run, and there is no shard")
}

// A log that grows is read on from its position, and its new partitions from their start.
func TestLogThatGrows(t *testing.T) {
	f := withLog(t)
	f.log(logCommit(0, "g", 0, 10), logCommit(0, "g", 0, 11))
	f.commit("g", 0, 11)
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	responses, err := f.admin.UpdatePartitions(t.Context(), 3, logTopic)
	require.NoError(t, errors.Join(err, responses.Error()))
	f.commit("g", 1, 12)
	eventually(t, "the new partition can be written", func() bool {
		f.client.ForceMetadataRefresh()
		return f.client.ProduceSync(t.Context(), logCommit(2, "g", 1, 12)).FirstErr() == nil
	})
	agree(t, store, lags{"g orders 0": "11 100 89", "g orders 1": "12 100 88"})
	eventually(t, "three records were read", func() bool {
		require.LessOrEqual(t, feed.Status().Records[KindCommit], uint64(3), "nothing is read again")
		return feed.Status().Records[KindCommit] == 3 // they are counted after they are stored
	})
	require.Len(t, feed.Status().Logs, 3)
	require.Equal(t, ModeLog, feed.Status().Mode)
	// A group that moved commits with lower orders than before.
	f.commit("g", 0, 13)
	f.log(logCommit(2, "g", 0, 13))
	agree(t, store, lags{"g orders 0": "13 100 87", "g orders 1": "12 100 88"})
	feed.stop()
	again := runFeed(t, store, f.opts(Interval(time.Hour))...)
	<-again.Ready()
	require.Equal(t, lags{"g orders 0": "13 100 87", "g orders 1": "12 100 88"}, storedLags(t, store))
}

package kafkafeed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

func TestEndOffsetsOfPartitionsWithOpenTransactions(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	f.commit("g", 0, 10)
	f.inTransaction("open", &kgo.Record{Topic: "orders", Value: []byte("v")}, &kgo.Record{Topic: "orders", Value: []byte("v")})
	for _, c := range []struct {
		want string
		opts []Opt
	}{{"10 10 0", nil}, {"10 12 2", []Opt{HighWatermark()}}, {"10 10 0", []Opt{LastStableOffset()}}} {
		store := openStore(t, "")
		feed := runFeed(t, store, f.opts(c.opts...)...)
		<-feed.Ready()
		require.Equal(t, lags{"g orders 0": c.want}, storedLags(t, store))
	}
}

// A group that has read all messages it can read has no lag, whichever messages it reads, and the end never goes back.
func TestEndIsWhatCanBeRead(t *testing.T) {
	for _, mode := range []Mode{ModePoll, ModeLog} {
		t.Run(string(mode), func(t *testing.T) {
			f := withLog(t) // 100 messages
			commit := func(group string, offset int64) {
				f.commit(group, 0, offset)
				f.log(logCommit(0, group, 0, offset))
			}
			commit("committed", 100)
			end := f.inTransaction("open", &kgo.Record{Topic: "orders", Value: []byte("v")}, &kgo.Record{Topic: "orders", Value: []byte("v")})
			store := openStore(t, "")
			feed := runFeed(t, store, f.opts(Interval(often), WithMode(mode))...)
			<-feed.Ready()
			agree(t, store, lags{"committed orders 0": "100 100 0"})
			require.Equal(t, 1, feed.Status().OpenPartitions)

			commit("uncommitted", 102)
			agree(t, store, lags{"committed orders 0": "100 102 2", "uncommitted orders 0": "102 102 0"})
			for range 3 { // at later polls too
				before := feed.Status().LastPoll
				eventually(t, "it polls on", func() bool { return feed.Status().LastPoll.After(before) })
				require.Equal(t, "102 102 0", storedLags(t, store)["uncommitted orders 0"])
			}
			var group protocol.Group
			require.NoError(t, store.Group(t.Context(), "prod", "uncommitted", &group))
			require.Equal(t, protocol.PartitionCaughtUp, group.Topics[0].Partitions[0].State)

			end(kgo.TryCommit) // to Kafka its marker is a message
			agree(t, store, lags{"committed orders 0": "100 103 3", "uncommitted orders 0": "102 103 1"})
			eventually(t, "no transaction is open", func() bool { return feed.Status().OpenPartitions == 0 })
			commit("committed", 103)
			commit("uncommitted", 103)
			agree(t, store, lags{"committed orders 0": "103 103 0", "uncommitted orders 0": "103 103 0"})
			// The next transaction begins at an end that is already known.
			f.inTransaction("again", &kgo.Record{Topic: "orders", Value: []byte("v")})
			eventually(t, "a transaction is open", func() bool { return feed.Status().OpenPartitions == 1 })
			require.Equal(t, lags{"committed orders 0": "103 103 0", "uncommitted orders 0": "103 103 0"}, storedLags(t, store))
		})
	}
}

// A store with a greater end, for example from another source, keeps it.
func TestEndDoesNotGoBackToTheLastStableOffset(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	f.commit("g", 0, 10)
	f.inTransaction("open", &kgo.Record{Topic: "orders", Value: []byte("v")})
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(HighWatermark())...)
	<-feed.Ready()
	feed.stop()
	feed = runFeed(t, store, f.opts()...)
	<-feed.Ready()
	require.Equal(t, lags{"g orders 0": "10 11 1"}, storedLags(t, store))
	require.Equal(t, 1, feed.Status().OpenPartitions)
}

// A partition without a leader keeps its end, which ages, and the others are polled.
func TestLeaderlessPartitionKeepsItsEnd(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	for partition := range int32(3) {
		f.commit("g", partition, 4)
	}
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often), WithMode(ModePoll))...)
	<-feed.Ready()
	without := f.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Partitions: []int32{1},
		Err: kerr.LeaderNotAvailable, Count: -1})
	f.produce("orders", 5)
	agree(t, store, lags{"g orders 0": "4 15 11", "g orders 1": "4 10 6", "g orders 2": "4 15 11"})
	eventually(t, "the failure is told", func() bool { return feed.Status().Errors[askEnds] > 0 })
	require.ErrorIs(t, feed.Status().LastError, kerr.LeaderNotAvailable)
	seen := func(partition int) time.Duration {
		var group protocol.Group
		require.NoError(t, store.Group(t.Context(), "prod", "g", &group))
		return group.Topics[0].Partitions[partition].EndOffsetAge
	}
	eventually(t, "its end grows old", func() bool { return seen(1) > seen(0)+often })
	without.Remove()
	agree(t, store, lags{"g orders 0": "4 15 11", "g orders 1": "4 15 11", "g orders 2": "4 15 11"})
}

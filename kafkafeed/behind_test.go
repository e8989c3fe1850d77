package kafkafeed

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// If the log delivers nothing although more was written, Status says so. Records that compaction removed are not missed for ever.
func TestStatusTellsThatTheLogIsBehind(t *testing.T) {
	f := withLog(t)
	f.commit("g", 0, 3)
	f.log(logCommit(0, "g", 0, 3))
	var silent atomic.Bool     // from the second record on
	var compacted atomic.Int64 // the offset up to which the log was compacted
	silent.Store(true)
	f.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		request, hidden := r.(*kmsg.FetchRequest), false
		answer := emptyFetch(request)
		for i := range answer.Topics {
			for j := range answer.Topics[i].Partitions {
				answer.Topics[i].Partitions[j].HighWatermark = compacted.Load()
				hidden = hidden || request.Topics[i].Partitions[j].FetchOffset > 0
			}
		}
		return answer, nil, hidden && silent.Load()
	})
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	log := func() LogStatus { return feed.Status().Logs[0] }
	require.Equal(t, int64(1), log().Next)

	f.log(logCommit(0, "g", 0, 4), logCommit(0, "g", 0, 5))
	eventually(t, "the end is beyond what was read", func() bool { return log().End == 3 })
	require.Equal(t, int64(1), log().Next)
	require.Equal(t, "3 100 97", storedLags(t, store)["g orders 0"])

	compacted.Store(3)
	eventually(t, "nothing is missing", func() bool { return log().Next == 3 })
	silent.Store(false)
	f.log(logCommit(0, "g", 0, 6))
	eventually(t, "it reads on", func() bool { return storedLags(t, store)["g orders 0"] == "6 100 94" })
}

// A poll without the end of a log partition cannot tell whether the feed is behind, and does not count as complete.
func TestPollWithoutTheEndOfTheLogIsNotComplete(t *testing.T) {
	for name, opts := range map[string][]Opt{"hidden topic": nil, "wanted topic": {Topics(func(string) bool { return true })}} {
		t.Run(name, func(t *testing.T) {
			f := withLog(t)
			f.commit("g", 0, 3)
			f.log(logCommit(0, "g", 0, 3))
			store := openStore(t, "")
			hook := &polls{}
			feed := runFeed(t, store, f.opts(append(opts, Interval(often), WithHooks(hook))...)...)
			<-feed.Ready()
			leaderless := f.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: logTopic, Partitions: []int32{1},
				Err: kerr.LeaderNotAvailable, Count: -1})
			failed := func() uint64 { s := feed.Status(); return s.Errors[askStarts] + s.Errors[askEnds] }
			// A poll has at most two failures, and the first one may have got the end of the log before.
			eventually(t, "a whole poll fails", func() bool { return failed() > 2 })
			last, errors := feed.Status().LastPoll, failed()
			eventually(t, "it fails again", func() bool { return failed() > errors })
			require.Equal(t, last, feed.Status().LastPoll)
			f.produce("orders", 5)
			eventually(t, "ends are stored", func() bool { return storedLags(t, store)["g orders 0"] == "3 105 102" })
			require.Equal(t, last, feed.Status().LastPoll)
			leaderless.Remove()
			eventually(t, "a poll is complete", func() bool { return feed.Status().LastPoll.After(last) })
		})
	}
}

// What groups have committed on a partition whose leader did not answer at the start is there when it does.
func TestCommitsOnAPartitionThatHadNoLeaderAtTheStart(t *testing.T) {
	f := withLog(t)
	leaderless := f.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Partitions: []int32{1},
		Err: kerr.LeaderNotAvailable, Count: -1})
	for partition := range int32(2) {
		f.commit("g", partition, 4)
		f.log(logCommit(0, "g", partition, 4))
	}
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	last := feed.Status().LastPoll
	for range 3 { // and what waited is dropped
		eventually(t, "it polls on", func() bool { return feed.Status().LastPoll.After(last) })
		last = feed.Status().LastPoll
	}
	require.Equal(t, lags{"g orders 0": "4 100 96"}, storedLags(t, store))
	leaderless.Remove()
	agree(t, store, lags{"g orders 0": "4 100 96", "g orders 1": "4 100 96"})
	require.Equal(t, ModeLog, feed.Status().Mode)
}

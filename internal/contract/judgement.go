package contract

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// judged are the fields of a partition in an answer beyond those of the v1.0.0 API; nil is unknown.
type judged struct {
	state      protocol.PartitionState
	difference *int64
	lost       *uint64
}

// behind is a known difference.
func behind(by int64) *int64 { return &by }

// judges checks those fields of a partition of "group" in "topic", and that there is no time lag without a difference. It
// returns the partition.
func (w *world) judges(partition int, want judged) *protocol.ConsumerPartition {
	w.t.Helper()
	p := w.partition("group", "topic", partition)
	got := judged{state: p.State, difference: p.Difference, lost: p.Lost}
	require.Equal(w.t, want.state, got.state, "State")
	require.Equal(w.t, want, got, "Difference and Lost")
	if want.difference == nil {
		require.Nil(w.t, p.TimeLag, "a time lag without a difference")
	}
	return p
}

// missing is a known number of lost messages.
func missing(n uint64) *uint64 { return &n }

// endOfTopic stores an end offset of a topic whose id is known.
func (w *world) endOfTopic(id protocol.TopicID, offset int64) {
	w.t.Helper()
	r := endOf("local", "topic", 0, 1, offset)
	r.TopicID = id
	w.sets(r)
}

// endAgo stores an end offset that was seen some time ago.
func (w *world) endAgo(offset, logStart int64, ago time.Duration) {
	w.t.Helper()
	r := endOf("local", "topic", 0, 1, offset)
	r.Timestamp, r.LogStartOffset = time.Now().Add(-ago).UnixMilli(), logStart
	w.sets(r)
}

// recent stores a commit that was made now.
func (w *world) recent(offset, order int64) {
	w.t.Helper()
	r := w.commitOf("group", "topic", 0, offset, order, 0)
	r.Timestamp = time.Now().UnixMilli()
	w.sets(r)
}

// exerciseJudgement covers State, Difference, EndOffsetAge, LogStartOffset, TimeLag and Lost. The checks rely only on this:
// the moment of an answer lies between the test's own moments before and after it.
func exerciseJudgement(t *testing.T, factory Factory) {
	behave(t, factory, []behaviour{
		{name: "no commit", run: func(w *world) {
			w.end("topic", 0, 3, 100)
			w.end("topic", 1, 3, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			p := w.judges(1, judged{state: protocol.PartitionNoCommit})
			require.NotNil(w.t, p.EndOffsetAge, "the end offset is known")
			p = w.judges(2, judged{state: protocol.PartitionNoCommit})
			require.Nil(w.t, p.EndOffsetAge, "no end offset is known")
		}},
		{name: "owner only", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.owner("group", "topic", 0, "host", "client")
			w.judges(0, judged{state: protocol.PartitionNoCommit})
		}},
		{name: "behind, caught up, ahead", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.recent(90, 1)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(10)})
			w.recent(100, 2)
			p := w.judges(0, judged{state: protocol.PartitionCaughtUp, difference: behind(0)})
			require.NotNil(w.t, p.TimeLag)
			require.Equal(w.t, protocol.TimeLagExact, p.TimeLag.Kind)
			require.Zero(w.t, p.TimeLag.Lag)
			w.recent(107, 3)
			p = w.judges(0, judged{state: protocol.PartitionAhead, difference: behind(-7)})
			require.Zero(w.t, p.CurrentLag)
			w.end("topic", 0, 1, 200)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(93)})
		}},
		{name: "an end offset that went back", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.recent(50, 1)
			w.end("topic", 0, 1, 99)
			w.judges(0, judged{state: protocol.PartitionReset})
			w.recent(60, 2)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(39)})
		}},
		{name: "the age of the end offset", run: func(w *world) {
			before := time.Now()
			w.endAgo(100, 0, 42*time.Second)
			w.recent(100, 1)
			p := w.judges(0, judged{state: protocol.PartitionCaughtUp, difference: behind(0)})
			require.NotNil(w.t, p.EndOffsetAge)
			// A module's clock may be coarse by less than a second.
			require.GreaterOrEqual(w.t, p.EndOffsetAge.Duration, 41*time.Second)
			require.LessOrEqual(w.t, p.EndOffsetAge.Duration, 43*time.Second+time.Since(before))
		}},
		{name: "the log start", run: func(w *world) {
			w.endAgo(100, 30, 0)
			w.recent(30, 1)
			p := w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(70)})
			require.NotNil(w.t, p.LogStartOffset)
			require.EqualValues(w.t, 30, *p.LogStartOffset)
			w.end("topic", 1, 2, 7)
			w.owner("group", "topic", 1, "host", "client")
			require.Nil(w.t, w.partition("group", "topic", 1).LogStartOffset, "0 is unknown")
		}},
		{name: "lost messages", run: func(w *world) {
			w.endAgo(100, 30, 0)
			w.recent(20, 1)
			p := w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(70), lost: missing(10)})
			require.EqualValues(w.t, 70, p.CurrentLag, "deleted messages are no lag")
			w.recent(30, 2)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(70)})
			w.endAgo(100, 100, 0)
			p = w.judges(0, judged{state: protocol.PartitionCaughtUp, difference: behind(0), lost: missing(70)})
			require.Zero(w.t, p.CurrentLag)
			require.Equal(w.t, protocol.TimeLagExact, p.TimeLag.Kind)
		}},
		{name: "the same topic, cut", run: func(w *world) {
			id := protocol.TopicID{1}
			w.endOfTopic(id, 100)
			w.recent(50, 1)
			w.endOfTopic(id, 60)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(10)})
			w.recent(60, 2)
			w.endOfTopic(id, 40)
			w.judges(0, judged{state: protocol.PartitionReset})
			w.endOfTopic(id, 70)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(10)})
			w.endOfTopic(id, 30)
			w.recent(20, 3)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(10)})
		}},
		{name: "another topic of the same name", run: func(w *world) {
			w.endOfTopic(protocol.TopicID{1}, 100)
			w.recent(50, 1)
			w.owner("other", "topic", 0, "host", "client")
			w.endOfTopic(protocol.TopicID{2}, 500)
			w.groups()
			w.ends("topic", 500)
			w.recent(10, 2)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(490)})
		}},
		{name: "a time lag is within its bound", run: exerciseTimeLag},
	})
}

// exerciseTimeLag stores three polls and fetches how long ago the messages of commits were the newest. When a message came
// between two polls is unknown, so a bound has to reach from one poll to the other.
func exerciseTimeLag(w *world) {
	before := time.Now()
	w.endAgo(100, 0, 10*time.Minute)
	w.endAgo(200, 0, 5*time.Minute)
	w.endAgo(300, 0, time.Minute)
	order := int64(0)
	at := func(commit int64) protocol.TimeLag {
		order++
		w.recent(commit, order)
		p := w.partition("group", "topic", 0)
		require.NotNil(w.t, p.TimeLag, "commit %d", commit)
		return *p.TimeLag
	}
	// slack is the duration of the test itself plus what a coarse clock may hide.
	slack := func() time.Duration { return time.Since(before) + time.Second }
	minutes := func(n int64) time.Duration { return time.Duration(n) * time.Minute }

	lag := at(50)
	require.Equal(w.t, protocol.TimeLagAtLeast, lag.Kind, "the message is older than the first end offset")
	require.GreaterOrEqual(w.t, lag.Lag, minutes(10)-slack())
	require.LessOrEqual(w.t, lag.Lag, minutes(10)+slack(), "no more is known")
	for _, c := range []struct{ commit, most, least int64 }{{110, 10, 5}, {190, 10, 5}, {250, 5, 1}} {
		lag = at(c.commit)
		require.Equal(w.t, protocol.TimeLagInterpolated, lag.Kind, "commit %d", c.commit)
		require.LessOrEqual(w.t, lag.Lag-lag.Margin, minutes(c.least)+slack(), "commit %d: it may be as young", c.commit)
		require.GreaterOrEqual(w.t, lag.Lag+lag.Margin, minutes(c.most)-slack(), "commit %d: it may be as old", c.commit)
		require.LessOrEqual(w.t, lag.Lag, minutes(c.most)+slack(), "commit %d: it is no older", c.commit)
		require.GreaterOrEqual(w.t, lag.Lag, minutes(c.least)-slack(), "commit %d: it is no younger", c.commit)
		require.LessOrEqual(w.t, lag.Margin, minutes(c.most-c.least)+slack(), "commit %d: more is known", c.commit)
	}
	lag = at(300)
	require.Equal(w.t, protocol.TimeLagExact, lag.Kind)
	require.Zero(w.t, lag.Lag)
	require.GreaterOrEqual(w.t, lag.Margin, minutes(1)-slack(), "the message may be younger than the last poll")
	require.LessOrEqual(w.t, lag.Margin, minutes(1)+slack())
}

// exerciseJudgementInTime covers how a judgement changes as time passes, in bubbles with a clock of their own.
func exerciseJudgementInTime(t *testing.T, factory Factory) {
	poll := func(w *world, offset int64) {
		w.pass(10 * time.Second)
		w.end("topic", 0, 1, offset)
	}
	inBubbles(t, factory, []behaviour{
		{name: "beyond the end for good", config: worldConfig, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.pass(10 * time.Second)
			w.recent(150, 1)
			w.judges(0, judged{state: protocol.PartitionAhead, difference: behind(-50)})
			poll(w, 110)
			poll(w, 120)
			p := w.judges(0, judged{state: protocol.PartitionBeyondEnd, difference: behind(-30)})
			require.Zero(w.t, p.CurrentLag)
			if p.TimeLag != nil {
				require.NotEqual(w.t, protocol.TimeLagExact, p.TimeLag.Kind, "the group reads nothing that is written")
			}
			poll(w, 160)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(10)})
		}},
		{name: "ahead between two polls", config: worldConfig, run: func(w *world) {
			for i := range int64(5) {
				poll(w, 100*(i+1))
				w.pass(5 * time.Second)
				w.recent(100*(i+1)+50, i+1)
				w.judges(0, judged{state: protocol.PartitionAhead, difference: behind(-50)})
			}
		}},
		{name: "a dip that is over in time", config: worldConfig, run: func(w *world) {
			w.end("topic", 0, 1, 1000)
			w.recent(900, 1)
			poll(w, 998)
			w.judges(0, judged{state: protocol.PartitionReset})
			poll(w, 1000)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(100)})
			poll(w, 990)
			w.pass(time.Minute)
			poll(w, 1010)
			w.judges(0, judged{state: protocol.PartitionReset})
			w.recent(950, 2)
			w.judges(0, judged{state: protocol.PartitionBehind, difference: behind(60)})
		}},
		{name: "a poll from before", config: worldConfig, run: func(w *world) {
			w.pass(time.Minute)
			w.end("topic", 0, 1, 1000)
			w.recent(900, 1)
			late := endOf("local", "topic", 0, 1, 990)
			late.Timestamp -= 5000
			w.drops(storage.ErrStale, late)
			w.drops(storage.ErrStale, late)
			w.ends("topic", 1000)
			w.sets(late)
			w.ends("topic", 990)
		}},
	})
}

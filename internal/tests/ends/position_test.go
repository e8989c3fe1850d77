package ends_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestBelowTheLogStart has a group at 90 of a log from 100 to 100: nothing is left to read, and ten messages are lost.
func TestBelowTheLogStart(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(100)
		w.commit("group", 0, 90)
		w.is("group", protocol.PartitionBehind, 10)
		for range 10 {
			sleep(3600)
			w.start = 100
			w.end(100)
			p := w.is("group", protocol.PartitionCaughtUp, 0)
			require.EqualValues(w, 10, p.Lost)
			require.Equal(w, protocol.TimeLag{Kind: protocol.TimeLagExact}, p.TimeLag)
			require.EqualValues(w, 100, p.LogStartOffset)
			require.EqualValues(w, 10, p.Commits[0].Lag, "the lag of a commit does not change")
		}
		w.commit("group", 0, 95)
		p := w.is("group", protocol.PartitionCaughtUp, 0)
		require.EqualValues(w, 5, p.Lost)
		require.EqualValues(w, 5, p.Commits[1].Lag, "end less offset, whatever the log start")
	})
}

// TestHalfDeletedLog has a group an hour behind whose oldest readable message was written 11 seconds ago.
func TestHalfDeletedLog(t *testing.T) {
	bubble(t, func(w *world) {
		for i := range int64(361) {
			w.end(100 * i)
			sleep(10)
		}
		w.commit("group", 0, 10)
		w.commit("ahead of it", 0, 35_995)
		sleep(1)
		w.start = 35_990
		w.end(36_000)
		p := w.is("group", protocol.PartitionBehind, 10)
		require.EqualValues(w, 35_980, p.Lost)
		require.Equal(w, protocol.TimeLagInterpolated, p.TimeLag.Kind)
		require.InDelta(w, 12*time.Second, p.TimeLag.Lag, float64(p.TimeLag.Margin))
		require.LessOrEqual(w, p.TimeLag.Margin, 10*time.Second)
		require.Zero(w, w.is("ahead of it", protocol.PartitionBehind, 5).Lost)
	})
}

// TestLogStartAboveTheEnd has a log start that was read after the end offset, when the log had grown and been emptied.
func TestLogStartAboveTheEnd(t *testing.T) {
	bubble(t, func(w *world) {
		w.start = 120
		w.end(100)
		w.commit("group", 0, 50)
		p := w.is("group", protocol.PartitionCaughtUp, 0)
		require.EqualValues(w, 70, p.Lost)
		w.commit("group", 0, 110)
		require.EqualValues(w, 10, w.is("group", protocol.PartitionAhead, -10).Lost)
	})
}

// TestNegativeLogStart polls as a poller does that does not know the log start.
func TestNegativeLogStart(t *testing.T) {
	bubble(t, func(w *world) {
		for _, start := range []int64{0, -1, math.MinInt64} {
			w.start = start
			w.end(100)
			w.commit("group", 0, 50)
			p := w.is("group", protocol.PartitionBehind, 50)
			require.Zero(w, p.Lost)
			require.EqualValues(w, -1, p.LogStartOffset)
		}
		w.start = 60
		w.end(100)
		w.start = -1
		w.end(100)
		require.EqualValues(w, 10, w.is("group", protocol.PartitionBehind, 40).Lost, "a poller without a log start removes nothing")
	})
}

// TestNegativeOffsets stores the values that Kafka uses for "unknown".
func TestNegativeOffsets(t *testing.T) {
	bubble(t, func(w *world) {
		for _, offset := range []int64{-1, -2, math.MinInt64} {
			require.ErrorIs(w, w.poll(offset, 0), storage.ErrInvalid)
		}
		topics, err := w.db.Topics(w.Context(), testkit.Cluster)
		require.NoError(w, err)
		for topic := range topics {
			w.Fatalf("topic %q appeared", topic)
		}
		w.end(100)
		w.commit("group", 0, 90)
		for _, offset := range []int64{-1, -2, math.MinInt64} {
			require.ErrorIs(w, w.pollOf(0, 7, offset, 0), storage.ErrInvalid)
			for _, group := range []string{"group", "other"} {
				require.ErrorIs(w, w.db.Commit(w.Context(), testkit.Cluster, group, protocol.Commit{
					Topic: "topic", Offset: offset, Order: 100, Timestamp: time.Now().UnixMilli(),
				}), storage.ErrInvalid)
			}
		}
		p := w.is("group", protocol.PartitionBehind, 10)
		require.Len(w, p.Commits, 1)
		require.Equal(w, []int64{100}, p.EndOffsets)
		var into protocol.Group
		require.ErrorIs(w, w.db.Group(w.Context(), testkit.Cluster, "other", &into), storage.ErrUnknownGroup)
	})
}

// TestBeyondEnd has a group whose commits a mirror left above the end: harmless between two polls, alarming after them.
func TestBeyondEnd(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(100)
		w.commit("group", 0, 150)
		p := w.is("group", protocol.PartitionAhead, -50)
		require.Equal(w, protocol.TimeLagExact, p.TimeLag.Kind)
		sleep(30)
		w.end(110)
		w.is("group", protocol.PartitionAhead, -40)
		w.end(110) // the same moment again is no other poll
		w.is("group", protocol.PartitionAhead, -40)
		for i := range int64(3) {
			sleep(30)
			w.end(111 + i)
			p = w.is("group", protocol.PartitionBeyondEnd, -39+i)
			require.Equal(w, protocol.TimeLagUnknown, p.TimeLag.Kind)
		}
		// A mirrored group keeps committing beyond the end.
		for i := range int64(10) {
			w.commit("group", 0, 160+i)
			w.is("group", protocol.PartitionBeyondEnd, 113-160-i)
			sleep(30)
			w.end(113)
		}
		w.commit("group", 0, 113)
		w.is("group", protocol.PartitionCaughtUp, 0)
		w.commit("group", 0, 114)
		w.is("group", protocol.PartitionAhead, -1)
		sleep(30)
		w.end(114)
		w.is("group", protocol.PartitionCaughtUp, 0)
	})
}

// TestFastGroupIsOnlyAhead commits every five seconds between polls: it is AHEAD at most, whatever it commits.
func TestFastGroupIsOnlyAhead(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(0)
		for i := range int64(200) {
			sleep(5)
			w.commit("group", 0, 10*i)
			if i%6 == 0 {
				w.end(10 * i)
				w.is("group", protocol.PartitionCaughtUp, 0)
			} else {
				w.is("group", protocol.PartitionAhead, -10*(i%6))
			}
		}
	})
}

// TestBeyondEndAfterAReset has old commits of a longer log in its window, which do not count.
func TestBeyondEndAfterAReset(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(1000)
		w.commit("group", 0, 990)
		for range 5 {
			sleep(30)
			w.end(10)
		}
		w.commit("group", 0, 12)
		w.is("group", protocol.PartitionAhead, -2)
	})
}

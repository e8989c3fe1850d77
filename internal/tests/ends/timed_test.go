package ends_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestTimedEndOffsets follows the times of end offsets in an answer.
func TestTimedEndOffsets(t *testing.T) {
	bubble(t, func(w *world) {
		begin := time.Now()
		at := func(seconds int, offset int64) protocol.TimedEndOffset {
			return protocol.TimedEndOffset{Offset: offset, Time: begin.Add(time.Duration(seconds) * time.Second)}
		}
		w.end(100)
		w.commit("group", 0, 100)
		require.Equal(w, []protocol.TimedEndOffset{at(0, 100)}, w.look("group", 0).TimedEndOffsets)
		for i := range 2 {
			time.Sleep(10 * time.Second)
			w.end(int64(110 + 10*i))
		}
		want := []protocol.TimedEndOffset{at(0, 100), at(10, 110), at(20, 120)}
		require.Equal(w, want, w.look("group", 0).TimedEndOffsets, "it is behind")
		w.commit("group", 0, 120)
		require.Equal(w, want, w.look("group", 0).TimedEndOffsets, "it has caught up")

		// An end offset that does not change has the first and the last time at which it was seen.
		time.Sleep(10 * time.Second)
		w.end(120)
		time.Sleep(10 * time.Second)
		w.end(120)
		want = append(want, at(40, 120))
		require.Equal(w, want, w.look("group", 0).TimedEndOffsets)

		// Of many only the recent ones are in the answer.
		for i := range 20 {
			time.Sleep(10 * time.Second)
			w.end(int64(130 + 7*i + i%2))
		}
		got := w.look("group", 0).TimedEndOffsets
		require.Equal(w, at(240, 130+7*19+1), got[len(got)-1])
		require.Len(w, got, 5)

		// The log begins anew.
		time.Sleep(10 * time.Second)
		w.end(5)
		w.is("group", protocol.PartitionReset)
		require.Equal(w, at(250, 5), w.look("group", 0).TimedEndOffsets[len(w.look("group", 0).TimedEndOffsets)-1])
		time.Sleep(61 * time.Second)
		w.end(9)
		w.commit("group", 0, 7)
		require.Equal(w, []protocol.TimedEndOffset{at(250, 5), at(311, 9)}, w.look("group", 0).TimedEndOffsets)
	})
}

// TestTimedEndOffsetsWereMeasured seeds points from before the store began, which no answer shows as measurements.
func TestTimedEndOffsetsWereMeasured(t *testing.T) {
	bubble(t, func(w *world) {
		require.NoError(w, w.poll(500, 60))
		w.end(600)
		require.NoError(w, w.seed(pointAgo(200, 12_600), pointAgo(300, 3600), pointAgo(500, 100)))
		w.commit("group", 0, 250)
		want := []protocol.TimedEndOffset{{Offset: 500, Time: time.Now().Add(-time.Minute)}, {Offset: 600, Time: time.Now()}}
		require.Equal(w, want, w.look("group", 0).TimedEndOffsets)
	})
}

package ends_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// seed stores the end offset that partition 0 of "topic" had some seconds ago.
func (w *world) seed(points ...protocol.EndOffsetAt) error {
	return w.db.SeedEndOffsets(w.Context(), testkit.Cluster, "topic", 0, points)
}

func pointAgo(offset int64, seconds int) protocol.EndOffsetAt {
	return protocol.EndOffsetAt{
		Offset: offset, Time: time.Now().Add(-time.Duration(seconds) * time.Second), Margin: 1500 * time.Microsecond,
		Source: protocol.TimeSourceBroker,
	}
}

// TestSeedSurvives fetches a lag that is older than the store, after a restart too.
func TestSeedSurvives(t *testing.T) {
	ask := func(w *world) {
		w.commit("group", 0, 250)
		require.Equal(w, protocol.TimeLag{
			Kind: protocol.TimeLagInterpolated, Lag: 8_100_000 * time.Millisecond, Margin: 9_000_002 * time.Millisecond, Source: protocol.TimeSourceBroker,
		}, w.look("group", 0).TimeLag)
		w.commit("group", 0, 100)
		require.Equal(w, protocol.TimeLag{
			Kind: protocol.TimeLagAtLeast, Lag: 12_599_998 * time.Millisecond, Source: protocol.TimeSourceBroker,
		}, w.look("group", 0).TimeLag)
		w.commit("group", 0, 500)
		require.Equal(w, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 30_000 * time.Millisecond, Margin: 60_000 * time.Millisecond}, w.look("group", 0).TimeLag)
	}
	again(t, func(w *world) {
		require.NoError(w, w.poll(400, 60))
		w.end(600)
		require.NoError(w, w.seed(pointAgo(200, 12_600), pointAgo(300, 3600)))
		ask(w)
	}, ask)
}

// TestSeedNamesWhatIsInvalid checks the errors.
func TestSeedNamesWhatIsInvalid(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(600)
		late, wide, foreign := pointAgo(300, -60), pointAgo(300, 60), pointAgo(300, 60)
		wide.Margin, foreign.Source = -time.Second, "oracle"
		for want, points := range map[string][]protocol.EndOffsetAt{
			"invalid offset -1 of point 0: must be at least 0":                               {pointAgo(-1, 60)},
			"invalid offset 299 of point 1: must be at least 300, that of the point before":  {pointAgo(300, 60), pointAgo(299, 50)},
			"invalid offset 601 of point 1: must be at most the newest end offset 600":       {pointAgo(300, 60), pointAgo(601, 50)},
			"invalid time 2000-01-01T00:01:00.000Z of point 0: must not be after now, 2000-": {late},
			"invalid margin -1s of point 0: must be between 0 and 720h0m0s":                  {wide},
			`invalid source "oracle" of point 0: must be "store", "broker" or "producer"`:    {foreign},
			"invalid number of points 129: must be at most 128":                              make([]protocol.EndOffsetAt, 129),
		} {
			err := w.seed(points...)
			require.ErrorIs(w, err, storage.ErrInvalid)
			require.ErrorContains(w, err, want)
		}
	})
}

// TestSeedWithoutCurves seeds a store whose lag in time is turned off.
func TestSeedWithoutCurves(t *testing.T) {
	db := testkit.Open(t, func(o *storage.Options) { o.CurveSegments = -1 })
	w := &world{T: t, db: db}
	w.end(600)
	require.NoError(t, w.seed(pointAgo(300, 60)))
	require.ErrorIs(t, w.seed(pointAgo(700, 60)), storage.ErrInvalid)
	w.commit("group", 0, 250)
	require.Equal(t, protocol.TimeLag{}, w.look("group", 0).TimeLag)
}

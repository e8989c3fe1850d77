package contract

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseSeed stores end offsets from before the store began, and fetches lags in time that are older than the store.
func exerciseSeed(t *testing.T, w *world) {
	ctx := context.Background()
	before := time.Now()
	end := func(offset int64, ago time.Duration) {
		r := endOf("local", "seeded", 0, 2, offset)
		r.Timestamp = before.Add(-ago).UnixMilli()
		w.sets(r)
	}
	end(500, 2*time.Minute)
	end(600, time.Minute)
	ago := func(offset int64, ago time.Duration) protocol.EndOffsetAt {
		return protocol.EndOffsetAt{
			Offset: offset, Time: before.Add(-ago), Margin: time.Minute, Source: protocol.TimeSourceProducer,
		}
	}
	seed := func(points ...protocol.EndOffsetAt) error {
		return w.store.SeedEndOffsets(ctx, "local", "seeded", 0, points)
	}
	order := int64(0)
	lag := func(commit int64) protocol.TimeLag {
		order++
		r := w.commitOf("behind", "seeded", 0, commit, order, 0)
		r.Timestamp = time.Now().UnixMilli()
		w.sets(r)
		p := w.partition("behind", "seeded", 0)
		require.NotNil(t, p.TimeLag, "commit %d", commit)
		return *p.TimeLag
	}
	// slack is the duration of the test itself plus what a coarse clock may hide.
	slack := func() time.Duration { return time.Since(before) + time.Second }

	require.ErrorIs(t, w.store.SeedEndOffsets(ctx, "nowhere", "seeded", 0, nil), storage.ErrUnknownCluster)
	require.ErrorIs(t, w.store.SeedEndOffsets(ctx, "local", "unknown", 0, nil), storage.ErrUnknownTopic)
	for _, partition := range []int32{-1, 1, 2} {
		require.ErrorIs(t, w.store.SeedEndOffsets(ctx, "local", "seeded", partition, nil), storage.ErrUnknownPartition)
	}
	changed := func(change func(p *protocol.EndOffsetAt)) protocol.EndOffsetAt {
		p := ago(300, time.Hour)
		change(&p)
		return p
	}
	for name, points := range map[string][]protocol.EndOffsetAt{
		"a negative offset":       {ago(-1, time.Hour)},
		"above the newest":        {ago(100, time.Hour), ago(601, time.Minute)},
		"offsets that descend":    {ago(300, 2*time.Hour), ago(299, time.Hour)},
		"times that descend":      {ago(300, time.Hour), ago(300, 2*time.Hour)},
		"the same time twice":     {ago(300, time.Hour), ago(400, time.Hour)},
		"the future":              {ago(300, -24*time.Hour)},
		"a negative margin":       {changed(func(p *protocol.EndOffsetAt) { p.Margin = -1 })},
		"too wide a margin":       {changed(func(p *protocol.EndOffsetAt) { p.Margin = protocol.MaxTimeMargin + 1 })},
		"no source":               {changed(func(p *protocol.EndOffsetAt) { p.Source = "" })},
		"another source":          {changed(func(p *protocol.EndOffsetAt) { p.Source = "oracle" })},
		"a time that is not set":  {changed(func(p *protocol.EndOffsetAt) { p.Time = time.Time{} })},
		"more than there may be":  make([]protocol.EndOffsetAt, 129),
		"one of several is wrong": {ago(300, time.Hour), ago(300, 30*time.Minute), ago(-1, time.Minute)},
	} {
		require.ErrorIs(t, seed(points...), storage.ErrInvalid, name)
	}
	unseeded := lag(250)
	require.Equal(t, protocol.TimeLagAtLeast, unseeded.Kind)
	require.LessOrEqual(t, unseeded.Lag, 2*time.Minute+slack(), "invalid points changed nothing")
	require.Empty(t, unseeded.Source)

	// The last point is not older than what the store has seen.
	require.NoError(t, seed(ago(200, 4*time.Hour), ago(300, time.Hour), ago(600, 90*time.Second)))
	seeded := lag(250)
	require.Equal(t, protocol.TimeLagInterpolated, seeded.Kind)
	require.Equal(t, protocol.TimeSourceProducer, seeded.Source)
	require.LessOrEqual(t, seeded.Lag-seeded.Margin, 59*time.Minute+slack(), "it may be as young")
	require.GreaterOrEqual(t, seeded.Lag+seeded.Margin, 4*time.Hour+time.Minute-slack(), "it may be as old")
	require.LessOrEqual(t, seeded.Margin, 3*time.Hour+2*time.Minute+slack(), "more is known")
	oldest := lag(100)
	require.Equal(t, protocol.TimeLagAtLeast, oldest.Kind)
	require.Equal(t, protocol.TimeSourceProducer, oldest.Source)
	require.GreaterOrEqual(t, oldest.Lag, 4*time.Hour-time.Minute-slack())
	require.LessOrEqual(t, oldest.Lag, 4*time.Hour-time.Minute+slack(), "its margin may have made it older than it is")
	measured := lag(550)
	require.Equal(t, protocol.TimeLagInterpolated, measured.Kind)
	require.Empty(t, measured.Source, "the store has seen both ends")
	require.LessOrEqual(t, measured.Lag+measured.Margin, 3*time.Minute+slack())

	w.ends("seeded", 600, -1)
	require.Equal(t, []int64{500, 600}, w.partition("behind", "seeded", 0).BrokerOffsets, "points are no end offsets")
	require.NoError(t, seed(), "an empty list is valid")
	end(90, 0)
	require.Empty(t, lag(50).Source, "the points belong to the previous incarnation")
}

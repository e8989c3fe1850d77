// Package clock_test tests how the store handles time.
package clock_test

import (
	"math/rand/v2"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// partitionTruth is a partition of which it is known when every message was written.
type partitionTruth struct{ written []int64 }

// lag returns how long ago the message at an offset was the newest; 0 if it is not written yet.
func (p *partitionTruth) lag(offset, now int64) int64 {
	if offset >= int64(len(p.written)) {
		return 0
	}
	return now - p.written[offset]
}

// endAt returns the end offset at a moment.
func (p *partitionTruth) endAt(at int64) int64 {
	return int64(sort.Search(len(p.written), func(i int) bool { return p.written[i] > at }))
}

// TestTimeLagHoldsTheTruth compares every lag in time with the truth, at moments that are so close together that the store
// may use its coarse clock.
func TestTimeLagHoldsTheTruth(t *testing.T) {
	t.Parallel()
	kinds := map[protocol.TimeLagKind]int{}
	for range 8 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) { holdTheTruth(t, seed, kinds) })
	}
	for _, kind := range []protocol.TimeLagKind{protocol.TimeLagExact, protocol.TimeLagInterpolated, protocol.TimeLagAtLeast} {
		require.NotZero(t, kinds[kind], "no lag was %v", kind)
	}
}

func holdTheTruth(t *testing.T, seed uint64, kinds map[protocol.TimeLagKind]int) {
	random := rand.New(rand.NewPCG(seed, 0))
	const segments = 16
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}, CurveSegments: segments})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var (
		ctx    = t.Context()
		truth  partitionTruth
		group  protocol.Group
		order  int64
		offset int64
	)
	write := func() {
		for range random.IntN(8) {
			truth.written = append(truth.written, time.Now().UnixMilli())
		}
	}
	poll := func() {
		now := time.Now().UnixMilli()
		ends := []protocol.EndOffset{{Offset: truth.endAt(now), TopicPartitionCount: 1}}
		switch random.IntN(4) {
		case 0:
			ends[0].Timestamp = now
		case 1:
			// The end offset is stored a moment after it was seen, with the time when it was.
			ends[0].Timestamp = now
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		case 2:
			require.NoError(t, db.SetEndOffset(ctx, "local", "topic", ends[0]))
			return
		}
		require.NoError(t, db.SetEndOffsetBatch(ctx, "local", "topic", ends))
	}
	commit := func() {
		if random.IntN(50) == 0 {
			offset = random.Int64N(int64(len(truth.written)) + 1)
		}
		offset = min(offset+random.Int64N(12), int64(len(truth.written)))
		order++
		require.NoError(t, db.Commit(ctx, "local", "group", protocol.Commit{
			Topic: "topic", Offset: offset, Order: order, Timestamp: time.Now().UnixMilli(),
		}))
	}
	look := func() {
		require.NoError(t, db.Group(ctx, "local", "group", &group))
		p := &group.Topics[0].Partitions[0]
		now := time.Now().UnixMilli()
		lag, want := p.TimeLag, truth.lag(offset, now)
		kinds[lag.Kind]++
		switch lag.Kind {
		case protocol.TimeLagExact, protocol.TimeLagInterpolated:
			require.LessOrEqual(t, (lag.Lag - lag.Margin).Milliseconds(), want, "seed %d: %+v at %d", seed, lag, now)
			require.GreaterOrEqual(t, (lag.Lag + lag.Margin).Milliseconds(), want, "seed %d: %+v at %d", seed, lag, now)
		case protocol.TimeLagAtLeast:
			require.LessOrEqual(t, lag.Lag.Milliseconds(), want, "seed %d: %+v at %d", seed, lag, now)
		}
		require.GreaterOrEqual(t, p.EndOffsetAge, time.Duration(0), "seed %d", seed)
	}
	for range 100 {
		write()
		time.Sleep(time.Millisecond)
	}
	poll()
	commit()
	for range 6000 {
		switch n := random.IntN(20); {
		case n < 6:
			write()
		case n == 6 && random.IntN(4) == 0:
			poll()
		case n < 12:
			commit()
		default:
			look()
		}
		time.Sleep(time.Duration(random.IntN(4)) * time.Millisecond)
		synctest.Wait()
	}
}

package trend

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// TestProperties checks the properties of a trend on arbitrary windows, with offsets and times that repeat, go back and reach
// both ends of int64.
func TestProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 20_000 {
		commits, ends, now := randomWindow(r), randomEnds(r), time.UnixMilli(anyInt64(r))
		got := Of(commits, ends, now)

		for what, rate := range map[string]Rate{"consumed": got.Consumed, "produced": got.Produced} {
			if !(rate.PerSecond >= 0) || math.IsInf(rate.PerSecond, 0) || !rate.Known && rate.PerSecond != 0 {
				t.Fatalf("%s %+v of %v, %v at %v", what, rate, commits, ends, now)
			}
		}
		for what, d := range map[string]Duration{"catch-up": got.CatchUp, "freshness": got.Freshness} {
			if d.Length < 0 || !d.Known && d.Length != 0 {
				t.Fatalf("%s %+v of %v, %v at %v", what, d, commits, ends, now)
			}
		}
		if got.Freshness.Known != (len(commits) > 0) {
			t.Fatalf("freshness %+v of %d commits", got.Freshness, len(commits))
		}
		if len(commits) < 2 && got.Consumed.Known || len(ends) < 2 && got.Produced.Known {
			t.Fatalf("a rate from a single value: %+v of %v, %v", got, commits, ends)
		}
		if c := got.CatchUp; c.Known && c.Length > 0 && !(got.Consumed.PerSecond > got.Produced.PerSecond) {
			t.Fatalf("catches up without being faster: %+v", got)
		}

		// What lies before the newest run has no effect.
		if len(commits) > 0 && commits[0].Offset > math.MinInt64 && len(ends) > 0 && ends[0].Offset < math.MaxInt64 {
			older := slices.Insert(slices.Clone(commits), 0, protocol.StoredCommit{Offset: math.MaxInt64, Timestamp: math.MaxInt64, Lag: 1, LagKnown: true})
			olderEnds := slices.Insert(slices.Clone(ends), 0, protocol.TimedEndOffset{Offset: math.MaxInt64, Time: time.UnixMilli(math.MaxInt64)})
			if commits[0].Offset < math.MaxInt64 {
				if again := Of(older, olderEnds, now); again != got {
					t.Fatalf("%+v became %+v with something before the run of %v, %v", got, again, commits, ends)
				}
			}
		}
		// The rate of a silent group only falls.
		if now.UnixMilli() < math.MaxInt64 {
			if later := Consumption(commits, now.Add(time.Millisecond)); later.Known != got.Consumed.Known || later.PerSecond > got.Consumed.PerSecond {
				t.Fatalf("%+v became %+v a ms later", got.Consumed, later)
			}
		}
	}
}

// TestDirectionMirrors reverses the lags: a growing lag then shrinks, and the other way round.
func TestDirectionMirrors(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	seen := map[Direction]int{Unknown: 0, Shrinking: 0, Steady: 0, Growing: 0}
	for range 5000 {
		n := r.IntN(20)
		slope := r.Int64N(21) - 10
		values := make([]int64, n)
		for i := range values {
			values[i] = max(0, 500+slope*int64(i)+r.Int64N(60))
		}
		forward := DirectionOf(lags(values...), nil)
		slices.Reverse(values)
		backward := DirectionOf(lags(values...), nil)
		mirror := map[Direction]Direction{Unknown: Unknown, Shrinking: Growing, Steady: Steady, Growing: Shrinking}
		if backward != mirror[forward] {
			t.Fatalf("%v: %s, and reversed %s", values, backward, forward)
		}
		seen[forward]++
	}
	for d, n := range seen {
		if n == 0 {
			t.Errorf("nothing was ever %q", d)
		}
	}
}

// TestChanceIsNoTrend counts how often noise is taken for a trend: the test allows for one series in ten.
func TestChanceIsNoTrend(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const runs = 20_000
	for _, n := range []int{4, 10, 30} {
		var trends int
		for range runs {
			values := make([]int64, n)
			for i := range values {
				values[i] = r.Int64N(1_000_000)
			}
			if DirectionOf(lags(values...), nil) != Steady {
				trends++
			}
		}
		if share := float64(trends) / runs; share > 0.11 {
			t.Errorf("%.3f of noise of %d lags is a trend", share, n)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	c, e := lags(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), ends(60, 10_000, 90, 20_000)
	if n := testing.AllocsPerRun(100, func() { Of(c, e, time.Unix(100, 0)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOf(b *testing.B) {
	c, e := lags(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), ends(60, 10_000, 90, 20_000)
	b.ReportAllocs()
	for b.Loop() {
		Of(c, e, time.Unix(100, 0))
	}
}

func randomWindow(r *rand.Rand) []protocol.StoredCommit {
	c := make([]protocol.StoredCommit, r.IntN(12))
	wild := r.IntN(2) == 0
	var at, offset int64
	for i := range c {
		at, offset = next(r, at, wild), next(r, offset, wild)
		c[i] = protocol.StoredCommit{Timestamp: at, Offset: offset, Lag: r.Uint64() >> r.IntN(64), LagKnown: r.IntN(5) > 0}
	}
	return c
}

func randomEnds(r *rand.Rand) []protocol.TimedEndOffset {
	e := make([]protocol.TimedEndOffset, r.IntN(12))
	wild := r.IntN(2) == 0
	var at, offset int64
	for i := range e {
		at, offset = next(r, at, wild), next(r, offset, wild)
		e[i] = protocol.TimedEndOffset{Time: time.UnixMilli(at), Offset: offset}
	}
	return e
}

// next is a value that follows v, mostly a little greater.
func next(r *rand.Rand, v int64, wild bool) int64 {
	if wild && r.IntN(4) == 0 {
		return anyInt64(r)
	}
	return int64(uint64(v) + r.Uint64N(3)*uint64(r.IntN(20_000)))
}

func anyInt64(r *rand.Rand) int64 {
	switch r.IntN(4) {
	case 0:
		return []int64{math.MinInt64, -1, 0, 1, math.MaxInt64}[r.IntN(5)]
	case 1:
		return int64(r.Uint64())
	default:
		return r.Int64N(200_000)
	}
}

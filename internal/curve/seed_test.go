package curve

import (
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"
)

// history is a log in which the time of every message is known, in ms.
type history []int64

// end returns the end offset at a moment.
func (h history) end(at int64) int64 {
	return int64(sort.Search(len(h), func(i int) bool { return h[i] > at }))
}

// write appends messages from the last time on, in bursts and pauses, up to a given time.
func (h history) write(r *rand.Rand, from, through int64) history {
	for at := from; ; {
		at += r.Int64N(1 + r.Int64N(2*minute))
		if r.IntN(20) == 0 {
			at += r.Int64N(hour)
		}
		if at > through {
			return h
		}
		for range 1 + r.IntN(5) {
			h = append(h, at)
		}
	}
}

// TestSeedHoldsTheTruth seeds curves with points whose times are wrong by up to their margin, before and between polls. The truth
// about every message must be within the bound of every answer while the curve grows, is thinned and is saved. Observations must be
// answered as in a curve that was never seeded, as long as neither was thinned.
func TestSeedHoldsTheTruth(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	runs := 3000
	if raceEnabled {
		runs /= 10
	}
	seen := map[Estimate]int{}
	for range runs {
		const began = 8 * hour
		log := history{}.write(r, 0, began)
		limit := 2 + r.IntN(40)
		margin := r.Int64N(1 + []int64{0, second, 10 * minute, hour}[r.IntN(4)])
		var c, plain Curve
		now, thinned := int64(began), false
		for range 1 + r.IntN(60) {
			c.Observe(log.end(now), now, limit)
			plain.Observe(log.end(now), now, limit)
			if r.IntN(4) == 0 {
				c.Seed(randomPoints(r, log, began, margin), limit)
			}
			if r.IntN(8) == 0 {
				form := c.AppendBinary(nil)
				again, rest, err := Decode(form)
				if err != nil || len(rest) > 0 || !slices.Equal(again.AppendBinary(nil), form) {
					t.Fatalf("%x: %v", form, err)
				}
				c = again
			}
			checkInvariants(t, &c, limit)
			thinned = thinned || max(c.Len(), plain.Len()) >= limit-limit/4
			later := now + 1 + r.Int64N(5*minute)
			for range 20 {
				commit := r.Int64N(log.end(now) + 1)
				e := c.Lag(commit, later)
				seen[Estimate{Kind: e.Kind, Source: e.Source}]++
				if lag := later - at(log, commit, later); e.Kind == AtLeast && lag < e.Millis ||
					e.Kind == Interpolated && (lag > e.Millis+e.ErrorMillis || lag < e.Millis-e.ErrorMillis) {
					t.Fatalf("commit %d at %d lags %d, not %+v\n%v, seeded %d, margin %d", commit, later, lag, e,
						c.AppendSegments(nil), c.seeded, c.margin)
				}
				own := plain.Lag(commit, later)
				if own.Kind == Interpolated && !thinned && e != own {
					t.Fatalf("commit %d at %d lags %+v where %+v was observed", commit, later, e, own)
				}
			}
			log = log.write(r, now, later)
			now = later
		}
	}
	for _, want := range []Estimate{
		{Kind: Exact}, {Kind: Interpolated}, {Kind: Interpolated, Source: FromBroker}, {Kind: Interpolated, Source: FromProducer},
		{Kind: AtLeast}, {Kind: AtLeast, Source: FromStore}, {Kind: AtLeast, Source: FromProducer},
	} {
		if seen[want] == 0 {
			t.Errorf("nothing was ever answered as %s, source %d", want.Kind, want.Source)
		}
	}
}

// at returns when a message was written, or now if it is not written yet.
func at(log history, offset, now int64) int64 {
	if offset < int64(len(log)) {
		return log[offset]
	}
	return now
}

// randomPoints returns points of a log before a time, with times that are wrong by up to a margin.
func randomPoints(r *rand.Rand, log history, before, margin int64) []Point {
	var points []Point
	source := FromStore + Source(r.IntN(3))
	last := int64(-1)
	for truth := r.Int64N(before); truth < before; truth += 1 + r.Int64N(before/4) {
		told := max(0, truth+r.Int64N(2*margin+1)-margin)
		if told <= last {
			continue
		}
		points = append(points, Point{Offset: log.end(truth), At: told, Margin: uint32(margin), Source: source})
		last = told
	}
	return points
}

func TestSeed(t *testing.T) {
	const margin = 100
	point := func(at, offset int64) Point {
		return Point{Offset: offset, At: at, Margin: margin, Source: FromProducer}
	}
	c := observations(t, 10_000, 100, 11_000, 200, 12_000, 300)
	c.Seed([]Point{point(-1, -5), point(1000, 20), point(2000, 20), point(5000, 60), point(6000, 101), point(10_000, 100), point(11_000, 100)}, 8)
	want := []Segment{{20, 1000, 2000}, {60, 5000, 5000}, {100, 10_000, 10_000}, {200, 11_000, 11_000}, {300, 12_000, 12_000}}
	if got := c.AppendSegments(nil); !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	expect(t, "before all", c.Lag(10, 20_000), Estimate{AtLeast, 19_000 - margin, 0, FromProducer})
	expect(t, "between points", c.Lag(40, 20_000), Estimate{Interpolated, 16_500, 3000 + margin, FromProducer})
	expect(t, "between the last point and what was observed", c.Lag(60, 20_000), Estimate{Interpolated, 15_000, 5000 + margin, FromProducer})
	expect(t, "observed", c.Lag(150, 20_000), Estimate{Interpolated, 9500, 1000, Measured})
	expect(t, "caught up", c.Lag(300, 20_000), Estimate{Exact, 0, 8000, Measured})

	again := c.AppendBinary(nil)
	c.Seed([]Point{point(1500, 20), point(5000, 60), point(5500, 59), point(6000, 101)}, 8)
	if got := c.AppendBinary(nil); !slices.Equal(got, again) {
		t.Error("points that say nothing new changed the curve")
	}
	c.Seed([]Point{{Offset: 100, At: 8000, Source: FromBroker}}, 8)
	expect(t, "the end did not move", c.Lag(60, 20_000), Estimate{Interpolated, 15_000, 3000 + margin, FromProducer})
	expect(t, "still observed", c.Lag(150, 20_000), Estimate{Interpolated, 9500, 1000, Measured})

	c.Observe(400, 900, 8) // the clock went back by hours
	expect(t, "nothing is left", c.Lag(100, 20_000), Estimate{AtLeast, 19_100, 0, Measured})

	var empty Curve
	empty.Seed([]Point{point(1, 1)}, 8)
	expect(t, "empty", empty.Lag(1, 5), Estimate{})
	full := observations(t, 10_000, 100, 11_000, 200, 12_000, 300)
	full.Seed([]Point{point(1000, 10), point(2000, 20)}, 3)
	expect(t, "no room", full.Lag(20, 20_000), Estimate{AtLeast, 10_000, 0, Measured})
	expect(t, "what was observed stays", full.Lag(150, 20_000), Estimate{Interpolated, 9500, 1000, Measured})
}

// TestSeedThenBack moves the clock and the log back to times that are known from points alone.
func TestSeedThenBack(t *testing.T) {
	build := func() *Curve {
		c := observations(t, 10_000, 100, 11_000, 200)
		c.Seed([]Point{{Offset: 20, At: 1000, Margin: 50, Source: FromBroker}, {Offset: 60, At: 5000, Margin: 50, Source: FromBroker}}, 8)
		return c
	}
	c := build()
	c.Observe(220, 7000, 8)
	checkInvariants(t, c, 8)
	expect(t, "by the clock of now a lower bound", c.Lag(30, 8000), Estimate{AtLeast, 3000 - 50, 0, FromBroker})
	expect(t, "the new end is observed", c.Lag(100, 8000), Estimate{AtLeast, 1000, 0, Measured})

	c = build()
	c.Observe(60, 12_000, 8) // another incarnation
	checkInvariants(t, c, 8)
	expect(t, "nothing of the points is left", c.Lag(30, 13_000), Estimate{AtLeast, 1000, 0, Measured})

	c = build()
	c.CutAbove(60)
	c.Observe(60, 12_000, 8)
	checkInvariants(t, c, 8)
	expect(t, "between points", c.Lag(40, 12_000), Estimate{Interpolated, 9000, 4000 + 50, FromBroker})
	c.Observe(70, 13_000, 8)
	expect(t, "since the cut", c.Lag(65, 13_000), Estimate{Interpolated, 500, 1000, Measured})

	c = build()
	c.CutAbove(10)
	c.Observe(10, 12_000, 8)
	checkInvariants(t, c, 8)
	expect(t, "it was there when the first point was", c.Lag(5, 12_000), Estimate{AtLeast, 11_000 - 50, 0, FromBroker})
}

package trend

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// given describes a typed answer: commits as triples of a time in s, an offset and a lag (-1 for an unknown one), and the
// newest end offset with its age in s (-1 if there is none).
type given struct {
	state    protocol.PartitionState
	end, age int64
	triples  []int64
	// polls are the end offsets before the newest, as pairs of a time in s and an offset.
	polls []int64
}

func partition(state protocol.PartitionState, end, age int64, triples ...int64) given {
	return given{state: state, end: end, age: age, triples: triples}
}

func (g given) after(polls ...int64) given {
	g.polls = polls
	return g
}

// at makes the answer as of a time in s.
func (g given) at(now int64) *protocol.GroupPartition {
	return answer(g.state, g.end, g.age, now, g.polls, g.triples...)
}

func answer(state protocol.PartitionState, end, age, now int64, polls []int64, triples ...int64) *protocol.GroupPartition {
	p := &protocol.GroupPartition{State: state, EndOffsetAge: -1}
	for i := 0; i < len(triples); i += 3 {
		p.Commits = append(p.Commits, protocol.StoredCommit{
			Timestamp: triples[i] * 1000, ObservedTimestamp: triples[i] * 1000, Offset: triples[i+1],
			Lag: uint64(max(triples[i+2], 0)), LagKnown: triples[i+2] >= 0,
		})
	}
	if age >= 0 {
		p.EndOffsets, p.EndOffsetAge = []int64{1, end}, time.Duration(age)*time.Second
		p.TimedEndOffsets = ends(append(slices.Clone(polls), now-age, end)...)
	}
	return p
}

func TestOfPartition(t *testing.T) {
	const behind, ahead, none, reset = protocol.PartitionBehind, protocol.PartitionAhead, protocol.PartitionNoEndOffset, protocol.PartitionReset
	secs := func(s int64) Duration { return Duration{time.Duration(s) * time.Second, true} }
	for name, test := range map[string]struct {
		p    given
		now  int64 // s
		want Trend
	}{
		"nothing":           {partition(none, 0, -1), 100, Trend{}},
		"no commit":         {partition(protocol.PartitionNoCommit, 500, 10), 100, Trend{}},
		"no end offset":     {partition(none, 0, -1, 10, 5, 5), 100, Trend{Freshness: secs(90)}},
		"one commit":        {partition(behind, 110, 10, 60, 5, 5), 100, Trend{Produced: known(100.0 / 30), Freshness: secs(40)}},
		"lag never known":   {partition(behind, 110, 10, 60, 5, -1, 70, 15, -1), 100, Trend{Consumed: known(10.0 / 30), Freshness: secs(30)}},
		"commit after poll": {partition(behind, 110, 10, 92, 5, 105), 100, Trend{Freshness: secs(8)}},
		"in step": {partition(behind, 1060, 0, 30, 300, 100, 60, 600, 100, 90, 900, 100), 96, Trend{
			// The end was 400 at 30 s, 1060 at 96 s.
			Consumed: known(10), Produced: known(10), Lag: Steady, Freshness: secs(6),
		}},
		"catching up": {partition(behind, 1060, 0, 36, 100, 360, 66, 400, 360, 96, 700, 300), 96, Trend{
			// The end was 460 at 36 s, 760 at 66 s, and is 1060 at 96 s.
			Consumed: known(10), Produced: known(10), Lag: Steady, Freshness: secs(0),
		}},
		"faster than the producer": {partition(behind, 700, 0, 40, 0, 400, 60, 200, 300, 80, 400, 200), 100, Trend{
			Consumed: known(10), Produced: known(5), Lag: Shrinking, CatchUp: secs(60), Freshness: secs(20),
		}},
		"two of each": {partition(behind, 700, 0, 60, 200, 300, 80, 400, 200), 100, Trend{
			// Both rates are known, and 300 messages would take 60 s.
			Consumed: known(10), Produced: known(5), Freshness: secs(20),
		}},
		"ahead of the polls": {partition(ahead, 200, 10, 60, 160, 0, 80, 180, 0, 98, 205, 0), 100, Trend{
			// What the group read shows what was produced: 160 at 60 s, 180 at 80 s, and the poll of 90 s.
			Consumed: known(45.0 / 38), Produced: known(40.0 / 30), Lag: Steady, CatchUp: secs(0), Freshness: secs(2),
		}},
		"ahead, then told of an older poll": {partition(behind, 400, 0, 60, 160, 0, 70, 100, 55, 80, 250, 50), 100, Trend{
			// The poll behind the second commit is older than the first commit, which means no other incarnation.
			Consumed: known(7.5), Produced: known(6), Lag: Steady, Freshness: secs(20), CatchUp: secs(100),
		}},
		// The polls show what was produced while the commits were made: 1100 to 1400 from 40 s to 100 s.
		"polls beside the commits": {partition(behind, 1400, 0, 40, 0, 1000, 70, 200, 1050, 90, 400, 850).after(40, 1100, 70, 1250), 100, Trend{
			Consumed: known(8), Produced: known(5), Lag: Steady, CatchUp: Duration{333_334 * time.Millisecond, true}, Freshness: secs(10),
		}},
		// The commits show an end of 500 at 10 s, before the polls in the answer.
		"commits before the polls": {partition(behind, 1400, 0, 10, 0, 500, 60, 500, 600).after(50, 1000, 75, 1200), 100, Trend{
			Consumed: known(10), Produced: known(10), Freshness: secs(40),
		}},
		// The commit shows no more than the poll before it.
		"a poll that a commit repeats": {partition(behind, 900, 0, 55, 100, 500, 70, 150, 450, 85, 200, 400).after(40, 600), 100, Trend{
			Consumed: known(100.0 / 30), Produced: known(5), Lag: Shrinking, Freshness: secs(15),
		}},
		"recreated": {partition(behind, 60, 0, 40, 5000, 100, 60, 5100, 100, 80, 5, 15, 90, 25, 15), 100, Trend{
			Consumed: known(2), Produced: known(2), Freshness: secs(10),
		}},
		"recreated and read further than before": {partition(behind, 6000, 0, 40, 100, 9900, 60, 200, 9800, 80, 300, 200, 90, 400, 200), 100, Trend{
			Consumed: known(10), Produced: known(275), Freshness: secs(10),
		}},
		"reset": {partition(reset, 60, 0, 40, 5000, 100, 60, 5100, 100, 80, 5200, 300), 100, Trend{Freshness: secs(20)}},
	} {
		if got := OfPartition(test.p.at(test.now), time.Unix(test.now, 0)); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestOfPartitionReadAgain has a group whose commits of an hour are read again within a second. All have the current lag,
// from which it must not follow that the end offset stood still for an hour.
func TestOfPartitionReadAgain(t *testing.T) {
	p := partition(protocol.PartitionBehind, 7200, 0).at(3600)
	for i := range int64(10) {
		p.Commits = append(p.Commits, protocol.StoredCommit{
			Timestamp: 360_000 * i, ObservedTimestamp: 3_600_000, Offset: 700 * i, Lag: uint64(7200 - 700*i), LagKnown: true,
		})
	}
	if got := OfPartition(p, time.Unix(3600, 0)); got.Produced.Known || got.CatchUp.Known {
		t.Errorf("produced %+v, caught up in %+v", got.Produced, got.CatchUp)
	}
}

func TestOfPartitionProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 20_000 {
		p := &protocol.GroupPartition{
			State: states[r.IntN(len(states))], Commits: randomWindow(r), TimedEndOffsets: timedEnds(r),
		}
		for i := range p.Commits {
			p.Commits[i].ObservedTimestamp = anyInt64(r)
		}
		now := time.UnixMilli(anyInt64(r) / 2)
		before := slices.Clone(p.Commits)
		got := OfPartition(p, now)
		if !slices.Equal(before, p.Commits) {
			t.Fatal("the answer was changed")
		}
		if !(got.Consumed.PerSecond >= 0 && got.Produced.PerSecond >= 0) || math.IsInf(got.Consumed.PerSecond+got.Produced.PerSecond, 0) ||
			got.CatchUp.Length < 0 || got.Freshness.Known != (len(p.Commits) > 0) {
			t.Fatalf("%+v of %+v at %v", got, p, now)
		}
		commits, ends := observed(p, nil)
		if p.State != protocol.PartitionReset {
			want := Of(commits, timed(ends), now)
			if want.CatchUp.Length > 0 && min(len(commits), len(ends)) < meaningful {
				want.CatchUp = Duration{}
			}
			if got != want {
				t.Fatalf("%+v of %+v at %v, want %+v", got, p, now, want)
			}
		}
		if len(commits) > len(p.Commits) || len(ends) > len(p.Commits)+len(p.TimedEndOffsets) {
			t.Fatalf("%d commits and %d end offsets of %d commits", len(commits), len(ends), len(p.Commits))
		}
		for i := 1; i < len(ends)-len(p.TimedEndOffsets); i++ {
			if ends[i].offset < ends[i-1].offset {
				t.Fatalf("end offsets that go back: %v", ends)
			}
		}
	}
}

func timed(ends []end) (out []protocol.TimedEndOffset) {
	for _, e := range ends {
		out = append(out, protocol.TimedEndOffset{Offset: e.offset, Time: time.UnixMilli(e.at)})
	}
	return out
}

// states are all states of a partition.
var states = []protocol.PartitionState{
	protocol.PartitionUnknown, protocol.PartitionNoCommit, protocol.PartitionNoEndOffset, protocol.PartitionReset,
	protocol.PartitionRestored, protocol.PartitionBeyondEnd, protocol.PartitionAhead, protocol.PartitionCaughtUp,
	protocol.PartitionBehind,
}

// timedEnds are end offsets as they are in an answer: ascending in offset and time.
func timedEnds(r *rand.Rand) []protocol.TimedEndOffset {
	var e []protocol.TimedEndOffset
	offset, at := r.Int64N(1000), anyInt64(r)/4
	for range r.IntN(4) {
		e = append(e, protocol.TimedEndOffset{Offset: offset, Time: time.UnixMilli(at)})
		offset, at = offset+r.Int64N(1000), at+r.Int64N(100_000)
	}
	return e
}

func TestOfPartitionDoesNotAllocate(t *testing.T) {
	p := partition(protocol.PartitionBehind, 1060, 0, 30, 300, 100, 60, 600, 100, 90, 900, 100).after(36, 460, 66, 760).at(96)
	if n := testing.AllocsPerRun(100, func() { OfPartition(p, time.Unix(96, 0)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRatesOfPartition(b *testing.B) {
	p := partition(protocol.PartitionBehind, 1060, 0, 30, 300, 100, 60, 600, 100, 90, 900, 100).after(36, 460, 66, 760).at(96)
	for b.Loop() {
		RatesOfPartition(p, time.Unix(96, 0))
	}
}

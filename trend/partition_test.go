package trend

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// partition is a typed answer: commits of triples of a time in s, an offset and a lag (-1 for one that is not known), and
// the newest end offset with its age in s (-1 where there is none).
func partition(state protocol.PartitionState, end, age int64, triples ...int64) *protocol.GroupPartition {
	p := &protocol.GroupPartition{State: state, EndOffsetAge: -1}
	for i := 0; i < len(triples); i += 3 {
		p.Commits = append(p.Commits, protocol.StoredCommit{
			Timestamp: triples[i] * 1000, ObservedTimestamp: triples[i] * 1000, Offset: triples[i+1],
			Lag: uint64(max(triples[i+2], 0)), LagKnown: triples[i+2] >= 0,
		})
	}
	if age >= 0 {
		p.EndOffsets, p.EndOffsetAge = []int64{1, end}, age*1000
	}
	return p
}

func TestOfPartition(t *testing.T) {
	const behind, ahead, none, reset = protocol.PartitionBehind, protocol.PartitionAhead, protocol.PartitionNoEndOffset, protocol.PartitionReset
	secs := func(s int64) Duration { return Duration{s * 1000, true} }
	for name, test := range map[string]struct {
		p    *protocol.GroupPartition
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
			// The poll behind the second commit is older than the first commit: that is no other incarnation.
			Consumed: known(7.5), Produced: known(6), Lag: Steady, Freshness: secs(20), CatchUp: secs(100),
		}},
		"recreated": {partition(behind, 60, 0, 40, 5000, 100, 60, 5100, 100, 80, 5, 15, 90, 25, 15), 100, Trend{
			Consumed: known(2), Produced: known(2), Freshness: secs(10),
		}},
		"recreated and read further than before": {partition(behind, 6000, 0, 40, 100, 9900, 60, 200, 9800, 80, 300, 200, 90, 400, 200), 100, Trend{
			Consumed: known(10), Produced: known(275), Freshness: secs(10),
		}},
		"reset": {partition(reset, 60, 0, 40, 5000, 100, 60, 5100, 100, 80, 5200, 300), 100, Trend{Freshness: secs(20)}},
	} {
		if got := OfPartition(test.p, test.now*1000); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestOfPartitionReadAgain is a group whose commits of an hour are read again within a second: all have the lag of now, and
// that the end offset stood still for an hour must not come of it.
func TestOfPartitionReadAgain(t *testing.T) {
	p := partition(protocol.PartitionBehind, 7200, 0)
	for i := range int64(10) {
		p.Commits = append(p.Commits, protocol.StoredCommit{
			Timestamp: 360_000 * i, ObservedTimestamp: 3_600_000, Offset: 700 * i, Lag: uint64(7200 - 700*i), LagKnown: true,
		})
	}
	if got := OfPartition(p, 3_600_000); got.Produced.Known || got.CatchUp.Known {
		t.Errorf("produced %+v, caught up in %+v", got.Produced, got.CatchUp)
	}
}

func TestOfPartitionProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 20_000 {
		p := &protocol.GroupPartition{
			State: protocol.PartitionState(r.IntN(9)), Commits: randomWindow(r), EndOffsetAge: r.Int64N(100_000) - 1,
		}
		for range r.IntN(3) {
			p.EndOffsets = append(p.EndOffsets, anyInt64(r))
		}
		for i := range p.Commits {
			p.Commits[i].ObservedTimestamp = anyInt64(r)
		}
		now := anyInt64(r) / 2
		before := slices.Clone(p.Commits)
		got := OfPartition(p, now)
		if !slices.Equal(before, p.Commits) {
			t.Fatal("the answer was changed")
		}
		if !(got.Consumed.PerSecond >= 0 && got.Produced.PerSecond >= 0) || math.IsInf(got.Consumed.PerSecond+got.Produced.PerSecond, 0) ||
			got.CatchUp.Millis < 0 || got.Freshness.Known != (len(p.Commits) > 0) {
			t.Fatalf("%+v of %+v at %d", got, p, now)
		}
		commits, ends := observed(p, now, nil)
		if len(commits) > len(p.Commits) || len(ends) > len(p.Commits)+1 {
			t.Fatalf("%d commits and %d end offsets of %d commits", len(commits), len(ends), len(p.Commits))
		}
		for i := 1; i < len(ends)-1; i++ {
			if ends[i].Offset < ends[i-1].Offset {
				t.Fatalf("end offsets that go back: %v", ends)
			}
		}
	}
}

func TestOfPartitionDoesNotAllocate(t *testing.T) {
	p := partition(protocol.PartitionBehind, 1060, 0, 30, 300, 100, 60, 600, 100, 90, 900, 100)
	if n := testing.AllocsPerRun(100, func() { OfPartition(p, 96_000) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package curve

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestStepsAgainstABase writes and reads steps at the limits of each form, after another step.
func TestStepsAgainstABase(t *testing.T) {
	t.Parallel()
	for _, base := range []uint32{0, 1, 100, 10_000, math.MaxUint32} {
		for _, off := range []int64{0, 1, -1, 127, 128, -128, -129, 511, 512, -512, -513, 1 << 40, -int64(base)} {
			gap := int64(base) + off
			if gap < 0 {
				continue
			}
			for _, offsets := range []uint64{1, 1<<briefOffsets - 1, 1 << briefOffsets, 1<<lessBriefOffsets - 1, 1 << lessBriefOffsets, math.MaxInt64} {
				for _, s := range []step{
					{offsets: offsets, gap: uint64(gap)}, {offsets: offsets, gap: uint64(gap), span: 1}, {offsets: offsets, gap: uint64(gap), tighter: uint64(gap)},
				} {
					c := Curve{base: base}
					before := step{offsets: 7, gap: uint64(base), span: 3}
					c.appendStep(before)
					start := len(c.steps)
					c.appendStep(s)
					got, at := lastStep(c.steps, len(c.steps), base)
					if got != s || at != start {
						t.Errorf("base %d: %+v at %d, want %+v at %d", base, got, at, s, start)
					}
					if got, at := lastStep(c.steps, start, base); got != before || at != 0 {
						t.Errorf("base %d: %+v at %d before %+v", base, got, at, s)
					}
					against := Curve{base: 5, steps: c.stepsAgainst(5, nil)}
					if back := against.stepsAgainst(base, nil); string(back) != string(c.steps) {
						t.Errorf("base %d: %x came back as %x", base, c.steps, back)
					}
				}
			}
		}
	}
}

// polled is a block of 100 curves that is polled at intervals of approximately every milliseconds.
type polled struct {
	Block
	at, offset int64
	r          *rand.Rand
}

func newPolled() *polled {
	return &polled{Block: MakeBlock(100, nil, 0), at: 1_790_000_000_000, r: rand.New(rand.NewPCG(1, 2))}
}

func (p *polled) poll(times int, every func() int64) {
	for range times {
		last, before := p.at, p.offset
		p.at += every()
		p.offset += 900 + p.r.Int64N(200)
		for i := range p.heads {
			p.Observe(i, before, last, p.offset, p.at, DefaultSegments)
		}
	}
}

func (p *polled) used() (used int) {
	for i := range p.heads {
		used += int(p.heads[i].used)
	}
	return used
}

// TestTheBaseFollowsThePolls changes the interval of polls: a day later, curves take as much as if it had always been the new one.
func TestTheBaseFollowsThePolls(t *testing.T) {
	t.Parallel()
	every := func(ms int64) func() int64 { return func() int64 { return ms } }
	changed, fresh := newPolled(), newPolled()
	changed.poll(100, every(10_000))
	if changed.base != 10_000 {
		t.Fatalf("base %d", changed.base)
	}
	changed.poll(24*120, every(poll))
	fresh.poll(24*120, every(poll))
	if changed.base != poll || changed.chosen != 1 {
		t.Errorf("base %d, chosen %d times", changed.base, changed.chosen)
	}
	if changed.used() > fresh.used()+fresh.used()/10 {
		t.Errorf("%d bytes, %d if polls were always like that", changed.used(), fresh.used())
	}
}

// TestNoBaseForErraticPolls polls at random intervals: a base is not sought for ever, and curves take no more than without one.
func TestNoBaseForErraticPolls(t *testing.T) {
	t.Parallel()
	p := newPolled()
	p.poll(24*120, func() int64 { return 1000 + p.r.Int64N(60_000) })
	if most := uint8(math.Log2(24 * 120 / patience)); p.chosen == 0 || p.chosen > most {
		t.Errorf("chosen %d times, at most %d expected", p.chosen, most)
	}
	var plain int
	for i := range p.heads {
		c := p.Get(i, p.offset, p.at)
		plain += len(c.stepsAgainst(0, nil))
	}
	if p.used() > plain+100*maxFront {
		t.Errorf("%d bytes, %d without a base", p.used(), plain)
	}
}

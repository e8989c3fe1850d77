package curve

import "math"

// patience is the number of steps per curve of a block that the base must fit worse before another is chosen for the first time. It
// doubles each time, up to mostChosen times: if the intervals of polls differ too much, no base fits.
const (
	patience   = 2
	mostChosen = 20
)

// adapt keeps the base of the block equal to the time between two polls; a step is about to be added.
func (b *Block) adapt(s step) {
	if s.span|s.tighter != 0 || s.gap == 0 || s.gap > math.MaxUint32 {
		return // the step says nothing about polls
	}
	base := uint32(s.gap)
	switch {
	case b.base == 0:
		b.base = base
	case s.gap-uint64(b.base)+1<<(lessBriefGap-1) < 1<<lessBriefGap:
		if b.misfits > 0 {
			b.misfits--
		}
	case b.chosen < mostChosen:
		if b.misfits++; b.misfits > uint32(patience*len(b.heads))<<b.chosen {
			b.misfits = 0
			b.chosen++
			b.rebase(base)
		}
	}
}

// rebase encodes all steps against another base.
func (b *Block) rebase(base uint32) {
	bytes := make([]byte, 0, cap(b.bytes))
	for i := range b.heads {
		h := &b.heads[i]
		place := b.bytes[h.start : h.start+uint32(h.used)]
		from := len(bytes)
		if h.n > 0 {
			var c Curve
			b.get(i, &c, 0, 0)
			steps := len(place) - int(h.flags>>spanShift&15)
			front := steps - len(c.steps)
			var room [512]byte
			bytes = append(bytes, place[:front]...)
			bytes = append(bytes, c.stepsAgainst(base, room[:0])...)
			bytes = append(bytes, place[steps:]...)
		}
		h.start, h.used = uint32(from), uint16(len(bytes)-from)
		h.room = h.used
		if h.n > 1 {
			bytes = append(bytes, make([]byte, spare)...)
			h.room += spare
		}
	}
	b.bytes, b.base = bytes, base
}

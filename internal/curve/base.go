package curve

import "math"

// patience is the number of steps for each curve of a block that its base must fit worse before it is chosen anew the first time. It
// doubles each time, up to mostChosen times: where polls come at intervals that differ too much, no base fits.
const (
	patience   = 2
	mostChosen = 20
)

// adapt sees to it that the base of the block is the time between two polls, now that a step is to be put in.
func (b *Block) adapt(s step) {
	if s.span|s.tighter != 0 || s.gap == 0 || s.gap > math.MaxUint32 {
		return // it says nothing about polls
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

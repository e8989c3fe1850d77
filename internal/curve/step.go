package curve

import (
	"encoding/binary"
	"math/bits"
)

// step leads from one segment to the next. In a Curve it is stored as the significant bytes of its four numbers, least
// significant first, and then a byte that holds their lengths, two bits each, so that steps are read from the last:
//
//	┌──────────┬──────────┬──────────┬──────────┬─────────────────────────────────────┐
//	│ span     │ offsets  │ gap      │ tighter  │ len₃ │ len₂ − 1 │ len₁ − 1 │ len₀  │
//	└──────────┴──────────┴──────────┴──────────┴─────────────────────────────────────┘
//	 len₀: 0–3  len₁: 1–4  len₂: 1–4  len₃: 0–3   2 bits each, len₃ the highest
//
// A zero takes no byte but for offsets and gap: a busy partition polled every 30 s has no span and, as long as nothing was
// thinned, nothing tighter, and takes 5 bytes. If a number is longer, the last byte is wide, and before it are two bytes with
// lengths of four bits each, from 0 to 8, len₀ the lowest. Differences are unsigned and exact for any two int64.
//
// Polls come at intervals that are nearly alike. So a Block has a base, the time between two polls, and a step with no span and nothing
// tighter is stored in three or four bytes: the offsets, and from the 13th or the 19th bit on by how much the gap is above the base, less
// the least that can be stored. The four highest bits of its last byte are lengths of which len₃ is more than len₂, as no others are.
type step struct {
	// span is the time through which the segment before was seen, last seen less first seen, in ms.
	span uint64
	// offsets is the number of messages from the one segment to the next; at least 1.
	offsets uint64
	// gap is the time from the last time the segment before was seen to the first time the next one was, in ms.
	gap uint64
	// tighter is by how much the error of the interpolation between the two is known to be less than gap, in ms. It is 0 if the two
	// came from successive polls; see thin.
	tighter uint64
}

const (
	// maxStep is the size of the longest step in bytes.
	maxStep = 3 + 4*8
	// wide is no byte of lengths: nothing is tighter by more bytes than the gap has.
	wide = 3 << 6
)

// bound is the bound of the interpolation error across the gap, in ms.
func (s step) bound() uint64 { return s.gap - s.tighter }

// before returns the segment from which the step leads to next.
func (s step) before(next Segment) Segment {
	last := earlier(next.First, s.gap)
	return Segment{Offset: earlier(next.Offset, s.offsets), First: earlier(last, s.span), Last: last}
}

const (
	// brief is the last byte of a step of three bytes, the lowest four bits apart, and its numbers' bits; less brief is one of four.
	brief, briefOffsets, briefGap             = 0x80, 12, 8
	lessBrief, lessBriefOffsets, lessBriefGap = 0xd0, 18, 10
	briefMask                                 = 0xf0
)

// put writes the step to b, encoded against a base unless that is 0, and returns its size.
func (s step) put(b *[maxStep + 8]byte, base uint32) int {
	if base > 0 && s.span|s.tighter == 0 {
		if above := s.gap - uint64(base) + 1<<(briefGap-1); above>>briefGap == 0 && s.offsets>>briefOffsets == 0 {
			v := uint32(s.offsets) | uint32(above)<<briefOffsets
			binary.LittleEndian.PutUint32(b[0:], v|brief<<16)
			return 3
		}
		if above := s.gap - uint64(base) + 1<<(lessBriefGap-1); above>>lessBriefGap == 0 && s.offsets>>lessBriefOffsets == 0 {
			v := uint32(s.offsets) | uint32(above)<<lessBriefOffsets
			binary.LittleEndian.PutUint32(b[0:], v|lessBrief<<24)
			return 4
		}
	}
	l0, l1, l2, l3 := size(s.span), max(1, size(s.offsets)), max(1, size(s.gap)), size(s.tighter)
	if l0 > 3 || l1 > 4 || l2 > 4 || l3 > 3 {
		l2 = size(s.gap)
	}
	e0 := l0
	e1 := e0 + l1
	e2 := e1 + l2
	e3 := e2 + l3
	// each number is written in 8 bytes; the next one overwrites those that are not significant
	binary.LittleEndian.PutUint64(b[0:], s.span)
	binary.LittleEndian.PutUint64(b[e0:], s.offsets)
	binary.LittleEndian.PutUint64(b[e1:], s.gap)
	binary.LittleEndian.PutUint64(b[e2:], s.tighter)
	if l0 <= 3 && l1 <= 4 && l2 <= 4 && l3 <= 3 {
		b[e3] = byte(l0 | (l1-1)<<2 | (l2-1)<<4 | l3<<6)
		return int(e3 + 1)
	}
	binary.LittleEndian.PutUint16(b[e3:], uint16(l0|l1<<4|l2<<8|l3<<12))
	b[e3+2] = wide
	return int(e3 + 3)
}

// lastStep returns the step that ends at b[:end], and where it starts. The step must be complete, as it always is in a Curve.
func lastStep(b []byte, end int, base uint32) (s step, start int) {
	tag := uint(b[end-1])
	if base > 0 {
		switch tag & briefMask {
		case brief:
			v := uint32(b[end-3]) | uint32(b[end-2])<<8 | uint32(tag)&^briefMask<<16
			s.offsets = uint64(v & (1<<briefOffsets - 1))
			s.gap = uint64(base) + uint64(v>>briefOffsets) - 1<<(briefGap-1)
			return s, end - 3
		case lessBrief:
			v := binary.LittleEndian.Uint32(b[end-4:end]) &^ (briefMask << 24)
			s.offsets = uint64(v & (1<<lessBriefOffsets - 1))
			s.gap = uint64(base) + uint64(v>>lessBriefOffsets) - 1<<(lessBriefGap-1)
			return s, end - 4
		}
	}
	if tag == wide {
		return lastWide(b, end)
	}
	l0, l1, l2, l3 := tag&3, tag>>2&3+1, tag>>4&3+1, tag>>6
	n := l0 + l1 + l2 + l3
	start = end - 1 - int(n)
	if n > 8 || end < 9 {
		return lastApart(b, start, int(l0), int(l1), int(l2), int(l3)), start
	}
	// All four in one read; what precedes them is shifted out.
	v := binary.LittleEndian.Uint64(b[end-9:end-1]) >> (64 - 8*n)
	s.span = v & (1<<(8*l0) - 1)
	v >>= 8 * l0
	s.offsets = v & (1<<(8*l1) - 1)
	v >>= 8 * l1
	s.gap = v & (1<<(8*l2) - 1)
	s.tighter = v >> (8 * l2)
	return s, start
}

// lastApart reads the numbers of a step one by one.
func lastApart(b []byte, start, l0, l1, l2, l3 int) step {
	e0 := start + l0
	e1 := e0 + l1
	e2 := e1 + l2
	return step{
		span: number(b, start, e0), offsets: number(b, e0, e1), gap: number(b, e1, e2), tighter: number(b, e2, e2+l3),
	}
}

func lastWide(b []byte, end int) (s step, start int) {
	e3 := end - 3
	tag := uint(binary.LittleEndian.Uint16(b[e3:]))
	l0, l1, l2, l3 := int(tag&15), int(tag>>4&15), int(tag>>8&15), int(tag>>12)
	start = e3 - l0 - l1 - l2 - l3
	return lastApart(b, start, l0, l1, l2, l3), start
}

// whole reports whether b ends with all bytes of a step.
func whole(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	tag := uint(b[len(b)-1])
	if tag != wide {
		return len(b) >= int(3+tag>>6+tag>>4&3+tag>>2&3+tag&3)
	}
	if len(b) < 3 {
		return false
	}
	tag = uint(binary.LittleEndian.Uint16(b[len(b)-3:]))
	l0, l1, l2, l3 := tag&15, tag>>4&15, tag>>8&15, tag>>12
	return max(l0, l1, l2, l3) <= 8 && len(b) >= int(3+l0+l1+l2+l3)
}

// number returns the number in b[from:to], of at most 8 bytes.
func number(b []byte, from, to int) uint64 {
	if to >= 8 {
		// What precedes the number is read too, which saves a branch for each byte, and shifted out; a shift by 64 gives 0.
		return binary.LittleEndian.Uint64(b[to-8:to]) >> (64 - 8*uint(to-from))
	}
	var v uint64
	for i := to - 1; i >= from; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// size returns the number of bytes that v takes.
func size(v uint64) uint { return uint(bits.Len64(v)+7) / 8 }

// appendStep appends a step to the curve's buffer.
func (c *Curve) appendStep(s step) {
	var b [maxStep + 8]byte
	c.steps = append(c.steps, b[:s.put(&b, c.base)]...)
}

// stepsAgainst returns the steps of a curve, encoded against a base: its own or, if that is another, in the memory of room.
func (c *Curve) stepsAgainst(base uint32, room []byte) []byte {
	if c.base == base {
		return c.steps
	}
	var all [MaxSegments + 1]step
	n := 0
	for end := len(c.steps); end > 0; n++ {
		all[n], end = lastStep(c.steps, end, c.base)
	}
	for n--; n >= 0; n-- {
		var b [maxStep + 8]byte
		room = append(room, b[:all[n].put(&b, base)]...)
	}
	return room
}

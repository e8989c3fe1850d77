package curve

import (
	"encoding/binary"
	"math/bits"
)

// step leads from one segment to the next. In a Curve it is stored as the significant bytes of its four numbers, least
// significant first, and then two bytes that hold their lengths, a nibble each, so that steps are read from the last:
//
//	┌──────────┬──────────┬──────────┬──────────┬─────┬─────┬─────┬─────┐
//	│ span     │ offsets  │ gap      │ tighter  │len₁ │len₀ │len₃ │len₂ │
//	└──────────┴──────────┴──────────┴──────────┴─────┴─────┴─────┴─────┘
//	 len₀ bytes len₁ bytes len₂ bytes len₃ bytes, 0 to 8     4 bit each (high, low)
//
// A zero takes no byte: a busy partition polled every 30 s has no span and, as long as nothing was thinned, nothing
// tighter, and takes 6 bytes. Differences are unsigned and exact for any two int64.
type step struct {
	// span is the time through which the segment before was seen, last seen less first seen, in ms.
	span uint64
	// offsets is how many messages further the next segment is; at least 1.
	offsets uint64
	// gap is the time from the last time the segment before was seen to the first time the next one was, in ms.
	gap uint64
	// tighter is by how much the error of the interpolation between the two is known to be less than gap, in ms. It is 0
	// where the two came from polls that followed each other; see thin.
	tighter uint64
}

// maxStep is the size of the longest step in bytes.
const maxStep = 2 + 4*8

// bound is the bound of the interpolation error across the gap, in ms.
func (s step) bound() uint64 { return s.gap - s.tighter }

// before is the segment that the step leads to next from.
func (s step) before(next Segment) Segment {
	last := earlier(next.First, s.gap)
	return Segment{Offset: earlier(next.Offset, s.offsets), First: earlier(last, s.span), Last: last}
}

// put writes the step to b and is its size.
func (s step) put(b *[maxStep + 8]byte) int {
	l0, l1, l2, l3 := size(s.span), size(s.offsets), size(s.gap), size(s.tighter)
	e0 := l0
	e1 := e0 + l1
	e2 := e1 + l2
	e3 := e2 + l3
	// each number is written in 8 bytes, of which the next one leaves what is significant
	binary.LittleEndian.PutUint64(b[0:], s.span)
	binary.LittleEndian.PutUint64(b[e0:], s.offsets)
	binary.LittleEndian.PutUint64(b[e1:], s.gap)
	binary.LittleEndian.PutUint64(b[e2:], s.tighter)
	binary.LittleEndian.PutUint16(b[e3:], uint16(l0|l1<<4|l2<<8|l3<<12))
	return int(e3 + 2)
}

// lastStep is the step that ends at b[:end], and where it starts. The step must be whole, as everything in a Curve is:
// Decode checks what comes from outside with checkStep first.
func lastStep(b []byte, end int) (s step, start int) {
	tag := uint(binary.LittleEndian.Uint16(b[end-2:]))
	l0, l1, l2, l3 := tag&15, tag>>4&15, tag>>8&15, tag>>12
	e0 := l0
	e1 := e0 + l1
	e2 := e1 + l2
	start = end - 2 - int(e2+l3)
	b = b[start:cap(b)] // what lies beyond a number is read, to spare a branch for each byte, and masked away
	return step{
		span:    number(b, l0),
		offsets: number(b[e0:], l1),
		gap:     number(b[e1:], l2),
		tighter: number(b[e2:], l3),
	}, start
}

// number is the number in the first n bytes of b.
func number(b []byte, n uint) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b) & (1<<(8*n) - 1) // a shift by 64 gives 0, so that 8 bytes are all kept
	}
	var v uint64
	for i := n; i > 0; i-- {
		v = v<<8 | uint64(b[i-1])
	}
	return v
}

// size is how many bytes v takes.
func size(v uint64) uint { return uint(bits.Len64(v)+7) / 8 }

// appendStep appends a step to the curve's buffer.
func (c *Curve) appendStep(s step) {
	var b [maxStep + 8]byte
	n := s.put(&b)
	c.reserve(n)
	c.steps = append(c.steps, b[:n]...)
}

// reserve makes room for more bytes. It grows by an eighth instead of doubling: there may be millions of curves, each
// grows only a few times and then never again.
func (c *Curve) reserve(more int) {
	need := len(c.steps) + more
	if need <= cap(c.steps) {
		return
	}
	need += len(c.steps) / 8
	round := 32 // multiples of it are size classes of the allocator
	if need > 512 {
		round = 128
	}
	grown := make([]byte, len(c.steps), (need+round-1)/round*round)
	copy(grown, c.steps)
	c.steps = grown
}

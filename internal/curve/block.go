package curve

import (
	"encoding/binary"
	"slices"
	"sync"
	"unsafe"
)

// Block holds the curves of some partitions in one piece of memory, so that a curve costs no object of its own. What the owner
// of a partition knows anyway, its newest end offset and when that was seen, is not stored again: the newest segment of a
// curve ends there. The zero value has room for none.
//
// Each curve has a place in the block: the margin of its points where it has any, if it begins unless it is short, its steps, and
// how long its newest segment was seen. A curve that outgrows its place moves to the end of the block; if there is no room the block is made anew, in which
// those that grow get some room to spare. A place never shrinks below what its curve took since it was moved there, since a
// curve grows by a third between two thinnings and none is to move then.
type Block struct {
	heads []head
	// bytes are the places; their capacity is what the block takes.
	bytes []byte
	// base is what the steps of all curves are encoded against, 0 until there is one; see adapt.
	base uint32
	// misfits is by how many more the steps that base did not fit are than those that it did, since it was chosen; chosen how often
	// it was.
	misfits uint32
	chosen  uint8
}

// head says what a Block holds of one curve.
type head struct {
	// start is where the place begins, room its size and used what of it is taken.
	start      uint32
	used, room uint16

	n, doubtful, seeded uint8
	// flags are those of origin, which take the two lowest bits and the highest; the length of the span in the four from
	// spanShift on; and fromBit.
	flags uint8
}

// short is the greatest number of segments of a curve that is walked to find where it begins. What is longer stores it.
const short = 12

const (
	spanShift  = 2
	originBits = joinedBit | 3
	// fromBit is set if the place says where the curve begins.
	fromBit = 64
	// maxFront is the most that a place holds before the steps.
	maxFront   = marginSize + 1 + 2*8
	marginSize = 4
)

// MakeBlock makes a block for n curves, the first of which are those of another at and after an index; from is not used any more.
func MakeBlock(n int, from *Block, at int) Block {
	b := Block{heads: make([]head, n)}
	if from != nil {
		copy(b.heads[at:], from.heads)
		b.bytes, b.base = from.bytes, from.base
	}
	return b
}

// Len returns the number of curves that the block has room for.
func (b *Block) Len() int { return len(b.heads) }

// Size returns how many bytes the block takes beside itself.
func (b *Block) Size() int { return cap(b.heads)*int(unsafe.Sizeof(head{})) + cap(b.bytes) }

// Get returns a curve, whose newest segment is at an offset that was last seen at a time: what it was when the curve was put. The
// curve lies in the block: it is good until the next Put, and of one that is changed nothing is known until it is put.
func (b *Block) Get(i int, offset, last int64) (c Curve) {
	b.get(i, &c, offset, last)
	return c
}

// get is Get for a curve that is zero.
func (b *Block) get(i int, c *Curve, offset, last int64) {
	h := &b.heads[i]
	place := b.bytes[h.start : h.start+uint32(h.used) : h.start+uint32(h.room)]
	c.base = b.base
	if h.n == 0 {
		c.steps = place[:0]
		return
	}
	c.n, c.doubtful, c.seeded, c.origin = h.n, h.doubtful, h.seeded, origin(h.flags&originBits)
	if c.origin != 0 {
		c.margin = binary.LittleEndian.Uint32(place)
		place = place[marginSize:]
	}
	if h.flags&fromBit != 0 {
		offset := 1 + int(place[0]&15)
		first := offset + int(place[0]>>4)
		c.from.offset, c.from.first, c.fromKnown = int64(number(place, 1, offset)), int64(number(place, offset, first)), true
		place = place[first:]
	}
	end := len(place) - int(h.flags>>spanShift&15)
	c.steps = place[:end]
	c.newest = Segment{Offset: offset, First: earlier(last, number(place, end, len(place))), Last: last}
}

// Put stores a curve in the place of the one at an index.
func (b *Block) Put(i int, c *Curve) {
	h := &b.heads[i]
	if c.n == 0 {
		h.used, h.n, h.doubtful, h.seeded, h.flags = 0, 0, 0, 0, 0
		return
	}
	if b.base == 0 && c.n > 1 {
		s, _ := lastStep(c.steps, len(c.steps), c.base)
		b.adapt(s)
	}
	var room [512]byte
	all := c.stepsAgainst(b.base, room[:0])
	var buffer [maxFront]byte
	front := c.appendFront(buffer[:0])
	at := len(front)
	used := at + len(all)
	span := since(c.newest.First, c.newest.Last)
	if need := used + int(size(span)); need > int(h.room) {
		b.move(i, need)
	}
	place := b.bytes[h.start : h.start+uint32(used)]
	if steps := place[at:]; len(steps) > 0 && &steps[0] != &all[0] {
		copy(steps, all) // which may lie where the front comes
	}
	copy(place, front)
	h.n, h.doubtful, h.seeded, h.flags = c.n, c.doubtful, c.seeded, uint8(c.origin)
	if c.n > short {
		h.flags |= fromBit
	}
	b.writeSpan(i, uint16(used), span)
}

// appendFront appends what stands before the steps.
func (c *Curve) appendFront(dst []byte) []byte {
	if c.origin != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, c.margin)
	}
	if c.n <= short {
		return dst
	}
	if !c.fromKnown {
		oldest := c.oldest()
		c.from.offset, c.from.first, c.fromKnown = oldest.Offset, oldest.First, true
	}
	offset, first := uint64(c.from.offset), uint64(c.from.first)
	dst = append(dst, byte(size(offset)|size(first)<<4))
	for ; offset > 0; offset >>= 8 {
		dst = append(dst, byte(offset))
	}
	for ; first > 0; first >>= 8 {
		dst = append(dst, byte(first))
	}
	return dst
}

// rooms holds memory in which curves are thinned.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// Observe is Curve.Observe for a curve whose newest segment is at an offset that was last seen at a time.
func (b *Block) Observe(i int, before, last, offset, at int64, limit int) {
	h := &b.heads[i]
	if h.n == 0 || offset < before || at < last || offset > before && (h.n == short || int(h.n) >= min(limit, MaxSegments)) {
		// Thinning may make steps longer than their place has room for.
		room := rooms.Get().(*[]byte)
		c := b.Get(i, before, last)
		c.steps = append((*room)[:0], c.steps...)
		c.Observe(offset, at, limit)
		b.Put(i, &c)
		*room = c.steps
		rooms.Put(room)
		return
	}
	// What nearly every poll brings: the newest segment goes on, or ends and another begins.
	length := uint16(h.flags >> spanShift & 15)
	span := number(b.bytes, int(h.start+uint32(h.used-length)), int(h.start+uint32(h.used)))
	if offset == before {
		b.writeSpan(i, h.used-length, span+since(last, at))
		return
	}
	var form [maxStep + 8]byte
	s := step{span: span, offsets: since(before, offset), gap: since(last, at)}
	b.adapt(s)
	n := s.put(&form, b.base)
	end := h.used - length
	used := end + uint16(n)
	if used > h.room {
		b.move(i, int(used))
	}
	copy(b.bytes[h.start+uint32(end):h.start+uint32(used)], form[:n])
	h.used, h.flags = used, h.flags&(originBits|fromBit)
	h.n++
}

// writeSpan writes for how long the newest segment of a curve was seen, behind what else is in its place.
func (b *Block) writeSpan(i int, behind uint16, span uint64) {
	h := &b.heads[i]
	length := uint16(size(span))
	if behind+length > h.room {
		b.move(i, int(behind+length))
	}
	for j := range uint32(length) {
		b.bytes[h.start+uint32(behind)+j] = byte(span >> (8 * j))
	}
	h.used, h.flags = behind+length, h.flags&(originBits|fromBit)|uint8(length)<<spanShift
}

// spare is the number of bytes that a curve gets beyond what it needs now: for one more step of usual length.
const spare = 5

// move gives a curve a place of at least some size, with what lies in its place now, which stays there until the next move.
func (b *Block) move(i, need int) {
	h := &b.heads[i]
	room := need
	if h.used > 0 {
		room += spare
	}
	if len(b.bytes)+room > cap(b.bytes) {
		b.rebuild(i, room)
		return
	}
	from, place := len(b.bytes), b.bytes[h.start:h.start+uint32(h.used)]
	b.bytes = b.bytes[:from+room]
	copy(b.bytes[from:], place)
	h.start, h.room = uint32(from), uint16(room)
}

// rebuild makes the block anew, with room for one of its curves that has outgrown its place.
func (b *Block) rebuild(i, room int) {
	total := 0
	for j := range b.heads {
		total += b.roomOf(j, i, room)
	}
	// The allocator rounds up, to about a sixteenth more on average: that is for curves to move to.
	bytes := slices.Grow([]byte(nil), total+total/64)[:0]
	for j := range b.heads {
		h := &b.heads[j]
		next := b.roomOf(j, i, room)
		from := len(bytes)
		bytes = bytes[:from+next]
		copy(bytes[from:], b.bytes[h.start:h.start+uint32(h.used)])
		h.start, h.room = uint32(from), uint16(next)
	}
	b.bytes = bytes
}

// roomOf returns how much room a curve is to have in the block that is made anew for another that is to have room.
func (b *Block) roomOf(j, i, room int) int {
	h := &b.heads[j]
	if j == i {
		return room
	}
	least := int(h.used)
	if h.n > 1 {
		least += spare
	}
	return max(least, min(int(h.room), 2*int(h.used)))
}

package curve

import (
	"encoding/binary"
	"slices"
	"sync"
	"unsafe"
)

// Block holds the curves of some partitions in one piece of memory, so that a curve needs no object of its own. The owner of a
// partition already knows its newest end offset and when it was seen, so these are not stored again: the newest segment of a curve
// ends there. The zero value has room for no curve.
//
// Each curve has a place in the block: the margin of its points if it has any, where it begins unless it is short, its steps, and how
// long its newest segment was seen. A curve that outgrows its place moves to the end of the block. If there is no room at the end, the
// block is rebuilt, and growing curves get some spare room. A place never shrinks below what its curve took since it was moved there,
// because a curve grows by a third between two thinnings and must not move during that.
type Block struct {
	heads []head
	// bytes are the places; their capacity is what the block takes.
	bytes []byte
	// base is what the steps of all curves are encoded against, 0 until it is chosen; see adapt.
	base uint32
	// misfits is the number of steps that base did not fit since it was chosen, less the number that it did; chosen is how often one
	// was chosen.
	misfits uint32
	chosen  uint8
}

// head is what a Block stores about one curve.
type head struct {
	// start is the beginning of the place, room its size and used the part in use.
	start      uint32
	used, room uint16

	n, doubtful, seeded uint8
	// flags are those of origin, in the two lowest bits and the highest; the length of the span, in the four bits from spanShift on;
	// and fromBit.
	flags uint8
}

// short is the greatest number of segments of a curve that is walked to find where it begins. A longer curve stores it.
const short = 12

const (
	spanShift  = 2
	originBits = joinedBit | 3
	// fromBit is set if the place says where the curve begins.
	fromBit = 64
	// maxFront is the greatest size of what precedes the steps in a place.
	maxFront   = marginSize + 1 + 2*8
	marginSize = 4
)

// MakeBlock makes a block for n curves, the first of which are those of another block at and after an index; from must not be used any
// more.
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

// Size returns the memory of the block beside itself, in bytes.
func (b *Block) Size() int { return cap(b.heads)*int(unsafe.Sizeof(head{})) + cap(b.bytes) }

// Get returns the curve at an index, as it was put; the caller gives the offset of its newest segment and when that was last seen. The
// curve lies in the block: it is valid until the next Put, and after a change it must be put before it is read again.
func (b *Block) Get(i int, offset, last int64) (c Curve) {
	b.get(i, &c, offset, last)
	return c
}

// get is Get into a curve that is zero.
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

// Put stores a curve in the place at an index.
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
		copy(steps, all) // which may overlap the front
	}
	copy(place, front)
	h.n, h.doubtful, h.seeded, h.flags = c.n, c.doubtful, c.seeded, uint8(c.origin)
	if c.n > short {
		h.flags |= fromBit
	}
	b.writeSpan(i, uint16(used), span)
}

// appendFront appends what precedes the steps.
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

// Observe is Curve.Observe for a curve in the block, whose newest segment is at the given offset and was last seen at the given time.
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
	// Nearly every poll has this effect: the newest segment continues, or ends and another begins.
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

// writeSpan writes how long the newest segment of a curve was seen, after everything else in its place.
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

// spare is the number of bytes that a curve gets beyond its present size: enough for one more step of usual length.
const spare = 5

// move gives a curve a place of at least some size, and copies the content of its place, which stays intact until the next move.
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
	// The allocator rounds up, by about a sixteenth on average: curves can move there.
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

// roomOf returns the room of a curve in a block that is rebuilt for the sake of another curve.
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

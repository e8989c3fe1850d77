package engine

import (
	"slices"

	"github.com/lagkeeper/storage/internal/window"
)

// reference is the place of a window: the index of its block in the upper 17 bits, its offset within the block, in units of
// two bytes, in the lower 15. 0 is no window.
type reference uint32

const (
	unitBits = 15
	unitMask = 1<<unitBits - 1
	unit     = window.Unit

	// blockTarget is the size at which a block is full; only a single large window may make it larger.
	blockTarget = 32 << 10
	// blockStart is where the first window of a block begins, so that no reference is 0.
	blockStart = 4

	// soleTarget is up to which size a block that is the only one of its group is made anew to grow. Beyond it the group gets further
	// blocks, each of one part in growth of what it has.
	soleTarget = 1 << 10
	// filling is one part in how many such a block gets more room than it needs now.
	filling = 3
	growth  = 8
	// leastGrowth is the size of the smallest further block.
	leastGrowth = 512
	// looseness is one part in how many of a block must be free or dead for it to be filled again.
	looseness = 12
	// mostLooked bounds the blocks that are looked at for room.
	mostLooked = 64

	// A window's tag holds, from the lowest bit, the index of its slot (23), whether it was restored and not seen since (1),
	// and the incarnation of the partition to which its newest commit belongs (8).
	slotMask         = 1<<23 - 1
	restoredBit      = 1 << 23
	incarnationShift = 24

	// maxBlocks is the number of blocks that a group can have, with some to spare for a commit that needs one more.
	maxBlocks = 1<<(32-unitBits) - 8

	// maxSlots is the number of partitions that a group can have.
	maxSlots = slotMask
	// deadSlot in a tag says that the window has moved or gone.
	deadSlot = slotMask
)

// memory holds the windows of one group in few large runs of bytes, with nothing for the garbage collector to follow. Windows
// lie one behind the other; one that must grow moves to the end of the block that is being filled and leaves a dead one behind.
// A block with many dead bytes has its gaps closed in place, and is filled next. Guarded by the shard.
type memory struct {
	// slots has one entry for each partition of each topic; layout says which belong to a topic.
	slots []reference
	// bytes is the memory of each block, nil for one that was let go. It lies apart from what only changes need, so that what a commit
	// reads of many blocks takes few lines of the cache.
	bytes [][]byte
	// held is the number of bytes of all blocks.
	held int
	// counted is held, the layouts of the group, and how many topics it had, when the group was last accounted for.
	counted struct {
		held            int
		layouts, topics int32
	}
	// firstBytes and first are the memory of bytes and blocks until there is a second block: most groups need one, and it saves an
	// indirection.
	firstBytes [1][]byte
	first      [1]block
	// blocks has an entry for each of bytes.
	blocks []block
	// tail is the index of the block that is being filled; empty is the number of blocks that have no bytes, the tail apart; looked is
	// the index of the block that is looked at next for room.
	tail, empty, looked int32
	// narrowable is set if some windows may take more memory than their commits need.
	narrowable bool
	// windows is the number of slots that have a window.
	windows int
}

// block is how the memory of a block is used.
type block struct {
	// used is the number of bytes taken; window.Padding bytes stay free.
	used int32
	// dead is the number of used bytes that belong to no slot.
	dead int32
	// trimmed is what used was when the block was last trimmed: the allocator gave nothing smaller then.
	trimmed int32
}

func (m *memory) window(r reference) window.Window {
	return window.Window(m.bytes[r>>unitBits][(r&unitMask)*unit:])
}

// ahead reads where each block is, while the processor waits for the topic and the slot that say which one is needed. A group that
// no sweep has come to has a dozen blocks.
func (m *memory) ahead() (read int) {
	const aLine = 64 / 24
	for i := 0; i < len(m.bytes); i += aLine {
		read += len(m.bytes[i])
	}
	return read
}

func slotOf(w window.Window) uint32 { return w.Tag() & slotMask }

func setSlot(w window.Window, slot uint32) { w.SetTag(w.Tag()&^slotMask | slot) }

func incarnationOf(w window.Window) uint8 { return uint8(w.Tag() >> incarnationShift) }

func setIncarnation(w window.Window, incarnation uint8) {
	w.SetTag(w.Tag()&(1<<incarnationShift-1) | uint32(incarnation)<<incarnationShift)
}

func restored(w window.Window) bool { return w.Tag()&restoredBit != 0 }

func setRestored(w window.Window, restored bool) {
	tag := w.Tag() &^ restoredBit
	if restored {
		tag |= restoredBit
	}
	w.SetTag(tag)
}

// add makes an empty window of a size for a slot.
func (m *memory) add(slot uint32, size int) window.Window {
	r := m.reserve(size, true)
	w := m.window(r)
	window.Init(w, size)
	setSlot(w, slot)
	m.slots[slot] = r
	m.windows++
	return w
}

// adopt adds windows that lie one behind the other in run, each with its slot in its tag, as a block without spare room. It
// copies run. It reports false, and changes nothing, if there is no room for another block.
func (m *memory) adopt(run []byte) bool {
	if len(m.blocks) > maxBlocks {
		return false
	}
	if len(m.blocks) == 0 {
		m.begin()
	} else {
		m.nextTail()
	}
	bytes := allocate(blockStart + len(run) + window.Padding)
	copy(bytes[blockStart:], run)
	b := &m.blocks[m.tail]
	m.bytes[m.tail], b.used = bytes, int32(blockStart+len(run))
	m.held += len(bytes)
	for at := blockStart; at < int(b.used); {
		w := window.Window(bytes[at:])
		m.slots[slotOf(w)] = reference(m.tail)<<unitBits | reference(at/unit)
		m.windows++
		at += w.Size()
	}
	return true
}

// resize moves the window of a slot to memory of size bytes, and stores there what it had no room for. growing says that it
// will grow more.
func (m *memory) resize(slot uint32, size int, growing bool, s *window.Scratch) window.Window {
	r := m.reserve(size, growing)
	// Making room may have moved the window.
	old := m.slots[slot]
	from, to := m.window(old), m.window(r)
	to.Take(from, size, s)
	m.slots[slot] = r
	m.bury(old)
	return to
}

// remove removes the window of a slot, if there is one.
func (m *memory) remove(slot uint32) {
	if r := m.slots[slot]; r != 0 {
		m.slots[slot] = 0
		m.windows--
		m.tidy(m.bury(r))
	}
}

// bury marks a window as dead, and returns the index of its block.
func (m *memory) bury(r reference) int {
	w := m.window(r)
	setSlot(w, deadSlot)
	index := int(r >> unitBits)
	m.blocks[index].dead += int32(w.Size())
	return index
}

// tidy rebuilds a block that is no longer being filled and holds too many dead bytes; one that holds nothing else is freed,
// and its index reused.
func (m *memory) tidy(index int) {
	b := &m.blocks[index]
	switch {
	case index == int(m.tail):
	case b.used-b.dead == blockStart:
		m.letGo(index)
	case b.dead > b.used/8:
		m.rebuild(index, int(b.used-b.dead))
	}
}

// letGo gives back the bytes of a block, whose place another may take.
func (m *memory) letGo(index int) {
	m.held -= len(m.bytes[index])
	m.bytes[index], m.blocks[index] = nil, block{}
	m.empty++
}

// full says that there may be no block for another window.
func (m *memory) full() bool { return len(m.blocks) >= maxBlocks && m.empty == 0 }

// reserve takes size bytes at the end of the block that is being filled. If there is no room, some is made: without growing, for
// that window alone, as far as possible.
func (m *memory) reserve(size int, growing bool) reference {
	if len(m.blocks) == 0 || !m.fits(int(m.tail), size) {
		m.makeRoom(size, growing)
	}
	b := &m.blocks[m.tail]
	r := reference(m.tail)<<unitBits | reference(b.used/unit)
	b.used += int32(size)
	return r
}

// fits reports whether the block of an index has room for size bytes.
func (m *memory) fits(index, size int) bool {
	return int(m.blocks[index].used)+size+window.Padding <= len(m.bytes[index])
}

// room returns the number of bytes that windows could take in the block of an index if the gaps were closed.
func (m *memory) room(index int) int {
	return len(m.bytes[index]) - int(m.blocks[index].used-m.blocks[index].dead) - window.Padding
}

// begin makes the first block.
func (m *memory) begin() {
	m.bytes, m.blocks = append(m.firstBytes[:0], nil), append(m.first[:0], block{})
}

// allocate returns at least n bytes: append rounds up to the size class of the allocator.
func allocate(n int) []byte {
	bytes := append([]byte(nil), make([]byte, n)...)
	return bytes[:cap(bytes)]
}

func (m *memory) makeRoom(size int, growing bool) {
	if len(m.blocks) == 0 {
		m.begin()
	}
	// Closing gaps where they are takes no memory.
	if index := m.loosest(size); index >= 0 {
		m.tail = int32(index)
		m.settle(index, m.bytes[index])
		return
	}
	if needed := int(m.blocks[m.tail].used-m.blocks[m.tail].dead) + size; m.held <= soleTarget && len(m.blocks) == 1 {
		if needed = max(needed, blockStart+size); growing {
			needed += needed / filling
		}
		m.rebuild(int(m.tail), needed)
		return
	}
	m.nextTail()
	m.rebuild(int(m.tail), blockStart+max(size, min(max(m.held/growth, leastGrowth), blockTarget-blockStart)))
}

// loosest returns the index of the block, of some that it looks at, with the most room, -1 if none has enough to be filled again.
func (m *memory) loosest(size int) int {
	found, most := -1, 0
	for range min(len(m.blocks), mostLooked) {
		if m.looked++; int(m.looked) >= len(m.blocks) {
			m.looked = 0
		}
		bytes := m.bytes[m.looked]
		if room := m.room(int(m.looked)); bytes != nil && room > most && room >= max(size, len(bytes)/looseness) {
			found, most = int(m.looked), room
		}
	}
	return found
}

// nextTail makes an empty block the one that is being filled.
func (m *memory) nextTail() {
	if m.empty > 0 {
		m.tail = int32(slices.IndexFunc(m.bytes, func(bytes []byte) bool { return bytes == nil }))
		m.empty--
		return
	}
	m.bytes, m.blocks = append(m.bytes, nil), append(m.blocks, block{})
	m.tail = int32(len(m.blocks) - 1)
	m.firstBytes[0], m.first[0] = nil, block{} // they have moved
}

// narrow makes windows smaller that are wider than their commits need, among some slots from an index on, and returns the index to go
// on from.
func (m *memory) narrow(from, some int, s *window.Scratch) (next int) {
	for next = from; next < min(from+some, len(m.slots)); next++ {
		r := m.slots[next]
		if r == 0 || !m.window(r).Narrowable() {
			continue
		}
		if m.full() {
			m.narrowable = true
			return len(m.slots)
		}
		if size := m.window(r).Narrow(s); size > 0 {
			m.resize(uint32(next), size, false, s)
		}
	}
	return next
}

// rebuild copies the living windows of a block into new memory of capacity bytes.
func (m *memory) rebuild(index, capacity int) {
	old := m.bytes[index]
	m.bytes[index] = allocate(capacity + window.Padding)
	m.held += len(m.bytes[index]) - len(old)
	m.settle(index, old)
}

// settle lays the living windows of a block one behind the other, reading them from memory that may be that of the block.
func (m *memory) settle(index int, old []byte) {
	b := &m.blocks[index]
	end := int(b.used)
	b.used, b.dead = blockStart, 0
	m.move(b, m.bytes[index], index, old, end)
}

// move lays what lives in memory that is used up to an end behind what a block has, whose bytes and index these are to be.
func (m *memory) move(b *block, bytes []byte, index int, old []byte, end int) {
	for at := blockStart; at < end; {
		w := window.Window(old[at:])
		size := w.Size()
		if slot := slotOf(w); slot != deadSlot {
			m.slots[slot] = reference(index)<<unitBits | reference(b.used/unit)
			copy(bytes[b.used:], w[:size])
			b.used += int32(size)
		}
		at += size
	}
}

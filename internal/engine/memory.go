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

	// filling is the part of a block that is being filled, one in filling, that it gets as extra room. Filling a store with
	// ten commits each (BenchmarkFill of 1,000 groups) allocates 1,200 bytes a group-partition with 8, 600 with 4, and 430
	// with 3 or 2; with 2 a third of what then lives is room that is never used.
	filling = 3

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
// lie one behind the other; one that must grow moves to the end of the last block and leaves a dead one behind, which goes
// when its block is rebuilt. Guarded by the shard.
type memory struct {
	// slots has one entry for each partition of each topic; layout says which belong to a topic.
	slots  []reference
	blocks []block
	// held is the number of bytes of all blocks.
	held int
	// counted is held, the layouts of the group, and how many topics it had, when the group was last accounted for.
	counted struct {
		held            int
		layouts, topics int32
	}
	// first is the memory of blocks until there is a second block: most groups need one, and it saves an indirection.
	first [1]block
	// tail is the index of the block that is being filled; empty is the number of blocks that have no bytes, the tail apart.
	tail, empty int
	// windows is the number of slots that have a window.
	windows int
	// narrowable is set if some of them may take more memory than their commits need.
	narrowable bool
}

type block struct {
	// bytes is the memory, used the number of bytes taken; window.Padding bytes stay free.
	bytes []byte
	used  int32
	// dead is the number of used bytes that belong to no slot.
	dead int32
	// trimmed is what used was when the block was last trimmed: the allocator gave nothing smaller then.
	trimmed int32
}

func (m *memory) window(r reference) window.Window {
	return window.Window(m.blocks[r>>unitBits].bytes[(r&unitMask)*unit:])
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
	r := m.reserve(size, filling)
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
		m.blocks = m.first[:1]
	} else {
		m.nextTail()
	}
	b := &m.blocks[m.tail]
	b.bytes = append([]byte(nil), make([]byte, blockStart+len(run)+window.Padding)...)
	b.bytes = b.bytes[:cap(b.bytes)]
	m.held += cap(b.bytes)
	copy(b.bytes[blockStart:], run)
	b.used = int32(blockStart + len(run))
	for at := blockStart; at < int(b.used); {
		w := window.Window(b.bytes[at:])
		m.slots[slotOf(w)] = reference(m.tail)<<unitBits | reference(at/unit)
		m.windows++
		at += w.Size()
	}
	return true
}

// resize moves the window of a slot to memory of size bytes, and stores there what it had no room for. growing says that it
// will grow more.
func (m *memory) resize(slot uint32, size int, growing bool, s *window.Scratch) window.Window {
	slack := 32
	if growing {
		slack = filling
	}
	r := m.reserve(size, slack)
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
		m.bury(r)
	}
}

func (m *memory) bury(r reference) {
	w := m.window(r)
	setSlot(w, deadSlot)
	index := int(r >> unitBits)
	m.blocks[index].dead += int32(w.Size())
	if index != m.tail {
		m.tidy(index)
	}
}

// tidy rebuilds a block that is no longer being filled and holds too many dead bytes; one that holds nothing else is freed,
// and its index reused.
func (m *memory) tidy(index int) {
	b := &m.blocks[index]
	switch {
	case b.used-b.dead == blockStart:
		m.held -= cap(b.bytes)
		*b = block{}
		m.empty++
	case b.dead > b.used/8:
		m.rebuild(index, int(b.used-b.dead))
	}
}

// full reports that there may be no block for another window.
func (m *memory) full() bool { return len(m.blocks) >= maxBlocks && m.empty == 0 }

// reserve takes size bytes at the end of the block that is being filled. If there is no room, the block is rebuilt or another
// one begun. A rebuilt block gets one part in slack as extra room.
func (m *memory) reserve(size, slack int) reference {
	if len(m.blocks) == 0 || !m.blocks[m.tail].fits(size) {
		m.makeRoom(size, slack)
	}
	b := &m.blocks[m.tail]
	r := reference(m.tail)<<unitBits | reference(b.used/unit)
	b.used += int32(size)
	return r
}

func (b *block) fits(size int) bool { return int(b.used)+size+window.Padding <= len(b.bytes) }

func (m *memory) makeRoom(size, slack int) {
	live := blockStart
	if len(m.blocks) == 0 {
		m.blocks = append(m.first[:0], block{})
	} else if live = int(m.blocks[m.tail].used - m.blocks[m.tail].dead); live+size > blockTarget && live > blockStart {
		filled := m.tail
		m.nextTail()
		m.tidy(filled)
		// A group that filled a block will fill a good part of another.
		live = blockStart + blockTarget/8
	} else if b := &m.blocks[m.tail]; int(b.dead) >= max(size, len(b.bytes)/8) {
		// Closing the gaps in place takes no memory. The sweep gives back what is too much.
		m.settle(m.tail, b.bytes)
		return
	}
	m.rebuild(m.tail, live+size+(live+size)/slack)
}

// nextTail makes an empty block the one that is being filled.
func (m *memory) nextTail() {
	if m.empty > 0 {
		m.tail = slices.IndexFunc(m.blocks, func(b block) bool { return b.bytes == nil })
		m.empty--
		return
	}
	m.blocks = append(m.blocks, block{})
	m.tail = len(m.blocks) - 1
	m.first[0] = block{} // its windows have moved
}

// wasteful reports whether more than a sixteenth of a block holds no window, and rebuilding would change that.
func (b *block) wasteful() bool {
	live := b.used - b.dead
	return len(b.bytes)-int(live) > 512+len(b.bytes)/16 && live != b.trimmed
}

// trim rebuilds some of the wasteful blocks, from an index on, and returns the index to continue from.
func (m *memory) trim(from, some int) (next int) {
	for ; from < len(m.blocks) && some > 0; from++ {
		if b := &m.blocks[from]; b.wasteful() {
			m.rebuild(from, int(b.used-b.dead))
			b.trimmed = b.used
			some--
		}
	}
	return from
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
	b := &m.blocks[index]
	old := b.bytes
	// append rounds up to the size class of the allocator.
	b.bytes = append([]byte(nil), make([]byte, capacity+window.Padding)...)
	b.bytes = b.bytes[:cap(b.bytes)]
	m.held += cap(b.bytes) - cap(old)
	m.settle(index, old)
}

// settle lays the living windows of a block one behind the other, reading them from memory that may be that of the block.
func (m *memory) settle(index int, old []byte) {
	b := &m.blocks[index]
	end := int(b.used)
	b.used, b.dead = blockStart, 0
	for at := blockStart; at < end; {
		w := window.Window(old[at:])
		size := w.Size()
		if slot := slotOf(w); slot != deadSlot {
			m.slots[slot] = reference(index)<<unitBits | reference(b.used/unit)
			copy(b.bytes[b.used:], w[:size])
			b.used += int32(size)
		}
		at += size
	}
}

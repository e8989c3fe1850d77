package engine

import "github.com/lagkeeper/storage/internal/window"

// reference says where a window lies: the index of its block in the upper 17 bits, its offset within the block, in units
// of two bytes, in the lower 15. 0 is no window.
type reference uint32

const (
	unitBits = 15
	unitMask = 1<<unitBits - 1
	unit     = window.Unit

	// blockTarget is the size at which a block is full; only a single window may make it larger.
	blockTarget = 32 << 10
	// blockStart is where the first window of a block begins, so that no reference is 0.
	blockStart = 4

	// A window's tag is, from the lowest bit, the index of its slot (23), whether it was restored and not seen since (1),
	// and the incarnation of the partition that its newest commit belongs to (8).
	slotMask         = 1<<23 - 1
	restoredBit      = 1 << 23
	incarnationShift = 24

	// maxSlots is how many partitions a group can have.
	maxSlots = slotMask
	// deadSlot in a tag says that the window has moved or gone.
	deadSlot = slotMask
)

// memory holds the windows of one group: few large runs of bytes, nothing in them for the garbage collector to follow.
// Windows are laid out one behind the other; one that must grow moves to the end of the last block and leaves a dead one
// behind, which goes when its block is built anew. Guarded by the shard.
type memory struct {
	// slots has one entry for each partition of each topic, in ranges that the topics know.
	slots  []reference
	blocks []block
	// first is where the first block is kept until there is a second: few groups need one, and it saves a way.
	first [1]block
	// windows is how many slots have a window.
	windows int
}

type block struct {
	// bytes is the memory, used how much of it is taken; window.Padding bytes stay free.
	bytes []byte
	used  int32
	// dead is how many of the used bytes belong to no slot.
	dead int32
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
	r := m.reserve(size, 8)
	w := m.window(r)
	window.Init(w, size)
	setSlot(w, slot)
	m.slots[slot] = r
	m.windows++
	return w
}

// resize moves the window of a slot to memory of size bytes. filling says that it will grow more.
func (m *memory) resize(slot uint32, size int, filling bool) window.Window {
	slack := 32
	if filling {
		slack = 8
	}
	r := m.reserve(size, slack)
	// Making room may have moved the window.
	old := m.slots[slot]
	from, to := m.window(old), m.window(r)
	from.MoveTo(to, size)
	m.slots[slot] = r
	m.bury(old)
	return to
}

// remove lets go of the window of a slot, if there is one.
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
	b := &m.blocks[index]
	b.dead += int32(w.Size())
	// The last block is built anew when it is full; of the others nobody else would take care.
	if index < len(m.blocks)-1 && b.dead > b.used/8 {
		m.rebuild(index, int(b.used-b.dead))
	}
}

// reserve takes size bytes at the end of the last block, which is built anew, or followed by another, where it is full.
// Where it is built anew, it gets one part in slack more room than it needs now.
func (m *memory) reserve(size, slack int) reference {
	last := len(m.blocks) - 1
	if last < 0 || !m.blocks[last].fits(size) {
		last = m.makeRoom(size, slack)
	}
	b := &m.blocks[last]
	r := reference(last)<<unitBits | reference(b.used/unit)
	b.used += int32(size)
	return r
}

func (b *block) fits(size int) bool { return int(b.used)+size+window.Padding <= len(b.bytes) }

func (m *memory) makeRoom(size, slack int) (last int) {
	last = len(m.blocks) - 1
	live := blockStart
	if last >= 0 {
		live = int(m.blocks[last].used - m.blocks[last].dead)
	}
	if last < 0 || live+size > blockTarget && live > blockStart {
		if last < 0 {
			m.blocks = m.first[:0]
		}
		m.blocks = append(m.blocks, block{used: blockStart})
		if last == 0 {
			m.first[0] = block{}
		}
		last, live = last+1, blockStart
		if last > 0 {
			// A group that filled a block will fill a good part of another.
			live += blockTarget / 8
		}
	}
	m.rebuild(last, live+size+(live+size)/slack)
	return last
}

// wasteful says whether a block has more than a sixteenth of memory that holds no window.
func (b *block) wasteful() bool { return len(b.bytes)-int(b.used-b.dead) > 512+len(b.bytes)/16 }

// trim builds anew the blocks that are wasteful.
func (m *memory) trim() {
	for i := range m.blocks {
		if b := &m.blocks[i]; b.wasteful() {
			m.rebuild(i, int(b.used-b.dead))
		}
	}
}

// rebuild copies what lives in a block into new memory with room for capacity bytes.
func (m *memory) rebuild(index, capacity int) {
	b := &m.blocks[index]
	old, end := b.bytes, int(b.used)
	// append rounds up to what the allocator gives anyway.
	b.bytes = append([]byte(nil), make([]byte, capacity+window.Padding)...)
	b.bytes = b.bytes[:cap(b.bytes)]
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

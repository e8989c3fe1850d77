package engine

import (
	"slices"

	"github.com/lagkeeper/storage/internal/window"
)

// What the sweep gives back of the memory of groups. It makes new blocks before the collector takes the old ones, so it does so much
// at a time that the heap does not grow by it.

const (
	// trimBatch is the number of blocks of a group that are built anew while a shard is held.
	trimBatch = 8
	// trimShare is one part in how many of the store a sweep builds anew at most, or leastTrim bytes. The collector runs every two
	// minutes at least, and the sweep every one.
	trimShare = 16
	leastTrim = 8 << 20
)

// trimming is what a sweep may still build anew.
type trimming struct {
	left int
	// stopped is the index of the shard in which there was nothing left, -1 if there was something to the end.
	stopped int
}

func (e *Engine) newTrimming() *trimming {
	return &trimming{left: max(int(e.room.used.Load())/trimShare, leastTrim), stopped: -1}
}

// trim gives back the memory that a group of the shard of an index does not use, unless it has been removed or there is nothing left.
func (s *shard) trim(g *group, shard int, t *trimming) {
	for from := 0; from >= 0 && t.more(shard); {
		from = s.narrowSome(g, from)
	}
	for from := 0; from >= 0 && t.more(shard); {
		var made int
		from, made = s.trimSome(g, from)
		t.left -= made
	}
}

// more reports whether there is something left, and notes the shard if there is not.
func (t *trimming) more(shard int) bool {
	if t.left <= 0 && t.stopped < 0 {
		t.stopped = shard
	}
	return t.left > 0
}

// narrowBatch is the number of windows that are looked at while a shard is held: at most some 200 µs of them.
const narrowBatch = 512

// narrowSome makes some windows of a group smaller, from the slot at an index on, and returns the index to go on from, -1 at the end.
func (s *shard) narrowSome(g *group, from int) (next int) {
	s.mu.Lock()
	defer s.release()
	if !s.holds(g) || from == 0 && !g.memory.narrowable {
		return -1
	}
	g.memory.narrowable = from > 0 && g.memory.narrowable
	next = g.memory.narrow(from, narrowBatch, &s.scratch)
	s.account(g)
	if next >= len(g.memory.slots) {
		return -1
	}
	return next
}

// trimSome trims some blocks of a group from an index on. It returns the index to go on from, -1 at the end, and the number of bytes
// that it made.
func (s *shard) trimSome(g *group, from int) (next, made int) {
	s.mu.Lock()
	defer s.release()
	if !s.holds(g) {
		return -1, 0
	}
	next, made = g.memory.trim(from, trimBatch)
	s.account(g)
	if next >= len(g.memory.blocks) {
		return -1, made
	}
	return next, made
}

// wastes reports whether more than a sixteenth of the block of an index holds no window, and building it anew would change that.
func (m *memory) wastes(index int) bool {
	b, size := &m.blocks[index], len(m.bytes[index])
	live := b.used - b.dead
	return size-int(live) > 512+size/16 && live != b.trimmed
}

// scattered reports whether windows lie in many more blocks than they need.
func (m *memory) scattered() bool { return len(m.blocks)-int(m.empty) > 2+2*m.held/blockTarget }

// wasteful reports whether there is something to trim.
func (m *memory) wasteful() bool {
	if m.scattered() {
		return true
	}
	for i := range m.blocks {
		if m.wastes(i) {
			return true
		}
	}
	return false
}

// trim builds anew some of the blocks that are wasteful from an index on, or puts some that are small together. It returns the index
// to go on from and the number of bytes that it made.
func (m *memory) trim(from, some int) (next, made int) {
	if m.scattered() {
		return from, m.gather()
	}
	for ; from < len(m.blocks) && some > 0; from++ {
		b := &m.blocks[from]
		if !m.wastes(from) {
			continue
		}
		some--
		if from != int(m.tail) && b.used-b.dead == blockStart {
			m.letGo(from)
			continue
		}
		m.rebuild(from, int(b.used-b.dead))
		b.trimmed = b.used
		made += len(m.bytes[from])
	}
	return from, made
}

// gather puts the windows of the first small blocks together, as many as one block takes, and returns its size.
func (m *memory) gather() int {
	into, live, blocks := -1, blockStart, []int(nil)
	for i := range m.blocks {
		b, bytes := &m.blocks[i], m.bytes[i]
		more := int(b.used-b.dead) - blockStart
		if bytes == nil || len(bytes) >= blockTarget/2 || live+more > blockTarget {
			continue
		}
		if into < 0 {
			into = i
		}
		live += more
		blocks = append(blocks, i)
	}
	bytes, gathered := allocate(live+window.Padding), block{used: blockStart}
	for _, i := range blocks {
		old, used := m.bytes[i], int(m.blocks[i].used)
		m.letGo(i)
		m.move(&gathered, bytes, into, old, used)
	}
	gathered.trimmed = gathered.used
	m.bytes[into], m.blocks[into] = bytes, gathered
	m.empty--
	m.held += len(bytes)
	if slices.Contains(blocks, int(m.tail)) {
		m.tail = int32(into)
	}
	m.cutEmpty()
	return len(bytes)
}

// cutEmpty gives the places of blocks back that have no bytes and stand at the end.
func (m *memory) cutEmpty() {
	n := len(m.blocks)
	for n > 1 && m.bytes[n-1] == nil && int(m.tail) != n-1 {
		n--
		m.empty--
	}
	switch m.bytes, m.blocks = m.bytes[:n], m.blocks[:n]; {
	case n == 1:
		m.firstBytes[0], m.first[0] = m.bytes[0], m.blocks[0]
		m.bytes, m.blocks = m.firstBytes[:1], m.first[:1]
	case n < cap(m.blocks)/2:
		m.bytes, m.blocks = slices.Clone(m.bytes), slices.Clone(m.blocks)
	}
}

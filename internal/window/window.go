// Package window keeps the last commits of one group-partition in a few bytes: the newest commit as it is, every commit
// before it as differences of a few bits, in one run of bytes without a pointer.
//
// A Window is a view on bytes that somebody else owns and moves. It never allocates, and it knows nothing of groups or
// topics. Its layout, all integers little-endian:
//
//	 0  newest offset     int64
//	 8  newest order      int64
//	16  newest timestamp  int64, Unix milliseconds
//	24  meta              uint64: see meta.go
//	32  tag               4 bytes for the owner of the window
//	36  records           a run of bits, oldest record first
//
// A record holds one commit: what it adds to the offset, order and timestamp of the commit before it, when it was observed
// relative to its timestamp, and its lag. The additions of the oldest record lead to a commit that has left the window
// and mean nothing. Since only the newest commit is kept whole, appending costs one record and dropping the oldest costs
// nothing but skipping it: no other record changes. The width of each field is chosen per record from a small table
// (record.go), which for regular commits comes to eight or nine bytes a commit.
package window

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

const (
	// HeaderSize is how many bytes stand before the records.
	HeaderSize = 36
	// Unit is what the size of a window is a multiple of, in bytes.
	Unit = 2
	// Padding is how many bytes must follow a window in the memory it lies in: bits are read and written eight bytes at
	// a time. The bits beyond the window are left as they are.
	Padding = 8
	// MaxCommits is the largest number of commits that a window can hold.
	MaxCommits = 1000
	tagAt      = 32
)

// MaxSize is the size of a window of n commits, in bytes, when every field of every record takes its greatest width.
func MaxSize(n int) int {
	return align(HeaderSize + (n*maxRecordBits+7)/8)
}

// Window is the memory of one window, from its first byte to at least Padding bytes beyond its last.
type Window []byte

// Init makes an empty window of size bytes, which must be a multiple of Unit no less than HeaderSize. The tag is cleared.
func Init(w Window, size int) {
	clear(w[:HeaderSize])
	w.setMeta(meta{size: size})
}

// Size is how many bytes the window takes, without the padding.
func (w Window) Size() int { return w.meta().size }

// Len is how many commits the window holds.
func (w Window) Len() int { return int(w.metaWord() >> countShift & countMask) }

// Tag is the owner's part of the window.
func (w Window) Tag() uint32 { return binary.LittleEndian.Uint32(w[tagAt:]) }

// SetTag changes the owner's part of the window.
func (w Window) SetTag(tag uint32) { binary.LittleEndian.PutUint32(w[tagAt:], tag) }

// NewestOffset is the offset of the newest commit; it means nothing in an empty window.
func (w Window) NewestOffset() int64 { return int64(binary.LittleEndian.Uint64(w[0:])) }

// NewestOrder is the order of the newest commit; it means nothing in an empty window.
func (w Window) NewestOrder() int64 { return int64(binary.LittleEndian.Uint64(w[8:])) }

// NewestTimestamp is the timestamp of the newest commit in Unix milliseconds; it means nothing in an empty window.
func (w Window) NewestTimestamp() int64 { return int64(binary.LittleEndian.Uint64(w[16:])) }

func (w Window) setNewest(c *protocol.StoredCommit) {
	binary.LittleEndian.PutUint64(w[0:], uint64(c.Offset))
	binary.LittleEndian.PutUint64(w[8:], uint64(c.Order))
	binary.LittleEndian.PutUint64(w[16:], uint64(c.Timestamp))
}

// Append makes c the newest commit; its order must not be below that of the newest. A window that holds limit commits
// loses its oldest. Where c does not fit into the memory of the window, Append changes nothing and returns the size in
// bytes that the window needs; otherwise it returns 0.
func (w Window) Append(c *protocol.StoredCommit, limit int) (needed int) {
	m := w.meta()
	r := observation(c)
	if m.count > 0 {
		r.offset = c.Offset - w.NewestOffset()
		r.order = c.Order - w.NewestOrder()
		r.timestamp = c.Timestamp - w.NewestTimestamp()
	}
	return w.push(m, &r, c, limit)
}

// ReplaceNewest puts c in the place of the newest commit of a window that is not empty; its order must not be below that
// of the commit before. It returns what Append returns.
func (w Window) ReplaceNewest(c *protocol.StoredCommit) (needed int) {
	m := w.meta()
	r := observation(c)
	if m.count > 1 {
		var last record
		last.read(w, m.end-m.last)
		r.offset = c.Offset - (w.NewestOffset() - last.offset)
		r.order = c.Order - (w.NewestOrder() - last.order)
		r.timestamp = c.Timestamp - (w.NewestTimestamp() - last.timestamp)
	}
	m.end -= m.last
	m.count--
	return w.push(m, &r, c, math.MaxInt)
}

// push writes the record of c behind the records that m tells of.
func (w Window) push(m meta, r *record, c *protocol.StoredCommit, limit int) (needed int) {
	p := r.plan()
	bits := p.length()
	for m.count >= limit {
		m.head += recordLength(get(w, m.head, controlBits))
		m.count--
	}
	capacity := (m.size - HeaderSize) * 8
	if m.end+bits > capacity || m.head > maxHead {
		skip := m.head >> 3
		if m.end-skip*8+bits > capacity {
			return align(HeaderSize + (m.end-skip*8+bits+7)/8)
		}
		copy(w[HeaderSize:], w[HeaderSize+skip:HeaderSize+(m.end+7)>>3])
		m.head -= skip * 8
		m.end -= skip * 8
	}
	r.write(w, m.end, &p)
	m.count++
	m.last = bits
	m.end += bits
	w.setMeta(m)
	w.setNewest(c)
	return 0
}

// AppendTo appends the commits of the window to dst, oldest first, and returns the result.
func (w Window) AppendTo(dst []protocol.StoredCommit) []protocol.StoredCommit {
	m := w.meta()
	dst = slices.Grow(dst, m.count)
	commits := dst[len(dst) : len(dst)+m.count]
	at := m.head
	for i := range commits {
		at += readInto(&commits[i], w, at)
	}
	// The records say what each commit added to the one before; from the newest backwards that gives them all.
	offset, order, timestamp := w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()
	for i := len(commits) - 1; i >= 0; i-- {
		c := &commits[i]
		offset, c.Offset = offset-c.Offset, offset
		order, c.Order = order-c.Order, order
		timestamp, c.Timestamp = timestamp-c.Timestamp, timestamp
		c.ObservedTimestamp = (seconds(c.Timestamp) + c.ObservedTimestamp) * 1000
	}
	return dst[:len(dst)+m.count]
}

// Rewrite puts commits, oldest first and ascending by order, in the place of what the window holds. It returns what
// Append returns.
func (w Window) Rewrite(commits []protocol.StoredCommit) (needed int) {
	end := 0
	for i := range commits {
		r := difference(&commits[max(i-1, 0)], &commits[i])
		p := r.plan()
		end += p.length()
	}
	size := w.Size()
	if needed := align(HeaderSize + (end+7)/8); needed > size {
		return needed
	}
	w.setMeta(meta{size: size})
	for i := range commits {
		r := difference(&commits[max(i-1, 0)], &commits[i])
		w.push(w.meta(), &r, &commits[i], math.MaxInt)
	}
	return 0
}

// MoveTo copies the window, tag and all, into to, whose size in bytes must be at least what the records take.
func (w Window) MoveTo(to Window, size int) {
	m := w.meta()
	skip := m.head >> 3
	copy(to[:HeaderSize], w[:HeaderSize])
	copy(to[HeaderSize:], w[HeaderSize+skip:HeaderSize+(m.end+7)>>3])
	m.head -= skip * 8
	m.end -= skip * 8
	m.size = size
	to.setMeta(m)
}

// Used is how many bytes the window needs for what it holds, without room for another commit.
func (w Window) Used() int {
	m := w.meta()
	return align(HeaderSize + (m.end-m.head&^7+7)/8)
}

func align(size int) int { return (size + Unit - 1) &^ (Unit - 1) }

// seconds is the Unix time in whole seconds of a time in milliseconds, rounded down.
func seconds(milliseconds int64) int64 {
	s := milliseconds / 1000
	if milliseconds%1000 < 0 {
		s--
	}
	return s
}

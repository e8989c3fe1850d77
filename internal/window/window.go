// Package window keeps the last commits of one group-partition in a few bytes: the newest commit as it is, every commit
// before it as differences of a few bits, in one run of bytes without a pointer.
//
// A Window is a view of bytes that somebody else owns and moves. It knows nothing of groups or topics. Its layout, all
// integers little-endian:
//
//	 0  form              14 bytes: see form.go
//	14  tag               4 bytes for the owner of the window
//	18  newest offset     6 bytes, or 8 if one of the three needs more than 6
//	..  newest order      6 or 8 bytes
//	..  newest timestamp  6 or 8 bytes, Unix milliseconds
//	..  lag anchor        0, 4 or 8 bytes
//	..  observed anchor   0, 4 or 8 bytes
//	..  records           a ring of records of equal length
//
// A record holds one commit: what it adds to the timestamp, order and offset of the commit before it, its lag, and when it was
// observed relative to its timestamp. The additions of the oldest record lead to a commit that has left the window and mean
// nothing. Since only the newest commit is kept whole, appending to a full window is writing one record over the oldest. All
// records have the same fields of the same widths, which are chosen anew for all of them when a commit does not fit.
package window

import (
	"encoding/binary"
	"math"

	"github.com/lagkeeper/storage/protocol"
)

const (
	// HeaderSize is the size in bytes of a window without records.
	HeaderSize = newestAt + 3*6
	// Unit is the unit of the size of a window, in bytes.
	Unit = 2
	// Padding is the number of bytes that must follow a window in memory: bits are read and written eight bytes at a time.
	// Bits beyond the window are not changed.
	Padding = 8
	// MaxCommits is the largest number of commits that a window can hold.
	MaxCommits = 1000

	tagAt    = 14
	newestAt = 18
	// fullMask covers what 6 bytes hold.
	fullMask = 1<<48 - 1
	// maxRecordBits is the length of a record whose fields all have their greatest width.
	maxRecordBits = 5*64 + 1
	maxHeader     = newestAt + 3*8 + 2*8
)

// MaxSize returns the size of a window of n commits, in bytes, if every field takes its greatest width.
func MaxSize(n int) int { return align(maxHeader + (n*maxRecordBits+7)/8) }

// Window is the memory of one window, from its first byte to at least Padding bytes beyond its last.
type Window []byte

// Init makes an empty window of size bytes, which must be a multiple of Unit no less than HeaderSize. The tag is cleared.
func Init(w Window, size int) {
	clear(w[:HeaderSize])
	w.setFirst(uint64(size) / Unit)
}

// Size returns how many bytes the window takes, without the padding.
func (w Window) Size() int { return int(w.first()&sizeMask) * Unit }

// Len returns the number of commits that the window holds.
func (w Window) Len() int { return int(w.first() >> countShift & countMask) }

// Tag returns the owner's part of the window.
func (w Window) Tag() uint32 { return binary.LittleEndian.Uint32(w[tagAt:]) }

// SetTag changes the owner's part of the window.
func (w Window) SetTag(tag uint32) { binary.LittleEndian.PutUint32(w[tagAt:], tag) }

// NewestOffset returns the offset of the newest commit; it means nothing in an empty window.
func (w Window) NewestOffset() int64 { return w.full(0) }

// NewestOrder returns the order of the newest commit; it means nothing in an empty window.
func (w Window) NewestOrder() int64 { return w.full(1) }

// NewestTimestamp returns the timestamp of the newest commit in Unix milliseconds; it means nothing in an empty window.
func (w Window) NewestTimestamp() int64 { return w.full(2) }

func (w Window) full(index int) int64 {
	if w.first()>>eightShift&1 != 0 {
		return int64(binary.LittleEndian.Uint64(w[newestAt+8*index:]))
	}
	return int64(binary.LittleEndian.Uint64(w[newestAt+6*index:]) & fullMask)
}

// setNewest stores the newest commit and, if the form has anchors for them, its lag and its delay in seconds.
func (w Window) setNewest(f *form, c *protocol.StoredCommit, lag uint64) {
	at := newestAt + 3*int(f.full)
	if f.full == 6 {
		set6(w[newestAt:], c.Offset)
		set6(w[newestAt+6:], c.Order)
		set6(w[newestAt+12:], c.Timestamp)
	} else {
		binary.LittleEndian.PutUint64(w[newestAt:], uint64(c.Offset))
		binary.LittleEndian.PutUint64(w[newestAt+8:], uint64(c.Order))
		binary.LittleEndian.PutUint64(w[newestAt+16:], uint64(c.Timestamp))
	}
	setAnchor(w[at:], f.lagAnchor, lag)
	if f.observedAnchor > 0 {
		setAnchor(w[at+int(f.lagAnchor):], f.observedAnchor, uint64(delay(c)))
	}
}

func set6(to []byte, v int64) {
	binary.LittleEndian.PutUint32(to, uint32(v))
	binary.LittleEndian.PutUint16(to[4:], uint16(v>>32))
}

func setAnchor(to []byte, n uint8, v uint64) {
	switch n {
	case 4:
		binary.LittleEndian.PutUint32(to, uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(to, v)
	}
}

// newestLag returns the lag anchor, 0 if there is none.
func (w Window) newestLag(f *form) uint64 { return w.anchor(newestAt+3*int(f.full), f.lagAnchor) }

// newestDelay returns the observed anchor, 0 if there is none.
func (w Window) newestDelay(f *form) int64 {
	return int64(w.anchor(newestAt+3*int(f.full)+int(f.lagAnchor), f.observedAnchor))
}

func (w Window) anchor(at int, n uint8) uint64 {
	switch n {
	case 4:
		return uint64(binary.LittleEndian.Uint32(w[at:]))
	case 8:
		return binary.LittleEndian.Uint64(w[at:])
	}
	return 0
}

// Scratch is memory for rewriting windows. It holds what a window had no room for until Take. The zero value is ready.
type Scratch struct {
	commits []protocol.StoredCommit
	form    form
	// formed is true if the window is to consist of form and commits; otherwise it keeps its form and gets commits[0].
	formed bool
	limit  int
}

// Append makes c the newest commit; its order must not be below that of the newest. A window that holds limit commits
// loses its oldest. If c does not fit into the memory of the window, Append changes nothing and returns the size in
// bytes that the window needs, for Take; otherwise it returns 0.
func (w Window) Append(c *protocol.StoredCommit, limit int, s *Scratch) (needed int) {
	return w.append(c, limit, s)
}

func (w Window) append(c *protocol.StoredCommit, limit int, s *Scratch) (needed int) {
	f := w.form()
	if f.count == 0 || f.count > limit || f.count < limit && f.head != 0 {
		return w.reform(c, limit, false, s)
	}
	before := w.newest(&f)
	var r record
	lag := f.follow(&before, c, &r)
	if !f.fits(&r) || !f.holds(c, lag) {
		return w.reform(c, limit, false, s)
	}
	index := f.head
	first := w.first()
	if f.count < limit {
		if needed := f.needs(f.count + 1); needed > f.size {
			s.commits, s.formed, s.limit = append(s.commits[:0], *c), false, limit
			return needed
		}
		index = f.count
		first += 1 << countShift
	} else if f.head++; f.head == f.count {
		first -= uint64(f.head-1) << headShift
		if f.wide == widened {
			first += (turned - widened) << turnShift
		}
	} else {
		first += 1 << headShift
	}
	f.write(w, index, &r)
	w.setFirst(first)
	w.setNewest(&f, c, lag)
	return 0
}

// Take turns w, which has size bytes, into what a window would have become if it had had the room, with its tag. s is the
// Scratch of the call that returned how many bytes are needed.
func (w Window) Take(from Window, size int, s *Scratch) {
	if !s.formed {
		from.MoveTo(w, size)
		w.append(&s.commits[0], s.limit, s)
		return
	}
	tag := from.Tag()
	s.form.size = size
	w.encode(&s.form, s.commits)
	w.SetTag(tag)
}

// last is the commit before another; observed is in seconds, lag that from which the next is counted. Both mean nothing
// without their anchors.
type last struct {
	offset, order, timestamp, observed int64
	lag                                uint64
}

// newest returns the newest commit.
func (w Window) newest(f *form) (l last) {
	if f.full == 6 {
		l.offset = int64(binary.LittleEndian.Uint64(w[newestAt:]) & fullMask)
		l.order = int64(binary.LittleEndian.Uint64(w[newestAt+6:]) & fullMask)
		l.timestamp = int64(binary.LittleEndian.Uint64(w[newestAt+12:]) & fullMask)
	} else {
		l.offset, l.order, l.timestamp = w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()
	}
	l.lag = w.newestLag(f)
	if f.observedAnchor > 0 {
		l.observed = seconds(l.timestamp) + w.newestDelay(f)
	}
	return l
}

// follow makes r the record of a commit that follows another, and returns the lag from which the next is counted.
func (f *form) follow(b *last, c *protocol.StoredCommit, r *record) (lag uint64) {
	r.timestamp, r.order, r.offset = c.Timestamp-b.timestamp, c.Order-b.order, c.Offset-b.offset
	lag, r.unknown = c.Lag, 0
	if !c.LagKnown {
		lag, r.unknown = b.lag, 1
	}
	if r.lag = lag; f.lagAnchor > 0 {
		r.lag = lag - b.lag + uint64(r.offset)
	}
	if f.observedAnchor > 0 {
		r.observed = seconds(c.ObservedTimestamp) - b.observed
	} else {
		r.observed = delay(c)
	}
	return lag
}

// holds reports whether the fields of the newest commit that are kept whole have room.
func (f *form) holds(c *protocol.StoredCommit, lag uint64) bool {
	return (f.full == 8 || uint64(c.Offset)|uint64(c.Order)|uint64(c.Timestamp) <= fullMask) &&
		(f.lagAnchor != 4 || lag <= math.MaxUint32) &&
		(f.observedAnchor == 0 || uint64(c.Timestamp)|uint64(c.ObservedTimestamp) <= fullMask) &&
		(f.observedAnchor != 4 || uint64(delay(c)) <= math.MaxUint32)
}

// ReplaceNewest replaces the newest commit of a window that is not empty; the order of c must not be below that of the commit
// before. It returns what Append returns.
func (w Window) ReplaceNewest(c *protocol.StoredCommit, s *Scratch) (needed int) {
	f := w.form()
	if f.count == 1 {
		return w.reform(c, 1, true, s)
	}
	index := f.index(f.count - 1)
	old, before := f.read(w, index), w.newest(&f)
	before.offset -= old.offset
	before.order -= old.order
	before.timestamp -= old.timestamp
	before.lag -= old.lag - uint64(old.offset)
	before.observed -= old.observed
	var r record
	lag := f.follow(&before, c, &r)
	if !f.fits(&r) || !f.holds(c, lag) {
		return w.reform(c, f.count, true, s)
	}
	f.write(w, index, &r)
	w.setNewest(&f, c, lag)
	return 0
}

// reform appends a commit, or replaces the newest, in a form that is chosen anew.
func (w Window) reform(c *protocol.StoredCommit, limit int, replace bool, s *Scratch) (needed int) {
	s.commits = w.AppendTo(s.commits[:0])
	if replace {
		s.commits = s.commits[:len(s.commits)-1]
	}
	s.commits = append(s.commits, *c)
	if beyond := len(s.commits) - limit; beyond > 0 {
		s.commits = s.commits[:copy(s.commits, s.commits[beyond:])]
	}
	return w.write(s)
}

// Rewrite replaces the commits of the window by others, oldest first and ascending by order. It returns what Append returns.
func (w Window) Rewrite(commits []protocol.StoredCommit, s *Scratch) (needed int) {
	s.commits = append(s.commits[:0], commits...)
	return w.write(s)
}

// write writes s.commits into the window.
func (w Window) write(s *Scratch) (needed int) {
	before := w.form()
	needed = s.plan()
	if before.count > 0 && (before.wide > 0 || s.form.recordBits() > before.recordBits()) {
		s.form.wide = widened
	}
	if needed > w.Size() {
		return needed
	}
	w.Fill(s)
	return 0
}

// Plan returns the bytes that Fill needs for a window of commits, oldest first and ascending by order.
func (s *Scratch) Plan(commits []protocol.StoredCommit) (needed int) {
	s.commits = append(s.commits[:0], commits...)
	return s.plan()
}

func (s *Scratch) plan() (needed int) {
	s.form, s.formed = choose(s.commits), true
	s.form.count = len(s.commits)
	return s.form.needs(s.form.count)
}

// Fill writes what Plan planned into a window of at least that size. The tag stays.
func (w Window) Fill(s *Scratch) {
	s.form.size = w.Size()
	w.encode(&s.form, s.commits)
}

// Oldest reads memory close to the oldest commit, where Append writes if the window is full.
func (w Window) Oldest() byte {
	first := w.first()
	size, count, head := int(first&sizeMask)*Unit, int(first>>countShift&countMask), int(first>>headShift&countMask)
	if at := HeaderSize + (size-HeaderSize)*head/max(count, 1); uint(at) < uint(len(w)) {
		return w[at]
	}
	return 0
}

// encode writes commits, oldest first, in a form.
func (w Window) encode(f *form, commits []protocol.StoredCommit) {
	w.setForm(f)
	var before last
	b := bitFiller{to: w[f.start():]}
	var r record
	for i := range commits {
		c := &commits[i]
		lag := f.follow(&before, c, &r)
		if i == 0 {
			// The first commit follows nothing.
			r.timestamp, r.order, r.offset = f.timestamp.base, f.order.base, f.offset.base
			if f.lagAnchor > 0 {
				r.lag = uint64(f.lag.base)
			}
			if f.observedAnchor > 0 {
				r.observed = 0
			}
		}
		f.append(&b, &r)
		// One by one: a copy of what was only just written makes the processor wait.
		before.offset, before.order, before.timestamp = c.Offset, c.Order, c.Timestamp
		before.lag, before.observed = lag, seconds(c.ObservedTimestamp)
		if i == len(commits)-1 {
			w.setNewest(f, c, lag)
		}
	}
	b.end()
}

// MoveTo copies the window, tag and all, into to, whose size in bytes must be at least Used.
func (w Window) MoveTo(to Window, size int) {
	copy(to, w[:w.Used()])
	to.setFirst(to.first()&^sizeMask | uint64(size)/Unit)
}

// Used returns the bytes that the window needs for its contents, without room for another commit.
func (w Window) Used() int {
	f := w.form()
	return f.needs(f.count)
}

func align(size int) int { return (size + Unit - 1) &^ (Unit - 1) }

// seconds returns the Unix time in whole seconds of a time in milliseconds, rounded down.
func seconds(milliseconds int64) int64 {
	s := milliseconds / 1000
	if milliseconds%1000 < 0 {
		s--
	}
	return s
}

package ends

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/protocol"
)

// Topic holds the end offsets of one topic, from its creation to its deletion: a topic that is created again is another
// Topic.
type Topic struct {
	// Name never changes.
	Name  string
	table *Table
	// uid distinguishes the topic from others of its name, even across processes. It never changes.
	uid uint64

	// deleted is set once, when the topic leaves its table; written under mu and that of the table.
	deleted atomic.Bool
	// replaced is set before deleted if another topic of the name takes its place.
	replaced atomic.Bool
	// count is the number of partitions that the topic is known to have; it never shrinks.
	count atomic.Int32
	// index is replaced under mu when a page is added or grows, and read without it; nil before the first end offset.
	index atomic.Pointer[index]
	// polledAt is when an end offset was last taken, or the topic was restored, by the store's clock in Unix milliseconds.
	polledAt atomic.Int64
	// unconfirmed is true in a topic that was restored and has not been polled since.
	unconfirmed atomic.Bool

	mu sync.RWMutex
	// identity is which topic of the name this is; guarded by mu.
	identity identity
	// dips holds the partitions whose newest end offset is below the one before, for as long as that may be only a dip;
	// guarded by mu, nil if there are none.
	dips map[int32]dip
	// known is the number of partitions that have an end offset, bytes the memory of the topic; guarded by mu.
	known, bytes int
	// counted is set while the table counts changes of bytes.
	counted bool
}

// detail is what else is known of a partition.
type detail struct {
	// seen is when the newest end offset was seen, in Unix milliseconds.
	seen int64
	// logStart is the first offset that the partition still holds, 0 when unknown.
	logStart int64
	// since is how many milliseconds before seen another end offset was seen, at most maxSince; 0 if none was.
	since uint32
	// same is the number of earlier incarnations that are the same log; cut is the number of those since this log was last
	// truncated, and equal to same if it never was.
	same, cut uint8
	// stale counts the successive end offsets that were refused as stale.
	stale uint8
	// identified is set if the newest end offset came with the id of the topic.
	identified bool
}

const maxSince = 1<<32 - 1

// EndOffset is an end offset of a partition to be stored.
type EndOffset struct {
	// Number is the partition, in [0, MaxPartitions).
	Number int32
	// Count is the number of partitions that the topic has, at most MaxPartitions; 0 or less if that is not known.
	Count int32
	// Offset is at least 0.
	Offset int64
	// Seen is when the offset was seen, in Unix milliseconds. Dated is false if the sender gave no time, and Seen is when the
	// end offset arrived: such an end offset is never stale.
	Seen  int64
	Dated bool
	// LogStart is the first offset that the partition still holds; 0 or less if that is not known.
	LogStart int64
	// ID is the id of the topic, zero if that is not known.
	ID protocol.TopicID
	// KnownOnly refuses a partition that has no end offset yet.
	KnownOnly bool
}

// Outcome is the outcome of storing an end offset.
type Outcome uint8

const (
	// Stored means that the end offset is the newest now, or would be if the topic had not been deleted.
	Stored Outcome = iota
	// Stale means that the end offset is out of date; nothing changed.
	Stale
	// Replaced means that the end offset belongs to another topic of the same name; nothing changed. The caller replaces this
	// topic with Table.Replace.
	Replaced
	// NoRoom means that KnownOnly refused the end offset; nothing changed.
	NoRoom
)

// UID distinguishes the topic from others that have had its name.
func (t *Topic) UID() uint64 { return t.uid }

// Deleted reports whether the topic has left its table.
func (t *Topic) Deleted() bool { return t.deleted.Load() }

// Replaced reports whether the topic left its table for another of its name.
func (t *Topic) Replaced() bool { return t.replaced.Load() }

// Polled notes that an end offset was taken at a time in Unix milliseconds.
func (t *Topic) Polled(now int64) {
	if t.polledAt.Load() != now {
		t.polledAt.Store(now)
	}
	if t.unconfirmed.Load() {
		t.unconfirmed.Store(false)
	}
}

// PolledBy notes that the topic was polled no later than a time in Unix milliseconds: the clock was ahead, and has been set
// back.
func (t *Topic) PolledBy(now int64) {
	if at := t.polledAt.Load(); at > now {
		t.polledAt.CompareAndSwap(at, now)
	}
}

// Restored notes that the topic was restored at a time in Unix milliseconds.
func (t *Topic) Restored(now int64) {
	t.polledAt.Store(now)
	t.unconfirmed.Store(true)
}

// LastPolled returns when an end offset was last taken or, if unconfirmed, when the topic was restored.
func (t *Topic) LastPolled() (at int64, unconfirmed bool) {
	return t.polledAt.Load(), t.unconfirmed.Load()
}

// Count returns how many partitions the topic is known to have.
func (t *Topic) Count() int32 { return t.count.Load() }

// Newest returns the newest end offset of a partition and the incarnation that it belongs to; ok is false if none is
// known. The incarnation changes whenever the end offset goes back.
func (t *Topic) Newest(number int32) (offset int64, incarnation uint8, ok bool) {
	p := t.index.Load().partition(number)
	if p == nil {
		return 0, 0, false
	}
	v := p.ring.Load()
	if v&ringMask == 0 {
		return 0, 0, false
	}
	return p.newest.Load(), uint8(v >> incarnationShift), true
}

// Set stores an end offset. On a topic that has been deleted meanwhile it does nothing, as if it had come before that.
func (t *Topic) Set(end EndOffset) Outcome {
	t.mu.Lock()
	defer t.release()
	if t.Deleted() {
		return Stored
	}
	if outcome := t.identity.check(&end); outcome != Stored {
		return outcome
	}
	back := false
	if p, at := t.index.Load().find(end.Number); end.KnownOnly && (p == nil || p.partitions[at].load().count == 0) {
		return NoRoom
	} else if p != nil {
		back = p.partitions[at].load().count > 0 && end.Offset < p.partitions[at].newest.Load()
		if back && p.details[at].refuse(&end) {
			return Stale
		}
	}
	t.identity.accept(&end)
	if count := max(end.Count, end.Number+1); count > t.count.Load() {
		t.count.Store(count)
	}
	p, at := t.reachLocked(end.Number)
	r, d := p.partitions[at].load(), &p.details[at]
	before := t.variableLocked(p, at)
	if _, dipped := t.dips[end.Number]; back || dipped {
		t.turnLocked(p, at, &r, &end, back)
	} else if limit := t.table.options.CurveSegments; limit > 0 {
		p.curves.Observe(at, p.partitions[at].newest.Load(), d.seen, end.Offset, end.Seen, limit)
	}
	d.stale = 0
	d.identified = !end.ID.IsZero()
	if r.count > 0 && d.seen != end.Seen {
		// An end offset that is out of order was seen before another as well.
		d.since = uint32(min(max(1, distance(d.seen, end.Seen)), maxSince))
	}
	d.seen = end.Seen
	if end.LogStart > 0 {
		d.logStart = end.LogStart
	}
	r.restored = false
	t.pushLocked(p, at, r, end.Offset)
	t.growLocked(t.variableLocked(p, at) - before)
	return Stored
}

// Seed puts points before what the curve of a partition remembers; see curve.Curve.Seed. It returns the newest end offset of
// the partition, and does nothing if a point is above that. known is false if there is none.
func (t *Topic) Seed(number int32, points []curve.Point) (newest int64, known bool) {
	t.mu.Lock()
	defer t.release()
	p, at := t.index.Load().find(number)
	if t.Deleted() || p == nil || p.partitions[at].load().count == 0 {
		return 0, false
	}
	newest = p.partitions[at].newest.Load()
	if p.curves.Len() == 0 || len(points) > 0 && points[len(points)-1].Offset > newest {
		return newest, true
	}
	before := t.variableLocked(p, at)
	c := p.curve(at)
	c.Seed(points, t.table.options.CurveSegments)
	p.curves.Put(at, &c)
	t.growLocked(t.variableLocked(p, at) - before)
	return newest, true
}

// pushLocked adds an end offset to a history.
func (t *Topic) pushLocked(p *page, at int, r ring, offset int64) {
	if r.count == 0 {
		t.known++
	}
	before := cap(p.older.bytes)
	p.push(at, r, offset, t.table.options.History)
	t.growLocked(cap(p.older.bytes) - before)
}

// distance is to less from, 0 if to is not greater; it cannot overflow.
func distance(from, to int64) uint64 {
	if to <= from {
		return 0
	}
	return uint64(to) - uint64(from)
}

// AppendNewest appends the newest end offset of every partition to dst, -1 if none is known, and returns the result.
func (t *Topic) AppendNewest(dst []int64) []int64 {
	x := t.index.Load()
	from, count := len(dst), int(t.Count())
	dst = slices.Grow(dst, count)[:from+count]
	all := dst[from:]
	for i := range all {
		all[i] = -1
	}
	if x == nil {
		return dst
	}
	for _, p := range x.pages {
		// A page may have spare room, in which others store meanwhile.
		for i := range min(len(p.partitions), max(0, count-int(p.first))) {
			if p.partitions[i].ring.Load()&ringMask != 0 {
				all[int(p.first)+i] = p.partitions[i].newest.Load()
			}
		}
	}
	return dst
}

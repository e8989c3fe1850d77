package ends

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/curve"
)

// Topic holds the end offsets of one topic, from its creation to its deletion: a topic that is created again is another
// Topic.
type Topic struct {
	// Name never changes.
	Name  string
	table *Table

	// deleted is set once, when the topic leaves its table; written under mu and that of the table.
	deleted atomic.Bool
	// count is how many partitions the topic is known to have; it never shrinks.
	count atomic.Int32
	// partitions is replaced by a longer copy when a partition beyond it gets its first end offset; the entries are
	// written under mu.
	partitions atomic.Pointer[[]partition]

	mu sync.RWMutex
	// histories holds stride end offsets for each entry of partitions, each a ring; guarded by mu.
	histories []int64
	stride    int
	// details has one entry for each of partitions, curves too unless they are turned off; guarded by mu.
	details []detail
	curves  []curve.Curve
}

// detail is what else is known of a partition.
type detail struct {
	// seen is when the newest end offset was seen, in Unix milliseconds.
	seen int64
	// logStart is the first offset that the partition still holds, 0 when unknown.
	logStart int64
}

// partition is the newest end offset of one partition. It is written under Topic.mu and read without.
type partition struct {
	newest atomic.Int64
	// ring packs, from the lowest bit: how many end offsets the history holds (10 bits; 0 means that none is known, and
	// newest means nothing), where the oldest is (10 bits), whether the end offset was restored and not seen since (1
	// bit), and the incarnation (8 bits).
	ring atomic.Uint32
}

// ring is partition.ring unpacked.
type ring struct {
	count, oldest int
	restored      bool
	incarnation   uint8
}

const (
	ringMask         = 1<<10 - 1
	oldestShift      = 10
	restoredBit      = 1 << 20
	incarnationShift = 24
)

func (p *partition) load() ring {
	v := p.ring.Load()
	return ring{int(v & ringMask), int(v >> oldestShift & ringMask), v&restoredBit != 0, uint8(v >> incarnationShift)}
}

func (p *partition) store(r ring) {
	v := uint32(r.count) | uint32(r.oldest)<<oldestShift | uint32(r.incarnation)<<incarnationShift
	if r.restored {
		v |= restoredBit
	}
	p.ring.Store(v)
}

// Deleted says that the topic has left its table.
func (t *Topic) Deleted() bool { return t.deleted.Load() }

// Count is how many partitions the topic is known to have.
func (t *Topic) Count() int32 { return t.count.Load() }

// Newest returns the newest end offset of a partition and the incarnation that it belongs to; ok is false where none is
// known. The incarnation changes whenever the end offset goes back.
func (t *Topic) Newest(number int32) (offset int64, incarnation uint8, ok bool) {
	partitions := t.partitions.Load()
	if partitions == nil || uint(number) >= uint(len(*partitions)) {
		return 0, 0, false
	}
	p := &(*partitions)[number]
	v := p.ring.Load()
	if v&ringMask == 0 {
		return 0, 0, false
	}
	return p.newest.Load(), uint8(v >> incarnationShift), true
}

// EndOffset is one end offset of a partition to be stored.
type EndOffset struct {
	// Number is the partition, in [0, MaxPartitions).
	Number int32
	// Count is how many partitions the topic has, at most MaxPartitions; 0 or less where that is not known.
	Count  int32
	Offset int64
	// Seen is when the offset was seen, in Unix milliseconds.
	Seen int64
	// LogStart is the first offset that the partition still holds; 0 or less where that is not known.
	LogStart int64
}

// Set stores an end offset. On a topic that was deleted in the meantime it does nothing, as if it had come before that.
func (t *Topic) Set(end EndOffset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Deleted() {
		return
	}
	t.growLocked(max(end.Count, end.Number+1))
	p := t.reachLocked(end.Number)
	r := p.load()
	if r.count > 0 && end.Offset < p.newest.Load() {
		// What was known of the log that was is not known of the one that is.
		r.incarnation++
		t.details[end.Number].logStart = 0
		if int(end.Number) < len(t.curves) {
			t.curves[end.Number].Reset()
		}
		t.table.reset(t, end.Number)
	}
	r.restored = false
	t.pushLocked(p, r, end.Number, end.Offset)
	t.details[end.Number].seen = end.Seen
	if end.LogStart > 0 {
		t.details[end.Number].logStart = end.LogStart
	}
	if limit := t.table.options.CurveSegments; limit > 0 {
		t.curvesLocked()[end.Number].Observe(end.Offset, end.Seen, limit)
	}
}

func (t *Topic) growLocked(count int32) {
	if count > t.count.Load() {
		t.count.Store(count)
	}
}

// pushLocked adds an end offset to the history of a partition.
func (t *Topic) pushLocked(p *partition, r ring, number int32, offset int64) {
	if r.count == t.stride && t.stride < t.table.options.History {
		t.restrideLocked(min(2*t.stride, t.table.options.History))
		r.oldest = 0
	}
	history := t.histories[int(number)*t.stride : (int(number)+1)*t.stride]
	if r.count < t.stride {
		at := r.oldest + r.count
		if at >= t.stride {
			at -= t.stride
		}
		history[at] = offset
		r.count++
	} else {
		history[r.oldest] = offset
		if r.oldest++; r.oldest == t.stride {
			r.oldest = 0
		}
	}
	p.newest.Store(offset)
	p.store(r)
}

// curvesLocked returns the curves, made long enough.
func (t *Topic) curvesLocked() []curve.Curve {
	if more := len(t.details) - len(t.curves); more > 0 {
		t.curves = append(t.curves, make([]curve.Curve, more)...)
	}
	return t.curves
}

// reachLocked returns the entry of a partition and makes room for it where it lies beyond what there is.
func (t *Topic) reachLocked(number int32) *partition {
	var old []partition
	if p := t.partitions.Load(); p != nil {
		old = *p
	}
	if int(number) < len(old) {
		return &old[number]
	}
	// A topic is polled whole, so its first partition brings room for all, within reason; beyond that room grows
	// geometrically.
	length := max(int(number)+1, min(int(t.count.Load()), 1024), len(old)+len(old)/4)
	grown := make([]partition, length)
	for i := range old {
		grown[i].newest.Store(old[i].newest.Load())
		grown[i].ring.Store(old[i].ring.Load())
	}
	t.stride = max(t.stride, 1)
	t.histories = append(t.histories, make([]int64, (length-len(old))*t.stride)...)
	t.details = append(t.details, make([]detail, length-len(old))...)
	t.partitions.Store(&grown)
	return &grown[number]
}

// restrideLocked gives every history room for stride end offsets.
func (t *Topic) restrideLocked(stride int) {
	partitions := *t.partitions.Load()
	histories := make([]int64, len(partitions)*stride)
	for i := range partitions {
		p := &partitions[i]
		r := p.load()
		t.copyHistoryLocked(histories[i*stride:], i, r)
		r.oldest = 0
		p.store(r)
	}
	t.histories, t.stride = histories, stride
}

// copyHistoryLocked copies the history of an entry to dst, oldest first.
func (t *Topic) copyHistoryLocked(dst []int64, i int, r ring) {
	history := t.histories[i*t.stride : (i+1)*t.stride]
	copied := copy(dst, history[r.oldest:min(r.oldest+r.count, t.stride)])
	copy(dst[copied:], history[:r.count-copied])
}

// appendHistoryLocked appends the history of an entry to dst, oldest first, and returns the result.
func (t *Topic) appendHistoryLocked(dst []int64, i int, r ring) []int64 {
	from := len(dst)
	dst = slices.Grow(dst, r.count)[:from+r.count]
	t.copyHistoryLocked(dst[from:], i, r)
	return dst
}

// AppendNewest appends the newest end offset of every partition to dst, -1 where none is known, and returns the result.
func (t *Topic) AppendNewest(dst []int64) []int64 {
	for number := range t.Count() {
		offset, _, ok := t.Newest(number)
		if !ok {
			offset = -1
		}
		dst = append(dst, offset)
	}
	return dst
}

package ends

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Topic holds the end offsets of one topic, from its creation to its deletion: a topic that is created again is another
// Topic.
type Topic struct {
	// Name never changes.
	Name  string
	limit int

	// deleted is set once, when the topic leaves its table.
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
}

// partition is the newest end offset of one partition. It is written under Topic.mu and read without.
type partition struct {
	newest atomic.Int64
	// ring packs how many end offsets the history holds (lower 16 bits; 0 means that none is known, and newest means
	// nothing) and where the oldest is (upper 16 bits).
	ring atomic.Uint32
}

// Deleted says that the topic has left its table.
func (t *Topic) Deleted() bool { return t.deleted.Load() }

// Count is how many partitions the topic is known to have.
func (t *Topic) Count() int32 { return t.count.Load() }

// Newest returns the newest end offset of a partition; ok is false where none is known.
func (t *Topic) Newest(number int32) (offset int64, ok bool) {
	partitions := t.partitions.Load()
	if partitions == nil || uint(number) >= uint(len(*partitions)) {
		return 0, false
	}
	p := &(*partitions)[number]
	if p.ring.Load() == 0 {
		return 0, false
	}
	return p.newest.Load(), true
}

// Set stores an end offset. The caller has checked that number is in [0, MaxPartitions) and count at most MaxPartitions.
func (t *Topic) Set(number, count int32, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := max(t.count.Load(), count, number+1); known > t.count.Load() {
		t.count.Store(known)
	}
	p := t.reachLocked(number)
	ring := p.ring.Load()
	n, oldest := int(ring&0xFFFF), int(ring>>16)
	if n == t.stride && t.stride < t.limit {
		t.restrideLocked(min(max(2*t.stride, 2), t.limit))
		oldest = 0
	}
	history := t.histories[int(number)*t.stride : (int(number)+1)*t.stride]
	if n < t.stride {
		at := oldest + n
		if at >= t.stride {
			at -= t.stride
		}
		history[at] = offset
		n++
	} else {
		history[oldest] = offset
		if oldest++; oldest == t.stride {
			oldest = 0
		}
	}
	p.newest.Store(offset)
	p.ring.Store(uint32(oldest)<<16 | uint32(n))
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
	if t.stride == 0 {
		t.stride = 1
	}
	histories := make([]int64, length*t.stride)
	copy(histories, t.histories)
	t.histories = histories
	t.partitions.Store(&grown)
	return &grown[number]
}

// restrideLocked gives every history room for stride end offsets.
func (t *Topic) restrideLocked(stride int) {
	partitions := *t.partitions.Load()
	histories := make([]int64, len(partitions)*stride)
	for i := range partitions {
		n := t.copyRingLocked(histories[i*stride:(i+1)*stride], i)
		partitions[i].ring.Store(uint32(n))
	}
	t.histories, t.stride = histories, stride
}

// copyRingLocked copies the history of an entry, oldest first, and returns its length.
func (t *Topic) copyRingLocked(dst []int64, i int) int {
	ring := (*t.partitions.Load())[i].ring.Load()
	n, oldest := int(ring&0xFFFF), int(ring>>16)
	history := t.histories[i*t.stride : (i+1)*t.stride]
	until := min(oldest+n, t.stride)
	copied := copy(dst, history[oldest:until])
	return copied + copy(dst[copied:], history[:n-copied])
}

// AppendNewest appends the newest end offset of every partition to dst, -1 where none is known, and returns the result.
func (t *Topic) AppendNewest(dst []int64) []int64 {
	for number := range t.Count() {
		offset, ok := t.Newest(number)
		if !ok {
			offset = -1
		}
		dst = append(dst, offset)
	}
	return dst
}

// AppendHistories appends the histories of the first count partitions to dst and the end of each within dst to bounds:
// the history of partition i is dst[bounds[i-1]:bounds[i]], the first beginning where dst ended. A deleted topic has no
// histories.
func (t *Topic) AppendHistories(count int, dst []int64, bounds []int) ([]int64, []int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var partitions []partition
	if p := t.partitions.Load(); p != nil && !t.Deleted() {
		partitions = *p
	}
	for i := range count {
		if i < len(partitions) {
			n := int(partitions[i].ring.Load() & 0xFFFF)
			from := len(dst)
			dst = slices.Grow(dst, n)[:from+n]
			t.copyRingLocked(dst[from:], i)
		}
		bounds = append(bounds, len(dst))
	}
	return dst, bounds
}

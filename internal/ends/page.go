package ends

import (
	"slices"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/curve"
)

// The partitions of a topic lie in pages, of which there are only those that are needed: a partition with a high number costs
// as much as its neighbours, not as much as all partitions below it.

const (
	pageShift = 7
	// pageSize is the greatest number of partitions in a page; a page holds partitions between two successive multiples of it.
	pageSize = 1 << pageShift
	// wholeTopic is the number of partitions up to which a topic is assumed to be polled as a whole. A page of such a topic
	// has room for all of its partitions from the start; a page of a larger one begins with a single partition.
	wholeTopic = 1024
)

// partition is the newest end offset of one partition. It is written under Topic.mu and read without it.
type partition struct {
	newest atomic.Int64
	// ring packs, from the lowest bit: the number of end offsets (10 bits; if 0, none is known and newest means nothing), the
	// index of the oldest difference in older (10 bits), whether the end offset was restored and not seen since (1 bit), and
	// the incarnation (8 bits).
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

func unpack(v uint32) ring {
	return ring{int(v & ringMask), int(v >> oldestShift & ringMask), v&restoredBit != 0, uint8(v >> incarnationShift)}
}

func (p *partition) load() ring { return unpack(p.ring.Load()) }

func (p *partition) store(r ring) {
	v := uint32(r.count) | uint32(r.oldest)<<oldestShift | uint32(r.incarnation)<<incarnationShift
	if r.restored {
		v |= restoredBit
	}
	p.ring.Store(v)
}

// page holds partitions of consecutive numbers.
type page struct {
	// first is the number of the first of partitions. Neither ever changes; a page that must grow is replaced by a copy.
	first      int32
	partitions []partition

	// The fields below have one entry for each of partitions; guarded by Topic.mu.

	// older holds the end offsets before the newest.
	older   older
	details []detail
	// curves is empty if curves are turned off. The newest segment of a curve is at the newest end offset, last seen when that
	// was.
	curves curve.Block
}

// index finds the page of a partition. It never changes once it is published.
type index struct {
	// first and partitions are those of the first page: most topics have no other, and finding them here saves two steps.
	first      int32
	partitions []partition
	// pages ascend by their numbers. A single one lies in only.
	pages []*page
	only  [1]*page
}

// page returns the page that holds the numbers around a number, and its index; if there is none, nil and the index at which
// it would be.
func (x *index) page(number int32) (*page, int) {
	if x == nil {
		return nil, 0
	}
	block := number >> pageShift
	if uint(block) < uint(len(x.pages)) && x.pages[block].first>>pageShift == block {
		return x.pages[block], int(block)
	}
	at, found := slices.BinarySearchFunc(x.pages, block, func(p *page, block int32) int {
		return int(p.first>>pageShift) - int(block)
	})
	if !found {
		return nil, at
	}
	return x.pages[at], at
}

// partition returns what a look-up without a lock needs; nil if there is no page for the number.
func (x *index) partition(number int32) *partition {
	if x == nil {
		return nil
	}
	if at := uint32(number - x.first); at < uint32(len(x.partitions)) {
		return &x.partitions[at]
	}
	if p, _ := x.page(number); p != nil {
		if at := uint32(number - p.first); at < uint32(len(p.partitions)) {
			return &p.partitions[at]
		}
	}
	return nil
}

// find returns the page of a partition and its place there; nil if there is no room for it.
func (x *index) find(number int32) (*page, int) {
	if p, _ := x.page(number); p != nil {
		if at := uint32(number - p.first); at < uint32(len(p.partitions)) {
			return p, int(at)
		}
	}
	return nil, 0
}

// reachLocked is find, and makes room if there is none.
func (t *Topic) reachLocked(number int32) (*page, int) {
	x := t.index.Load()
	if p, at := x.find(number); p != nil {
		return p, at
	}
	old, at := x.page(number)
	start := number &^ (pageSize - 1)
	count := t.count.Load()
	first, end := start, min(start+pageSize, max(count, number+1))
	switch {
	case old != nil:
		grown := old.first + int32(len(old.partitions))
		if count <= wholeTopic {
			// If partitions come one by one, the page must not be copied each time.
			end = min(start+pageSize, max(end, grown+(grown-start)/4))
		}
		end = max(end, grown)
	case count > wholeTopic:
		first, end = number, number+1
	}
	p := t.makePageLocked(first, int(end-first), old)
	next := &index{}
	switch {
	case x == nil:
		next.only[0] = p
		next.pages = next.only[:]
	case old != nil && len(x.pages) == 1:
		next.only[0] = p
		next.pages = next.only[:]
	case old != nil:
		next.pages = slices.Clone(x.pages)
		next.pages[at] = p
	case at == len(x.pages):
		// Readers of x do not look beyond its length.
		next.pages = append(x.pages, p)
	default:
		next.pages = slices.Insert(slices.Clone(x.pages), at, p)
	}
	next.first, next.partitions = next.pages[0].first, next.pages[0].partitions
	t.growLocked(next.bytes() - x.bytes() + p.bytes() - old.bytes())
	t.index.Store(next)
	return p, int(number - p.first)
}

// makePageLocked makes a page of length partitions with the contents of the old one, which may be nil and must not be used
// any more.
func (t *Topic) makePageLocked(first int32, length int, old *page) *page {
	p := &page{first: first, partitions: make([]partition, length), details: make([]detail, length)}
	curves := t.table.options.CurveSegments > 0
	if old == nil {
		if curves {
			p.curves = curve.MakeBlock(length, nil, 0)
		}
		return p
	}
	at := int(old.first - first)
	if curves {
		p.curves = curve.MakeBlock(length, &old.curves, at)
	}
	p.older = old.older.resized(length, at)
	copy(p.details[at:], old.details)
	for i := range old.partitions {
		p.partitions[at+i].newest.Store(old.partitions[i].newest.Load())
		p.partitions[at+i].ring.Store(old.partitions[i].ring.Load())
	}
	return p
}

// push adds an end offset to a partition, of which limit are kept.
func (p *page) push(at int, r ring, offset int64, limit int) {
	newest := &p.partitions[at].newest
	if r.count > 0 && limit > 1 {
		p.makeRoom(&r, at, offset-newest.Load(), limit)
		p.older.push(at, &r, offset-newest.Load())
	}
	r.count = min(r.count+1, limit)
	newest.Store(offset)
	p.partitions[at].store(r)
}

// makeRoom makes room for one more difference in a partition whose history is not full, and for a wider difference.
func (p *page) makeRoom(r *ring, at int, difference int64, limit int) {
	stride, width := p.older.stride, max(p.older.width, widthOf(difference))
	if r.count-1 == stride && stride < limit-1 {
		stride = min(2*stride+1, limit-1)
	}
	if stride == p.older.stride && width == p.older.width {
		return
	}
	p.older = p.older.reshaped(p.partitions, stride, width)
	r.oldest = 0
}

// appendHistory appends the end offsets of a partition to dst, oldest first, and returns the result.
func (p *page) appendHistory(dst []int64, at int, r ring) []int64 {
	return p.older.appendTo(dst, at, r, p.partitions[at].newest.Load())
}

// curve returns the curve of a partition; see curve.Block.Get.
func (p *page) curve(at int) curve.Curve {
	return p.curves.Get(at, p.partitions[at].newest.Load(), p.details[at].seen)
}

// putRestored stores a curve that was kept elsewhere, after everything else of the partition. A curve of ours ends at the
// newest end offset; any other is made to.
func (p *page) putRestored(at int, c *curve.Curve, limit int) {
	if p.curves.Len() == 0 {
		return
	}
	newest, seen := p.partitions[at].newest.Load(), p.details[at].seen
	if end, known := c.Newest(); known && (end.Offset != newest || end.Last != seen) {
		c.Observe(newest, seen, limit)
	}
	p.curves.Put(at, c)
}

package ends

import (
	"unsafe"

	"github.com/lagkeeper/storage/internal/curve"
)

// View is what a topic knows of one partition, for whoever wants to judge a commit.
type View struct {
	// Known is false where the partition has no end offset; the rest means nothing then.
	Known       bool
	Newest      int64
	Incarnation uint8
	// Restored says that the end offset comes from a snapshot and was not seen since.
	Restored bool
	// Seen is when the newest end offset was seen, in Unix milliseconds.
	Seen int64
	// LogStart is the first offset that the partition still holds, 0 when unknown.
	LogStart int64
}

// Reading is a look at the partitions of a topic while nothing in them changes. It must be ended with Close, soon.
type Reading struct {
	topic      *Topic
	partitions []partition
}

// Read begins a Reading. A deleted topic has no partitions.
func (t *Topic) Read() Reading {
	t.mu.RLock()
	r := Reading{topic: t}
	if p := t.partitions.Load(); p != nil && !t.Deleted() {
		r.partitions = *p
	}
	return r
}

// Close ends the Reading.
func (r Reading) Close() { r.topic.mu.RUnlock() }

// View returns what is known of a partition.
func (r Reading) View(number int) View {
	if number >= len(r.partitions) {
		return View{}
	}
	p, d := &r.partitions[number], r.topic.details[number]
	ring := p.load()
	return View{
		Known: ring.count > 0, Newest: p.newest.Load(), Incarnation: ring.incarnation, Restored: ring.restored,
		Seen: d.seen, LogStart: d.logStart,
	}
}

// AppendHistory appends the end offsets of a partition to dst, oldest first, and returns the result.
func (r Reading) AppendHistory(dst []int64, number int) []int64 {
	if number >= len(r.partitions) {
		return dst
	}
	return r.topic.appendHistoryLocked(dst, number, r.partitions[number].load())
}

// TimeLag estimates how long ago the message at an offset of the present incarnation was the newest.
func (r Reading) TimeLag(number int, offset, now int64) curve.Estimate {
	if number >= len(r.partitions) || number >= len(r.topic.curves) {
		return curve.Estimate{}
	}
	return r.topic.curves[number].Lag(offset, now)
}

// Size is how many partitions of the topic have an end offset, and how many bytes the topic takes.
func (t *Topic) Size() (partitions, bytes int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	bytes = int(unsafe.Sizeof(*t)) + len(t.Name) + cap(t.histories)*8 + cap(t.details)*int(unsafe.Sizeof(detail{})) +
		cap(t.curves)*int(unsafe.Sizeof(curve.Curve{}))
	if p := t.partitions.Load(); p != nil {
		bytes += cap(*p) * int(unsafe.Sizeof(partition{}))
		for i := range *p {
			if (*p)[i].ring.Load()&ringMask != 0 {
				partitions++
			}
		}
	}
	for i := range t.curves {
		bytes += t.curves[i].Buffer()
	}
	return partitions, bytes
}

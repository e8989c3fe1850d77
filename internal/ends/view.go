package ends

import "github.com/lagkeeper/storage/internal/curve"

// View is what a topic knows of one partition, for judging a commit.
type View struct {
	// Known is false if the partition has no end offset; the rest means nothing then.
	Known       bool
	Newest      int64
	Incarnation uint8
	// Restored is set if the end offset comes from a snapshot and was not seen since.
	Restored bool
	// Seen is when the newest end offset was seen, in Unix milliseconds. Before is when another one was seen before that; it
	// means nothing unless SeenBefore.
	Seen, Before int64
	SeenBefore   bool
	// LogStart is the first offset that the partition still holds, 0 when unknown.
	LogStart int64

	same, cut uint8
}

// Reset reports whether a commit made in an incarnation means nothing in the present one.
func (v *View) Reset(incarnation uint8, commit int64) bool {
	age := v.Incarnation - incarnation
	return age > v.same || age > v.cut && commit > v.Newest
}

// Position returns the position of a commit: the commit or, since nothing below it can be read, the log start. It is never
// beyond the end because of that.
func (v *View) Position(commit int64) int64 { return max(commit, min(v.LogStart, v.Newest)) }

func viewOf(r ring, newest int64, d *detail) View {
	return View{
		Known: r.count > 0, Newest: newest, Incarnation: r.incarnation, Restored: r.restored, Seen: d.seen,
		Before: d.seen - int64(d.since), SeenBefore: d.since > 0, LogStart: d.logStart, same: d.same, cut: d.cut,
	}
}

// Reading reads the partitions of a topic while nothing in them changes. It must be closed soon.
type Reading struct {
	topic *Topic
	index *index // nil if there is nothing to read
}

// Read begins a Reading. A deleted topic has no partitions.
func (t *Topic) Read() Reading {
	t.mu.RLock()
	if t.Deleted() {
		return Reading{topic: t}
	}
	return Reading{topic: t, index: t.index.Load()}
}

// Close ends the Reading.
func (r Reading) Close() { r.topic.mu.RUnlock() }

// View returns what is known of a partition.
func (r Reading) View(number int32) View {
	p, at := r.index.find(number)
	if p == nil {
		return View{}
	}
	return viewOf(p.partitions[at].load(), p.partitions[at].newest.Load(), &p.details[at])
}

// AppendHistory appends the end offsets of a partition to dst, oldest first, and returns the result.
func (r Reading) AppendHistory(dst []int64, number int32) []int64 {
	p, at := r.index.find(number)
	if p == nil {
		return dst
	}
	return p.appendHistory(dst, at, p.partitions[at].load())
}

// TimeLag estimates how long ago the message at an offset of the present incarnation was the newest.
func (r Reading) TimeLag(number int32, offset, now int64) curve.Estimate {
	p, at := r.index.find(number)
	if p == nil || p.curves.Len() == 0 {
		return curve.Estimate{}
	}
	c := p.curve(at)
	return c.Lag(offset, now)
}

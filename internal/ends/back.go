package ends

import "github.com/lagkeeper/storage/internal/curve"

// An end offset that goes back begins a new incarnation of its partition. What that means for the commits made before
// depends on what is known:
//
//   - The topic has the same id as before: its log was cut there, or a replica answered that is behind. Commits at or below
//     the new end are as good as before; those above mean nothing until the end is at them again. If the next end offset makes
//     up for the dip, as below, nothing was cut, and all that was seen is true.
//   - No id is known: it may be another topic, so no commit from before means anything. If the next end offset comes within
//     dipWithin and is not below the one before the dip, the dip was no more than a replica behind, and all is as before.
//
// Incarnations are counted in eight bits, which is what the tag of a window has room for. A partition that goes back 256
// times while a group commits nothing looks to that group as if it never had.

const (
	// dipWithin is how many milliseconds a dip may last: two replicas that answer in turn agree long before.
	dipWithin = 60_000
	// staleInARow is the number of successive stale end offsets of which the last is taken: the clock was set back.
	staleInARow = 3
)

// dip is what a partition was before its end offset went back.
type dip struct {
	offset, logStart int64
	// at is when the lower end offset was seen, in Unix milliseconds.
	at        int64
	same, cut uint8
	// sameID is set if the lower end offset came with the topic's id; same and cut mean nothing then.
	sameID bool
	curve  curve.Curve
}

// refuse reports whether an end offset below the newest is stale, and counts it.
func (d *detail) refuse(end *EndOffset) bool {
	if !end.Dated || end.Seen >= d.seen {
		return false
	}
	d.stale++
	return d.stale < staleInARow
}

// goBackLocked begins a new incarnation. It changes the curve of the partition, which may be nil.
func (t *Topic) goBackLocked(p *page, at int, end *EndOffset, c *curve.Curve) {
	d := &p.details[at]
	before := dip{offset: p.partitions[at].newest.Load(), logStart: d.logStart, at: end.Seen, same: d.same, cut: d.cut}
	if !end.ID.IsZero() && d.identified {
		before.sameID = true
		if c != nil {
			before.curve = c.Clone()
			c.CutAbove(end.Offset)
		}
		t.rememberDipLocked(end.Number, before)
		d.same, d.cut = oneMore(d.same), 0
		if d.logStart > end.Offset {
			d.logStart = 0
		}
		return
	}
	if c != nil {
		before.curve = c.Clone()
		c.Reset()
	}
	t.rememberDipLocked(end.Number, before)
	d.same, d.cut, d.logStart = 0, 0, 0
}

// turnLocked begins a new incarnation if the end offset goes back, or ends a dip. It is part of Topic.Set.
func (t *Topic) turnLocked(p *page, at int, r *ring, end *EndOffset, back bool) {
	var c *curve.Curve
	limit := t.table.options.CurveSegments
	if limit > 0 {
		now := p.curve(at)
		c = &now
	}
	if back {
		r.incarnation++
		t.goBackLocked(p, at, end, c)
		t.table.reset(t, end.Number)
	} else {
		dip := t.dips[end.Number]
		if dip.endedBy(end) {
			p.undo(at, &dip)
			c = &dip.curve
		}
		t.forgetDipLocked(end.Number)
	}
	if limit > 0 {
		c.Observe(end.Offset, end.Seen, limit)
		p.curves.Put(at, c)
	}
}

// endedBy reports whether an end offset shows that there was only a dip.
func (d *dip) endedBy(end *EndOffset) bool {
	return end.Offset >= d.offset && distance(d.at, end.Seen) <= dipWithin
}

// undo makes the present incarnation of a partition the same log as the one before the dip, except for its curve.
func (p *page) undo(at int, from *dip) {
	d := &p.details[at]
	if !from.sameID {
		d.same, d.cut = oneMore(from.same), oneMore(from.cut)
	}
	if d.logStart == 0 {
		d.logStart = from.logStart
	}
}

func (t *Topic) rememberDipLocked(number int32, d dip) {
	if t.dips == nil {
		t.dips = make(map[int32]dip)
	}
	t.dips[number] = d
}

func (t *Topic) forgetDipLocked(number int32) {
	if delete(t.dips, number); len(t.dips) == 0 {
		t.dips = nil
	}
}

// oneMore returns n + 1, at most what eight bits hold.
func oneMore(n uint8) uint8 { return max(n, n+1) }

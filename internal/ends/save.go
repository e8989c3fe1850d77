package ends

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/wire"
)

// Save fills a record with the topic as it is now, in the memory of the record; it leaves the cluster to the caller.
func (t *Topic) Save(r *snapshot.Topic) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r.Name, r.PartitionCount, r.ID = t.Name, t.Count(), t.identity.id
	r.Partitions = r.Partitions[:0]
	x := t.index.Load()
	if x == nil {
		return
	}
	var history []int64
	for _, p := range x.pages {
		for i := range p.partitions {
			ring := p.partitions[i].load()
			if ring.count == 0 {
				continue
			}
			if len(r.Partitions) < cap(r.Partitions) {
				r.Partitions = r.Partitions[:len(r.Partitions)+1]
			} else {
				r.Partitions = append(r.Partitions, snapshot.Partition{})
			}
			to, d := &r.Partitions[len(r.Partitions)-1], &p.details[i]
			to.Number, to.LogStart = p.first+int32(i), d.logStart
			to.Incarnation = packIncarnation(ring.incarnation, d)
			to.EndOffsets, to.Curve = to.EndOffsets[:0], to.Curve[:0]
			history = p.appendHistory(history[:0], i, ring)
			for _, offset := range history {
				// It is known that the older ones were seen no later.
				to.EndOffsets = append(to.EndOffsets, snapshot.EndOffset{Offset: offset, Timestamp: d.seen - int64(d.since)})
			}
			to.EndOffsets[len(history)-1].Timestamp = d.seen
			if p.curves.Len() > 0 {
				c := p.curve(i)
				to.Curve = c.AppendBinary(to.Curve)
			}
			if dip, ok := t.dips[to.Number]; ok {
				to.Curve = dip.appendTo(to.Curve)
			}
		}
	}
}

// The incarnation of a partition in a record packs, from the lowest byte: the incarnation; how many incarnations before it
// are the same log; how many of those are older than the last truncation. In a snapshot of an earlier release all but the
// first are 0, with the meaning that they had there.
const (
	sameShift  = 8
	olderShift = 16
	// packedBit is set if there is more than the incarnation, so that a plain incarnation cannot be taken for packed numbers.
	packedBit = 1 << 31
)

func packIncarnation(incarnation uint8, d *detail) uint32 {
	if d.same == 0 {
		return uint32(incarnation)
	}
	return packedBit | uint32(incarnation) | uint32(d.same)<<sameShift | uint32(d.same-d.cut)<<olderShift
}

// checkIncarnation reports a number that packIncarnation cannot return.
func checkIncarnation(v uint32) error {
	var d detail
	if v > math.MaxUint8 && packIncarnation(unpackIncarnation(v, &d), &d) != v {
		return fmt.Errorf("invalid incarnation %d: must be between 0 and %d, or one of a partition whose log was cut", v, math.MaxUint8)
	}
	return nil
}

func unpackIncarnation(v uint32, d *detail) (incarnation uint8) {
	d.same = uint8(v >> sameShift)
	d.cut = d.same - min(d.same, uint8(v>>olderShift))
	return uint8(v)
}

// A dip stands behind the curve of its partition, which is there then even if curves are turned off:
//
//	offset, log start, at  varints
//	same, cut, same id     1 byte each
//	curve                  in its binary form

func (d *dip) appendTo(dst []byte) []byte {
	if len(dst) == 0 {
		dst = new(curve.Curve).AppendBinary(dst)
	}
	for _, v := range [...]int64{d.offset, d.logStart, d.at} {
		dst = binary.AppendVarint(dst, v)
	}
	sameID := byte(0)
	if d.sameID {
		sameID = 1
	}
	return d.curve.AppendBinary(append(dst, d.same, d.cut, sameID))
}

var errMalformedDip = errors.New("malformed bytes after the curve")

// decode reads the curve of a partition in a record and the dip behind it; dipped is false if there is none.
func decode(data []byte) (c curve.Curve, d dip, dipped bool, err error) {
	if len(data) == 0 {
		return c, d, false, nil
	}
	c, data, err = curve.Decode(data)
	if err != nil || len(data) == 0 {
		return c, d, false, err
	}
	in := wire.Reader{Rest: data}
	d.offset, d.logStart, d.at = in.Varint(), in.Varint(), in.Varint()
	d.same, d.cut, d.sameID = in.Byte(), in.Byte(), in.Flag()
	if in.Failed || d.cut > d.same {
		return c, d, false, errMalformedDip
	}
	d.curve, data, err = curve.Decode(in.Rest)
	if err == nil && len(data) > 0 {
		err = errMalformedDip
	}
	return c, d, true, err
}

// Check returns what makes a partition of a record invalid for Load, nil if nothing does.
func Check(p *snapshot.Partition) error {
	for _, end := range p.EndOffsets {
		if end.Offset < 0 {
			return fmt.Errorf("invalid end offset %d: must be at least 0", end.Offset)
		}
	}
	if err := checkIncarnation(p.Incarnation); err != nil {
		return err
	}
	_, _, _, err := decode(p.Curve)
	return err
}

// Build makes a topic from a record; Put puts it into the table. Everything in it is marked as restored. It returns an error
// if the record is not one that Save makes.
func (t *Table) Build(r *snapshot.Topic) (*Topic, error) {
	topic := &Topic{Name: strings.Clone(r.Name), table: t, identity: identity{id: r.ID}}
	topic.count.Store(r.PartitionCount)
	for i := range r.Partitions {
		p := &r.Partitions[i]
		if p.Number < 0 || p.Number >= MaxPartitions {
			return nil, fmt.Errorf("load topic %q: partition %d is out of range", r.Name, p.Number)
		}
		if err := topic.loadLocked(p); err != nil {
			return nil, fmt.Errorf("load topic %q: partition %d: %w", r.Name, p.Number, err)
		}
	}
	topic.recountLocked()
	return topic, nil
}

// Put replaces the contents of the topic of the same name by those of a topic that Build made, all at once: there is no
// moment without end offsets. The partition count does not shrink. Groups that hold the topic keep it, unless it has another
// id: then Put returns the topic that was deleted for it. now is in Unix milliseconds.
func (t *Table) Put(built *Topic, now int64) (replaced *Topic) {
	built.Restored(now)
	t.mu.Lock()
	defer t.release()
	topic := t.topics[built.Name]
	if topic != nil && topic.otherThan(built) {
		topic.replaced.Store(true)
		t.deleteLocked(topic, t.options.Deleted)
		topic, replaced = nil, topic
	}
	if topic == nil && t.closed {
		return replaced
	}
	if topic == nil {
		t.addLocked(built)
		built.countLocked()
		if t.options.Created != nil {
			t.options.Created(built)
		}
		return replaced
	}
	topic.mu.Lock()
	defer topic.release()
	topic.count.Store(max(topic.count.Load(), built.count.Load()))
	topic.index.Store(built.index.Load())
	topic.dips, topic.identity = built.dips, built.identity
	topic.recountLocked()
	topic.Restored(now)
	return nil
}

// otherThan reports whether the ids show that two topics of one name are different.
func (t *Topic) otherThan(built *Topic) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return !t.identity.id.IsZero() && !built.identity.id.IsZero() && t.identity.id != built.identity.id
}

func (t *Topic) loadLocked(from *snapshot.Partition) error {
	history := from.EndOffsets[max(0, len(from.EndOffsets)-t.table.options.History):]
	// Negative end offsets are no longer stored, but a snapshot of an earlier release may hold some.
	for len(history) > 0 && history[len(history)-1].Offset < 0 {
		history = history[:len(history)-1]
	}
	if len(history) == 0 {
		return nil
	}
	page, at := t.reachLocked(from.Number)
	d := &page.details[at]
	newest := history[len(history)-1]
	*d = detail{seen: newest.Timestamp, logStart: max(0, from.LogStart), identified: !t.identity.id.IsZero()}
	t.identity.seen = max(t.identity.seen, d.seen)
	incarnation := unpackIncarnation(from.Incarnation, d)
	if len(history) > 1 {
		d.since = uint32(min(distance(history[len(history)-2].Timestamp, d.seen), maxSince))
	}
	for _, end := range history {
		if end.Offset < 0 {
			continue
		}
		ring := page.partitions[at].load()
		ring.incarnation, ring.restored = incarnation, true
		page.push(at, ring, end.Offset, t.table.options.History)
	}
	c, dip, dipped, err := decode(from.Curve)
	if err != nil {
		return err
	}
	page.putRestored(at, &c, t.table.options.CurveSegments)
	if dipped {
		t.rememberDipLocked(from.Number, dip)
	}
	return nil
}

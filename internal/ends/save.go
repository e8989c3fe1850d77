package ends

import (
	"fmt"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/snapshot"
)

// Save fills a record with the topic as it is now, in the memory of the record; it leaves the cluster to the caller.
func (t *Topic) Save(r *snapshot.Topic) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r.Name, r.PartitionCount, r.Incarnation = t.Name, t.Count(), 0
	r.Partitions = r.Partitions[:0]
	var partitions []partition
	if p := t.partitions.Load(); p != nil {
		partitions = *p
	}
	var history []int64
	for i := range partitions {
		ring := partitions[i].load()
		if ring.count == 0 {
			continue
		}
		if len(r.Partitions) < cap(r.Partitions) {
			r.Partitions = r.Partitions[:len(r.Partitions)+1]
		} else {
			r.Partitions = append(r.Partitions, snapshot.Partition{})
		}
		to := &r.Partitions[len(r.Partitions)-1]
		to.Number, to.Incarnation, to.LogStart = int32(i), uint32(ring.incarnation), t.details[i].logStart
		to.EndOffsets, to.Curve = to.EndOffsets[:0], to.Curve[:0]
		history = t.appendHistoryLocked(history[:0], i, ring)
		for _, offset := range history {
			to.EndOffsets = append(to.EndOffsets, snapshot.EndOffset{Offset: offset, Timestamp: t.details[i].seen})
		}
		if i < len(t.curves) {
			to.Curve = t.curves[i].AppendBinary(to.Curve)
		}
	}
}

// Load puts a record in the place of what the topic knew. What it knows then is marked as restored. It returns an error,
// and has changed a part, where the record is not one that Save makes.
func (t *Topic) Load(r *snapshot.Topic) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partitions.Store(nil)
	t.histories, t.stride, t.details, t.curves = nil, 0, nil, nil
	t.growLocked(r.PartitionCount)
	for i := range r.Partitions {
		p := &r.Partitions[i]
		if p.Number < 0 || p.Number >= MaxPartitions {
			return fmt.Errorf("load topic %q: partition %d is out of range", t.Name, p.Number)
		}
		history := p.EndOffsets[max(0, len(p.EndOffsets)-t.table.options.History):]
		if len(history) == 0 {
			continue
		}
		to := t.reachLocked(p.Number)
		for _, end := range history {
			ring := to.load()
			ring.incarnation, ring.restored = uint8(p.Incarnation), true
			t.pushLocked(to, ring, p.Number, end.Offset)
			to = t.reachLocked(p.Number)
		}
		t.details[p.Number] = detail{seen: history[len(history)-1].Timestamp, logStart: p.LogStart}
		if limit := t.table.options.CurveSegments; limit > 0 && len(p.Curve) > 0 {
			c, _, err := curve.Decode(p.Curve)
			if err != nil {
				return fmt.Errorf("load topic %q: partition %d: %w", t.Name, p.Number, err)
			}
			t.curvesLocked()[p.Number] = c
		}
	}
	return nil
}

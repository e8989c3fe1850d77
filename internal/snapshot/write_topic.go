package snapshot

import "errors"

// endOffsetChain is what the next end offset is written relative to. It runs through the partitions of a topic, since
// neighbours see their end offsets at nearly the same times, and begins anew with each topic.
type endOffsetChain struct {
	offset, timestamp         int64
	offsetStep, timestampStep int64
	// firstOffset and firstTimestamp are the oldest of the previous partition.
	firstOffset, firstTimestamp int64
}

// WriteTopic writes one topic, which must be within the limits of its type.
func (w *BlockWriter) WriteTopic(t *Topic) error {
	if err := w.to.ready(); err != nil {
		return err
	}
	if err := t.Validate(); err != nil {
		return w.to.fail(err)
	}
	if err := errors.Join(checkName("cluster", t.Cluster), checkName("topic", t.Name)); err != nil {
		return err
	}
	if err := w.enter(blockTopics); err != nil {
		return err
	}
	w.name(t.Cluster)
	w.name(t.Name)
	w.uvarint(uint64(t.PartitionCount))
	if t.ID.IsZero() {
		w.uvarint(0)
	} else {
		w.uvarint(uint64(len(t.ID)))
		w.block = append(w.block, t.ID[:]...)
	}
	chain := endOffsetChain{firstTimestamp: w.to.takenAt}
	incarnation := uint32(0)
	previous := int32(-1)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		w.uvarint(uint64(p.Number - previous))
		previous = p.Number
		w.varint(int64(p.Incarnation) - int64(incarnation))
		incarnation = p.Incarnation
		w.varint(p.LogStart)
		w.endOffsets(&chain, p.EndOffsets)
		w.uvarint(uint64(len(p.Curve)))
		w.block = append(w.block, p.Curve...)
	}
	w.uvarint(tagEnd)
	w.records.Topics++
	return w.flushFull()
}

func (w *BlockWriter) endOffsets(c *endOffsetChain, ends []EndOffset) {
	w.uvarint(uint64(len(ends)))
	for i := range ends {
		e := &ends[i]
		if i == 0 {
			w.varint(e.Offset - c.firstOffset)
			w.varint(e.Timestamp - c.firstTimestamp)
			c.firstOffset, c.firstTimestamp = e.Offset, e.Timestamp
		} else {
			offsetStep, timestampStep := e.Offset-c.offset, e.Timestamp-c.timestamp
			w.varint(offsetStep - c.offsetStep)
			w.varint(timestampStep - c.timestampStep)
			c.offsetStep, c.timestampStep = offsetStep, timestampStep
		}
		c.offset, c.timestamp = e.Offset, e.Timestamp
	}
}

package snapshot

// topicDecoder turns topic blocks into topics.
type topicDecoder struct {
	takenAt int64
	names   names

	topic    Topic
	previous int32
	// ends and curves are the memory of the topic's EndOffsets and Curves.
	ends   []EndOffset
	curves []byte
}

// block decodes one block and calls f with each topic in it. It returns the error of f; a fault of the block is in the
// cursor.
func (d *topicDecoder) block(c *cursor, f func(*Topic) error) error {
	d.names.begin()
	for c.left() > 0 {
		d.begin(c)
		d.partitions(c)
		if c.err != nil {
			return nil
		}
		if err := f(&d.topic); err != nil {
			return err
		}
	}
	return nil
}

func (d *topicDecoder) begin(c *cursor) {
	d.ends, d.curves, d.previous = d.ends[:0], d.curves[:0], -1
	d.topic = Topic{Cluster: d.names.next(c), Name: d.names.next(c), Partitions: d.topic.Partitions[:0]}
	d.topic.PartitionCount = c.partitionCount()
	switch n := c.uvarint(); {
	case c.err != nil || n == 0:
	case n != uint64(len(d.topic.ID)):
		c.fail("the id of a topic has %d bytes, not %d", n, len(d.topic.ID))
	default:
		copy(d.topic.ID[:], c.bytes(n, "a topic id"))
	}
}

func (d *topicDecoder) partitions(c *cursor) {
	chain := endOffsetChain{firstTimestamp: d.takenAt}
	incarnation := int64(0)
	for c.err == nil {
		number, ok := c.nextPartition(d.previous, d.topic.PartitionCount)
		if !ok {
			return
		}
		d.previous = number
		incarnation += c.varint()
		if incarnation != int64(uint32(incarnation)) {
			c.fail("the incarnation of partition %d is %d, not 32 bits", number, incarnation)
			return
		}
		p := Partition{Number: number, Incarnation: uint32(incarnation), LogStart: c.varint()}
		p.EndOffsets = d.endOffsets(c, &chain)
		if curve := c.bytes(c.uvarint(), "a curve"); len(curve) > 0 {
			start := len(d.curves)
			d.curves = append(d.curves, curve...)
			p.Curve = d.curves[start:len(d.curves):len(d.curves)]
		}
		d.topic.Partitions = append(d.topic.Partitions, p)
	}
}

// endOffsets appends to the common array. If that moves, what was decoded before stays in the old one, intact.
func (d *topicDecoder) endOffsets(c *cursor, chain *endOffsetChain) []EndOffset {
	n := c.count(2, "end offsets")
	start := len(d.ends)
	for i := range n {
		offset, timestamp := c.varint(), c.varint()
		if c.err != nil {
			return nil
		}
		if i == 0 {
			chain.offset, chain.timestamp = chain.firstOffset+offset, chain.firstTimestamp+timestamp
			chain.firstOffset, chain.firstTimestamp = chain.offset, chain.timestamp
		} else {
			chain.offsetStep += offset
			chain.timestampStep += timestamp
			chain.offset += chain.offsetStep
			chain.timestamp += chain.timestampStep
		}
		d.ends = append(d.ends, EndOffset{Offset: chain.offset, Timestamp: chain.timestamp})
	}
	return d.ends[start:len(d.ends):len(d.ends)]
}

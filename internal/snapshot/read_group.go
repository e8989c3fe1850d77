package snapshot

import "github.com/lagkeeper/storage/protocol"

// groupDecoder turns group blocks into groups. It keeps the group that a block breaks off until the next block.
type groupDecoder struct {
	takenAt int64
	names   *names

	group Group
	// open is true while the group goes on in the next block; inTopic, while its last topic may.
	open, inTopic bool
	previous      int32
	// partitions and commits are behind the group's Partitions and Commits. Where one of them moves as it grows, what
	// was decoded before stays behind in the old array, sound.
	partitions []GroupPartition
	commits    []protocol.StoredCommit
	// topicStart is where the last topic's partitions begin.
	topicStart int
}

// block decodes one block and calls f with each group that ends in it. It returns what f returned; a fault of the block
// is in the cursor.
func (d *groupDecoder) block(c *cursor, f func(*Group) error) error {
	if d.open && len(c.payload) == 0 {
		c.fail("the block is empty where a group must go on")
	}
	for c.left() > 0 {
		switch tag := c.uvarint(); {
		case c.err != nil:
			return nil
		case tag == tagNew && !d.open:
			d.begin(c)
		case tag == tagContinued && d.open:
		case tag == tagNew:
			c.fail("a group begins where the one broken off must go on")
		default:
			c.fail("%d begins no group here", tag)
		}
		chain := commitChain{firstTimestamp: d.takenAt}
		d.open = d.topics(c, &chain)
		switch {
		case c.err != nil:
			return nil
		case d.open && c.left() > 0:
			c.fail("a group breaks off before the end of the block")
			return nil
		case !d.open:
			if err := f(&d.group); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *groupDecoder) begin(c *cursor) {
	d.partitions, d.commits, d.inTopic = d.partitions[:0], d.commits[:0], false
	d.group = Group{
		Cluster: d.names.next(c), Name: d.names.nextOnce(c), LastCommit: Never, LastOwner: Never,
		Topics: d.group.Topics[:0],
	}
	flags := c.uvarint()
	if flags&^(hasLastCommit|hasLastOwner) != 0 {
		c.fail("the flags of a group are %#x", flags)
	}
	if flags&hasLastCommit != 0 {
		d.group.LastCommit = d.takenAt + c.varint()
	}
	if flags&hasLastOwner != 0 {
		d.group.LastOwner = d.takenAt + c.varint()
	}
}

// topics decodes the topics of a group and reports whether the group goes on in the next block.
func (d *groupDecoder) topics(c *cursor, chain *commitChain) (goesOn bool) {
	for c.err == nil {
		tag := c.uvarint()
		if c.err != nil {
			return false
		}
		switch {
		case tag == tagEnd:
			return false
		case tag == tagGoesOn:
			d.inTopic = len(d.group.Topics) > 0
			return true
		case tag == tagNew:
			d.beginTopic(c)
		case tag == tagContinued && d.inTopic:
		default:
			c.fail("%d begins no topic of a group here", tag)
			return false
		}
		// Only what stands first in a block can be the rest of a topic.
		d.inTopic = false
		t := &d.group.Topics[len(d.group.Topics)-1]
		for c.err == nil {
			number, ok := c.nextPartition(d.previous, t.PartitionCount)
			if !ok {
				break
			}
			d.previous = number
			d.partition(c, number, chain)
		}
		t.Partitions = d.partitions[d.topicStart:len(d.partitions):len(d.partitions)]
	}
	return false
}

func (d *groupDecoder) beginTopic(c *cursor) {
	t := GroupTopic{Name: d.names.next(c), PartitionCount: c.partitionCount(), LastCommit: Never}
	flags := c.uvarint()
	if flags&^hasLastCommit != 0 {
		c.fail("the flags of a group's topic are %#x", flags)
	}
	if flags&hasLastCommit != 0 {
		t.LastCommit = d.takenAt + c.varint()
	}
	d.group.Topics = append(d.group.Topics, t)
	d.previous, d.topicStart = -1, len(d.partitions)
}

func (d *groupDecoder) partition(c *cursor, number int32, chain *commitChain) {
	word := c.uvarint()
	p := GroupPartition{Number: number}
	if word&partitionOwner != 0 {
		p.Owner = d.names.next(c)
	}
	if word&partitionClientID != 0 {
		p.ClientID = d.names.next(c)
	}
	if word&partitionDeleted != 0 {
		p.DeletedOrder = c.varint()
	}
	if word&partitionIncarnation != 0 {
		chain.incarnation = c.uint32("a partition's incarnation")
	}
	p.Incarnation = chain.incarnation
	n := c.checkCount(word>>partitionBits, leastBytesPerCommit, "commits")
	start := len(d.commits)
	for i := range n {
		d.commit(c, chain, i == 0)
		if c.err != nil {
			return
		}
	}
	p.Commits = d.commits[start:len(d.commits):len(d.commits)]
	d.partitions = append(d.partitions, p)
}

func (d *groupDecoder) commit(c *cursor, chain *commitChain, first bool) {
	if c.left() < 1 {
		c.fail("a commit is cut off by the end of the block")
		return
	}
	bits := c.payload[c.at]
	c.at++
	if bits&^commitBits != 0 || bits&(commitLagKnown|commitLagSame) == commitLagSame {
		c.at--
		c.fail("the first byte of a commit is %#02x", bits)
		return
	}
	offset, order, timestamp := c.varint(), c.varint(), c.varint()
	if first {
		chain.offset, chain.order = chain.firstOffset+offset, chain.firstOrder+order
		chain.timestamp = chain.firstTimestamp + timestamp
		chain.firstOffset, chain.firstOrder, chain.firstTimestamp = chain.offset, chain.order, chain.timestamp
	} else {
		chain.offsetStep += offset
		chain.orderStep += order
		chain.timestampStep += timestamp
		chain.offset += chain.offsetStep
		chain.order += chain.orderStep
		chain.timestamp += chain.timestampStep
	}
	commit := protocol.StoredCommit{Offset: chain.offset, Order: chain.order, Timestamp: chain.timestamp}
	switch bits & commitObserved {
	case observedSameSecond:
		commit.ObservedTimestamp = floorSecond(chain.timestamp)
	case observedNextSecond:
		commit.ObservedTimestamp = floorSecond(chain.timestamp) + 1000
	case observedSeconds:
		commit.ObservedTimestamp = floorSecond(chain.timestamp) + 1000*c.varint()
	default:
		commit.ObservedTimestamp = chain.timestamp + c.varint()
	}
	if bits&commitLagKnown != 0 {
		if bits&commitLagSame == 0 {
			chain.lag += uint64(c.varint())
		}
		commit.Lag, commit.LagKnown = chain.lag, true
	}
	d.commits = append(d.commits, commit)
}

package snapshot

import "github.com/lagkeeper/storage/protocol"

// groupDecoder turns group blocks into groups.
type groupDecoder struct {
	takenAt int64
	names   names

	group    Group
	previous int32
	// partitions and commits are the memory of the group's Partitions and Commits. If one of them moves as it grows, what was
	// decoded before stays in the old array, intact.
	partitions []GroupPartition
	commits    []protocol.StoredCommit
	values     []uint64
}

// block decodes one block and calls f with each group in it. It returns the error of f; a fault of the block is in the
// cursor.
func (d *groupDecoder) block(c *cursor, f func(*Group) error) error {
	d.names.begin()
	for c.left() > 0 {
		d.begin(c)
		chain := windowChain{timestamp: d.takenAt}
		for c.err == nil && d.topic(c, &chain) {
		}
		if c.err != nil {
			return nil
		}
		if err := f(&d.group); err != nil {
			return err
		}
	}
	return nil
}

func (d *groupDecoder) begin(c *cursor) {
	d.partitions, d.commits = d.partitions[:0], d.commits[:0]
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

// topic decodes the next topic of a group and reports whether there was one.
func (d *groupDecoder) topic(c *cursor, chain *windowChain) bool {
	switch tag := c.uvarint(); {
	case c.err != nil || tag == tagEnd:
		return false
	case tag != tagNew:
		c.fail("%d begins no topic of a group", tag)
		return false
	}
	t := GroupTopic{Name: d.names.next(c), PartitionCount: c.partitionCount(), LastCommit: Never}
	flags := c.uvarint()
	if flags&^hasLastCommit != 0 {
		c.fail("the flags of a group's topic are %#x", flags)
	}
	if flags&hasLastCommit != 0 {
		t.LastCommit = d.takenAt + c.varint()
	}
	start := len(d.partitions)
	d.previous = -1
	for c.err == nil {
		number, ok := c.nextPartition(d.previous, t.PartitionCount)
		if !ok {
			break
		}
		d.previous = number
		d.partition(c, number, chain)
	}
	t.Partitions = d.partitions[start:len(d.partitions):len(d.partitions)]
	d.group.Topics = append(d.group.Topics, t)
	return true
}

func (d *groupDecoder) partition(c *cursor, number int32, chain *windowChain) {
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
	if n := c.checkCount(word>>partitionBits, 1, "commits"); n > 0 {
		p.Commits = d.window(c, chain, n, word)
	}
	d.partitions = append(d.partitions, p)
}

package snapshot

import "github.com/lagkeeper/storage/internal/window"

// groupDecoder turns group blocks into groups.
type groupDecoder struct {
	takenAt int64
	names   names

	group Group
	// partitions and owners are the memory of what the topics of the group have. If one of them moves as it grows, what was decoded
	// before stays in the old array, intact.
	partitions []GroupPartition
	owners     []uint32
}

// block decodes one block and calls f with each group in it. It returns the error of f; a fault of the block is in the
// cursor.
func (d *groupDecoder) block(c *cursor, f func(*Group) error) error {
	d.names.begin()
	for c.left() > 0 {
		deletion := d.begin(c)
		for c.err == nil && d.topic(c, deletion) {
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

func (d *groupDecoder) begin(c *cursor) (deletion bool) {
	d.partitions, d.owners = d.partitions[:0], d.owners[:0]
	d.group = Group{
		Cluster: d.names.next(c), Name: d.names.nextOnce(c), LastCommit: Never, LastOwner: Never,
		Topics: d.group.Topics[:0], Members: d.group.Members[:0],
	}
	flags := c.uvarint()
	if flags&^(hasLastCommit|hasLastOwner|isDeletion) != 0 {
		c.fail("the flags of a group are %#x", flags)
	}
	if flags&hasLastCommit != 0 {
		d.group.LastCommit = d.takenAt + c.varint()
	}
	if flags&hasLastOwner != 0 {
		d.group.LastOwner = d.takenAt + c.varint()
	}
	if flags&isDeletion != 0 {
		return true
	}
	for range c.count(leastBytesPerMember, "members") {
		m := Member{Owner: d.names.next(c), ClientID: d.names.next(c)}
		if c.err != nil {
			break
		}
		d.group.Members = append(d.group.Members, m)
	}
	return false
}

// leastBytesPerMember is the least size of a member: the numbers of two strings.
const leastBytesPerMember = 2

// topic decodes the next topic of a group and reports whether there was one.
func (d *groupDecoder) topic(c *cursor, deletion bool) bool {
	switch tag := c.uvarint(); {
	case c.err != nil || tag == tagEnd:
		return false
	case tag != tagNew:
		c.fail("%d begins no topic of a group", tag)
		return false
	}
	t := GroupTopic{Name: d.names.next(c), PartitionCount: c.partitionCount(), LastCommit: Never}
	if deletion {
		d.deletions(c, &t)
	} else {
		d.windows(c, &t)
	}
	d.group.Topics = append(d.group.Topics, t)
	return true
}

func (d *groupDecoder) deletions(c *cursor, t *GroupTopic) {
	start := len(d.partitions)
	for previous := int32(-1); ; {
		number, ok := c.nextPartition(previous, t.PartitionCount)
		if !ok {
			break
		}
		previous = number
		order := c.varint()
		if order == 0 {
			c.fail("partition %d was deleted at order 0", number)
		}
		d.partitions = append(d.partitions, GroupPartition{Number: number, DeletedOrder: order})
	}
	t.Partitions = d.partitions[start:len(d.partitions):len(d.partitions)]
}

func (d *groupDecoder) windows(c *cursor, t *GroupTopic) {
	flags := c.uvarint()
	if flags&^(hasLastCommit|hasOwners) != 0 {
		c.fail("the flags of a group's topic are %#x", flags)
	}
	if flags&hasLastCommit != 0 {
		t.LastCommit = d.takenAt + c.varint()
	}
	n := c.count(window.HeaderSize, "windows")
	length := c.uvarint()
	w := &t.Windows
	if n > 0 {
		w.Run = c.run(length)
	} else if length > 0 {
		c.fail("no windows take %d bytes", length)
	}
	for at, previous := 0, int32(-1); w.Count < n && c.err == nil; w.Count++ {
		size, err := window.Check(w.Run[at:])
		if err != nil {
			c.fail("%v", err)
			return
		}
		win := window.Window(w.Run[at:])
		tag := win.Tag()
		number, _ := Untag(tag)
		if tag&^tagMask != 0 || number <= previous || number >= t.PartitionCount {
			c.fail("a window with the tag %#x after partition %d of %d", tag, previous, t.PartitionCount)
			return
		}
		previous = number
		w.Commits += win.Len()
		at += size
		if w.Count+1 == n && at+window.Padding != len(w.Run) {
			c.fail("%d windows take %d bytes, not %d", n, at, length)
			return
		}
	}
	if flags&hasOwners != 0 {
		d.ownersOf(c, w)
	}
}

func (d *groupDecoder) ownersOf(c *cursor, w *Windows) {
	start := len(d.owners)
	for range w.Count {
		member := c.uvarint()
		if member > uint64(len(d.group.Members)) {
			c.fail("a partition is owned by member %d of %d", member, len(d.group.Members))
		}
		if c.err != nil {
			return
		}
		d.owners = append(d.owners, uint32(member))
	}
	w.Owners = d.owners[start:len(d.owners):len(d.owners)]
}

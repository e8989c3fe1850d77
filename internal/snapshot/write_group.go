package snapshot

import (
	"errors"
	"fmt"

	"github.com/lagkeeper/storage/protocol"
)

// commitChain is what the next commit is written relative to. It runs through the partitions of a group, since a consumer
// commits its partitions at nearly the same times, and begins anew with each group and block.
type commitChain struct {
	offset, order, timestamp             int64
	offsetStep, orderStep, timestampStep int64
	lag                                  uint64
	// firstOffset, firstOrder and firstTimestamp are the oldest of the partition before.
	firstOffset, firstOrder, firstTimestamp int64
	// incarnation is that of the partition before.
	incarnation uint32
}

// WriteGroup writes one group. The group must obey the bounds that its type states.
func (w *Writer) WriteGroup(g *Group) error {
	if err := w.ready(); err != nil {
		return err
	}
	if err := g.Validate(); err != nil {
		return w.fail(err)
	}
	if err := g.checkNames(); err != nil {
		return err
	}
	w.enter(blockGroups)
	w.partitions, w.commits = 0, 0
	w.groupHead(g)
	chain := commitChain{firstTimestamp: w.takenAt}
	for i := range g.Topics {
		if w.full() {
			w.breakGroup(g, &chain)
		}
		if err := w.groupTopic(g, &g.Topics[i], &chain); err != nil {
			return err
		}
	}
	w.uvarint(tagEnd)
	w.sum.Groups++
	w.sum.GroupPartitions += w.partitions
	w.sum.Commits += w.commits
	if w.full() {
		w.flush()
	}
	return w.err
}

// checkNames returns an error that matches ErrTooLarge if a name of the group is too long to be written.
func (g *Group) checkNames() error {
	err := errors.Join(checkName("cluster", g.Cluster), checkName("group", g.Name))
	for i := range g.Topics {
		t := &g.Topics[i]
		if err == nil {
			err = checkName("topic", t.Name)
		}
		for j := 0; j < len(t.Partitions) && err == nil; j++ {
			err = errors.Join(checkName("owner", t.Partitions[j].Owner), checkName("client id", t.Partitions[j].ClientID))
		}
	}
	return err
}

// breakGroup ends the block in the middle of a group and begins the one that carries on.
func (w *Writer) breakGroup(g *Group, chain *commitChain) {
	w.uvarint(tagGoesOn)
	w.flush()
	w.begin(blockGroups)
	w.uvarint(tagContinued)
	*chain = commitChain{firstTimestamp: w.takenAt}
}

func (w *Writer) groupHead(g *Group) {
	w.uvarint(tagNew)
	w.name(g.Cluster)
	w.name(g.Name)
	flags := uint64(0)
	if g.LastCommit != Never {
		flags |= hasLastCommit
	}
	if g.LastOwner != Never {
		flags |= hasLastOwner
	}
	w.uvarint(flags)
	if g.LastCommit != Never {
		w.varint(g.LastCommit - w.takenAt)
	}
	if g.LastOwner != Never {
		w.varint(g.LastOwner - w.takenAt)
	}
}

func (w *Writer) groupTopic(g *Group, t *GroupTopic, chain *commitChain) error {
	w.uvarint(tagNew)
	w.name(t.Name)
	w.uvarint(uint64(t.PartitionCount))
	if t.LastCommit == Never {
		w.uvarint(0)
	} else {
		w.uvarint(hasLastCommit)
		w.varint(t.LastCommit - w.takenAt)
	}
	previous := int32(-1)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if w.full() {
			w.uvarint(tagEnd)
			w.breakGroup(g, chain)
			w.uvarint(tagContinued)
		}
		w.uvarint(uint64(p.Number - previous))
		previous = p.Number
		w.groupPartition(p, chain)
		if !w.fits() {
			return w.fail(fmt.Errorf("group %.100q of cluster %.100q: topic %.100q: partition %d does not fit into a "+
				"block of %d bytes", g.Name, g.Cluster, t.Name, p.Number, maxPayload))
		}
	}
	w.uvarint(tagEnd)
	return nil
}

func (w *Writer) groupPartition(p *GroupPartition, chain *commitChain) {
	word := uint64(len(p.Commits)) << partitionBits
	if p.Owner != "" {
		word |= partitionOwner
	}
	if p.ClientID != "" {
		word |= partitionClientID
	}
	if p.DeletedOrder != 0 {
		word |= partitionDeleted
	}
	if p.Incarnation != chain.incarnation {
		word |= partitionIncarnation
	}
	w.uvarint(word)
	if p.Owner != "" {
		w.name(p.Owner)
	}
	if p.ClientID != "" {
		w.name(p.ClientID)
	}
	if p.DeletedOrder != 0 {
		w.varint(p.DeletedOrder)
	}
	if p.Incarnation != chain.incarnation {
		w.uvarint(uint64(p.Incarnation))
		chain.incarnation = p.Incarnation
	}
	w.windowOf(chain, p.Commits)
	w.partitions++
	w.commits += uint64(len(p.Commits))
}

func (w *Writer) windowOf(c *commitChain, commits []protocol.StoredCommit) {
	for i := range commits {
		commit := &commits[i]
		at := len(w.block)
		w.block = append(w.block, 0)
		if i == 0 {
			w.varint(commit.Offset - c.firstOffset)
			w.varint(commit.Order - c.firstOrder)
			w.varint(commit.Timestamp - c.firstTimestamp)
			c.firstOffset, c.firstOrder, c.firstTimestamp = commit.Offset, commit.Order, commit.Timestamp
		} else {
			offsetStep, orderStep := commit.Offset-c.offset, commit.Order-c.order
			timestampStep := commit.Timestamp - c.timestamp
			w.varint(offsetStep - c.offsetStep)
			w.varint(orderStep - c.orderStep)
			w.varint(timestampStep - c.timestampStep)
			c.offsetStep, c.orderStep, c.timestampStep = offsetStep, orderStep, timestampStep
		}
		c.offset, c.order, c.timestamp = commit.Offset, commit.Order, commit.Timestamp
		w.block[at] = w.observed(commit) | w.lag(c, commit)
	}
}

// observed writes when the store took the commit relative to when it was made, and returns the bits that say how.
func (w *Writer) observed(commit *protocol.StoredCommit) byte {
	switch since := commit.ObservedTimestamp - floorSecond(commit.Timestamp); {
	case since == 0:
		return observedSameSecond
	case since == 1000:
		return observedNextSecond
	case since%1000 == 0:
		w.varint(since / 1000)
		return observedSeconds
	}
	w.varint(commit.ObservedTimestamp - commit.Timestamp)
	return observedRaw
}

// lag writes the lag relative to the last one known, and returns the bits that say how.
func (w *Writer) lag(c *commitChain, commit *protocol.StoredCommit) byte {
	switch {
	case !commit.LagKnown:
		return 0
	case commit.Lag == c.lag:
		return commitLagKnown | commitLagSame
	}
	w.varint(int64(commit.Lag - c.lag))
	c.lag = commit.Lag
	return commitLagKnown
}

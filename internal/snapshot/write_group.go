package snapshot

import "errors"

// WriteGroup writes one group, which must be within the limits of its type.
func (w *BlockWriter) WriteGroup(g *Group) error {
	if err := w.to.ready(); err != nil {
		return err
	}
	if err := g.Validate(); err != nil {
		return w.to.fail(err)
	}
	if err := g.checkNames(); err != nil {
		return err
	}
	if err := w.enter(blockGroups); err != nil {
		return err
	}
	w.groupHead(g)
	chain := windowChain{timestamp: w.to.takenAt}
	for i := range g.Topics {
		w.groupTopic(&g.Topics[i], &chain)
	}
	w.uvarint(tagEnd)
	w.records.AddGroup(g)
	return w.flushFull()
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
			if p := &t.Partitions[j]; max(len(p.Owner), len(p.ClientID)) > maxName {
				err = errors.Join(checkName("owner", p.Owner), checkName("client id", p.ClientID))
			}
		}
	}
	return err
}

func (w *BlockWriter) groupHead(g *Group) {
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
		w.varint(g.LastCommit - w.to.takenAt)
	}
	if g.LastOwner != Never {
		w.varint(g.LastOwner - w.to.takenAt)
	}
}

func (w *BlockWriter) groupTopic(t *GroupTopic, chain *windowChain) {
	w.uvarint(tagNew)
	w.name(t.Name)
	w.uvarint(uint64(t.PartitionCount))
	if t.LastCommit == Never {
		w.uvarint(0)
	} else {
		w.uvarint(hasLastCommit)
		w.varint(t.LastCommit - w.to.takenAt)
	}
	previous := int32(-1)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		w.uvarint(uint64(p.Number - previous))
		previous = p.Number
		w.groupPartition(p, chain)
	}
	w.uvarint(tagEnd)
}

func (w *BlockWriter) groupPartition(p *GroupPartition, chain *windowChain) {
	word := uint64(len(p.Commits)) << partitionBits
	if len(p.Commits) > 0 {
		w.columns.take(p.Commits)
		word |= w.columns.flags
	}
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
	if len(p.Commits) > 0 {
		w.window(chain, &p.Commits[0])
	}
}

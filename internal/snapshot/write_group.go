package snapshot

import (
	"errors"
	"fmt"
)

// WriteGroup writes a record of deletions, or a group whose topics have Windows. It must be within the limits of its type.
func (w *BlockWriter) WriteGroup(g *Group) error {
	if err := w.to.ready(); err != nil {
		return err
	}
	if err := errors.Join(g.Validate(), g.checkForm()); err != nil {
		return w.to.fail(err)
	}
	if err := g.checkNames(); err != nil {
		return err
	}
	if err := w.enter(blockGroups); err != nil {
		return err
	}
	deletion := g.IsDeletion()
	w.groupHead(g, deletion)
	for i := range g.Topics {
		t := &g.Topics[i]
		w.uvarint(tagNew)
		w.name(t.Name)
		w.uvarint(uint64(t.PartitionCount))
		if deletion {
			w.deletedTopic(t)
		} else {
			w.groupTopic(t)
		}
	}
	w.uvarint(tagEnd)
	w.records.AddGroup(g)
	return w.flushFull()
}

// checkForm returns an error if partitions of the group are not in the form in which they are written.
func (g *Group) checkForm() error {
	for i := range g.Topics {
		t := &g.Topics[i]
		for j := range t.Partitions {
			if p := &t.Partitions[j]; p.DeletedOrder == 0 || len(p.Commits) > 0 || t.Windows.Count > 0 {
				return fmt.Errorf("group %q: topic %q: partition %d is neither deleted nor in a window", g.Name, t.Name, p.Number)
			}
		}
	}
	return nil
}

// checkNames returns an error that matches ErrTooLarge if a name of the group is too long to be written.
func (g *Group) checkNames() error {
	err := errors.Join(checkName("cluster", g.Cluster), checkName("group", g.Name))
	for i := 0; i < len(g.Topics) && err == nil; i++ {
		err = checkName("topic", g.Topics[i].Name)
	}
	for i := 0; i < len(g.Members) && err == nil; i++ {
		err = errors.Join(checkName("owner", g.Members[i].Owner), checkName("client id", g.Members[i].ClientID))
	}
	return err
}

func (w *BlockWriter) groupHead(g *Group, deletion bool) {
	w.name(g.Cluster)
	w.name(g.Name)
	flags := uint64(0)
	if g.LastCommit != Never {
		flags |= hasLastCommit
	}
	if g.LastOwner != Never {
		flags |= hasLastOwner
	}
	if deletion {
		flags |= isDeletion
	}
	w.uvarint(flags)
	if g.LastCommit != Never {
		w.varint(g.LastCommit - w.to.takenAt)
	}
	if g.LastOwner != Never {
		w.varint(g.LastOwner - w.to.takenAt)
	}
	if deletion {
		return
	}
	w.uvarint(uint64(len(g.Members)))
	for i := range g.Members {
		w.name(g.Members[i].Owner)
		w.name(g.Members[i].ClientID)
	}
}

func (w *BlockWriter) groupTopic(t *GroupTopic) {
	flags := uint64(0)
	if t.LastCommit != Never {
		flags |= hasLastCommit
	}
	if len(t.Windows.Owners) > 0 {
		flags |= hasOwners
	}
	w.uvarint(flags)
	if t.LastCommit != Never {
		w.varint(t.LastCommit - w.to.takenAt)
	}
	run := t.Windows.bytes()
	w.uvarint(uint64(t.Windows.Count))
	w.uvarint(uint64(len(run)))
	w.block = append(w.block, run...)
	for _, member := range t.Windows.Owners {
		w.uvarint(uint64(member))
	}
}

func (w *BlockWriter) deletedTopic(t *GroupTopic) {
	previous := int32(-1)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		w.uvarint(uint64(p.Number - previous))
		previous = p.Number
		w.varint(p.DeletedOrder)
	}
	w.uvarint(tagEnd)
}

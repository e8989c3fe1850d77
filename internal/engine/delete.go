package engine

import (
	"slices"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// DeleteGroup removes a group.
func (e *Engine) DeleteGroup(c *Cluster, groupName string) Reason {
	why := e.withGroup(c, groupName, func(s *shard, g *group, now int64) Reason {
		s.delete(g, now)
		return 0
	})
	if why == 0 {
		e.shard(c.hash(groupName)).drain()
	}
	return why
}

// DeleteGroupTopic removes a topic from a group, and the group if it was the last one.
func (e *Engine) DeleteGroupTopic(c *Cluster, groupName, topic string) Reason {
	return e.withGroup(c, groupName, func(s *shard, g *group, now int64) Reason {
		i := g.find(topic)
		if i < 0 {
			return UnknownTopic
		}
		s.detachDeleted(g, i, now)
		return 0
	})
}

// withGroup calls do with a live group and its shard, locked.
func (e *Engine) withGroup(c *Cluster, groupName string, do func(s *shard, g *group, now int64) Reason) Reason {
	hash := c.hash(groupName)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		return Stopped
	}
	now := e.config.Clock.Coarse()
	g := s.findLive(e, c, hash, groupName, now)
	if g == nil {
		return UnknownGroup
	}
	return do(s, g, now)
}

// DeletePartition removes a partition from a group, unless it has a commit of the given order or a greater one; an order of 0
// or less always removes it. The topic goes with its last partition, the group with its last topic.
func (e *Engine) DeletePartition(c *Cluster, groupName, topic string, partition int32, order int64) Reason {
	if partition < 0 || partition >= ends.MaxPartitions {
		return Invalid
	}
	why := e.withGroup(c, groupName, func(s *shard, g *group, now int64) Reason {
		i := g.find(topic)
		if i < 0 {
			return UnknownTopic
		}
		gt := &g.topics[i]
		w, slot := g.windowAt(gt, partition)
		if w == nil {
			return UnknownPartition
		}
		if order > 0 && newestOrder(w) >= order {
			return Duplicate
		}
		if g.windows(gt) == 1 {
			s.detachDeleted(g, i, now)
			return 0
		}
		s.departPartition(g, gt, slot, now)
		g.removePartition(gt, slot)
		s.account(g)
		return 0
	})
	if why == 0 {
		e.changes.Add(1)
	}
	return why
}

// windows counts the partitions of a topic that have a window.
func (g *group) windows(gt *groupTopic) (n int) {
	for _, r := range g.memory.slots[gt.first:gt.end()] {
		if r != 0 {
			n++
		}
	}
	return n
}

// removePartition removes the window of a slot and everything known of its partition.
func (g *group) removePartition(gt *groupTopic, slot uint32) {
	g.memory.remove(slot)
	g.clearSlot(slot)
	if gt.sparse {
		g.closeSlot(gt, slot)
	}
}

// SyncTopics deletes the topics of a cluster that are not in names. Topics that are created during the call stay.
func (e *Engine) SyncTopics(c *Cluster, names []string) Reason {
	if e.stopped.Load() {
		return Stopped
	}
	keep := setOf(names)
	for _, t := range c.topics.Topics(nil) {
		if keep[t.Name] {
			continue
		}
		if e.removeTopic(t, func() bool { return c.topics.DeleteTopic(t) }) {
			e.changes.Add(1)
		} else if e.stopped.Load() {
			return Stopped
		}
	}
	return 0
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// SyncGroups deletes the groups of a cluster that are not in names. Groups that are created during the call stay.
func (e *Engine) SyncGroups(c *Cluster, names []string) Reason {
	keep := setOf(names)
	for i := range e.shards {
		s := &e.shards[i]
		groups, why := s.appendList(nil, groupsIn(c))
		if why != 0 {
			return why
		}
		groups = slices.DeleteFunc(groups, func(g *group) bool { return keep[g.name] })
		for len(groups) > 0 {
			if groups, why = s.deleteSome(groups, e.config.Clock.Coarse()); why != 0 {
				return why
			}
			s.drain()
			e.changes.Add(1)
		}
	}
	return 0
}

// deleteSome deletes some of the groups that still exist, and returns the others.
func (s *shard) deleteSome(groups []*group, now int64) ([]*group, Reason) {
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		return groups, Stopped
	}
	for room := sweepBatch; len(groups) > 0 && room > 0; groups = groups[1:] {
		room--
		if g := groups[0]; s.holds(g) {
			room -= len(g.topics)
			s.delete(g, now)
		}
	}
	return groups, 0
}

// holds reports whether a group still exists.
func (s *shard) holds(g *group) bool {
	list := s.lists[g.cluster]
	return int(g.position) < len(list) && list[g.position] == g
}

// forgetBatch is the number of windows that are rewritten while a shard is held.
const forgetBatch = 512

// ForgetOrders lets commits of any order count as newer than the stored ones, in the groups of some partitions of the commit
// log, or of all groups of a cluster. It holds a shard only for a few windows at a time; a commit that arrives during the
// call may be taken for an old one. The error is a Reason or wraps one.
func (e *Engine) ForgetOrders(c *Cluster, of []protocol.LogPartition) error {
	for _, log := range of {
		switch {
		case log.Count < 1:
			return invalidf("invalid number of log partitions %d: must be at least 1", log.Count)
		case log.Partition < 0 || log.Partition >= log.Count:
			return invalidf("invalid log partition %d: must be between 0 and %d", log.Partition, log.Count-1)
		}
	}
	if e.stopped.Load() {
		return Stopped
	}
	c.positions.forget(of)
	// A snapshot from here on is a different one, and so is one after the end.
	e.changes.Add(1)
	defer e.changes.Add(1)
	concerns := func(group string) bool {
		return len(of) == 0 || slices.ContainsFunc(of, func(log protocol.LogPartition) bool { return log.Holds(group) })
	}
	for i := range e.shards {
		s := &e.shards[i]
		s.drain()
		for from := uint64(1); from != 0; {
			from = s.forgetDepartedOf(from, func(d departedGroup) bool { return d.cluster == c && concerns(d.name) })
		}
		groups, why := s.appendList(nil, groupsIn(c))
		if why != 0 {
			return why
		}
		groups = slices.DeleteFunc(groups, func(g *group) bool { return !concerns(g.name) })
		for len(groups) > 0 {
			if groups, why = s.forgetOrders(groups); why != 0 {
				return why
			}
		}
	}
	return nil
}

// forgetOrders removes the orders from the first of some groups, and returns the groups that are left.
func (s *shard) forgetOrders(groups []*group) ([]*group, Reason) {
	var at, packs uint32
	for {
		left, why := s.forgetSome(groups[0], &at, &packs)
		if why != 0 {
			return nil, why
		}
		if left == 0 {
			return groups[1:], 0
		}
	}
}

// forgetSome removes the orders from some windows of a group, from a slot on, and returns the number of slots that are left.
// packs reports from one call to the next whether windows have moved.
func (s *shard) forgetSome(g *group, at, packs *uint32) (left int, why Reason) {
	s.mu.Lock()
	defer s.release()
	switch {
	case s.stopped:
		return 0, Stopped
	case !s.holds(g):
		return 0, 0
	case *at == 0 || g.packs != *packs:
		// Windows may have moved to slots that were passed.
		*at, *packs = 0, g.packs
		g.known, g.refused = nil, 0
	}
	slots := uint32(len(g.memory.slots))
	for room := 0; room < forgetBatch && *at < slots; *at++ {
		if g.forgetOrder(*at, &s.scratch) {
			room++
		}
	}
	s.account(g)
	return int(slots - min(*at, slots)), 0
}

// forgetOrder sets every order of a window to 0, and reports whether any was not.
func (g *group) forgetOrder(slot uint32, scratch *window.Scratch) bool {
	w := g.windowOf(slot)
	if w == nil || newestOrder(w) == 0 {
		return false
	}
	commits := w.AppendTo(nil)
	for i := range commits {
		commits[i].Order = 0
	}
	if needed := w.Rewrite(commits, scratch); needed > 0 {
		g.memory.resize(slot, needed, false, scratch)
	}
	return true
}

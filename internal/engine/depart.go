package engine

import (
	"math"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
)

// depart remembers the windows of a topic that a group is about to lose.
func (s *shard) depart(g *group, gt *groupTopic, now int64) {
	if !s.remembers {
		return
	}
	for slot := gt.first; slot < gt.end(); slot++ {
		s.departPartition(g, gt, slot, now)
	}
}

// departPartition remembers the window of a slot that a group is about to lose. A window without orders need not be
// remembered, since no replay can bring it back as it was. Nor need one of a cluster that is being removed.
func (s *shard) departPartition(g *group, gt *groupTopic, slot uint32, now int64) {
	w := g.windowOf(slot)
	if !s.remembers || w == nil || newestOrder(w) <= 0 || g.cluster.removed.Load() {
		return
	}
	d := &s.departures
	x := d.byGroup[departedGroup{g.cluster, g.name}]
	if x == nil || x.at != now {
		x = d.of(g.cluster, g.name, now)
	}
	p := departedPartition{partition: gt.partition(g.numbers, slot), order: newestOrder(w)}
	if g.known != nil && gt.topic.Replaced() {
		p.replay = g.replay
	}
	d.add(x, gt.topic.Name, p)
	d.bound(s.shards)
	s.accountIndexes()
}

// newestOrder returns the greatest order of a window, 0 for an empty one.
func newestOrder(w window.Window) int64 {
	if w.Len() == 0 {
		return 0
	}
	return w.NewestOrder()
}

// forgetDeparted forgets some of what was deleted before a time, oldest first: by then the commits are too old to be taken.
// It reports whether there may be more.
func (s *shard) forgetDeparted(limit int64) (more bool) {
	s.mu.Lock()
	defer s.release()
	defer s.accountIndexes()
	d := &s.departures
	for range sweepBatch {
		if len(d.byGroup) == 0 || d.queue[0].at >= limit {
			return false
		}
		d.drop(d.queue[0].departure)
	}
	return true
}

// forgetDepartedOf forgets deletions of the groups that match, some at a time, from a number on. It returns the number to
// continue from, 0 at the end.
func (s *shard) forgetDepartedOf(from uint64, matches func(departedGroup) bool) (next uint64) {
	s.mu.Lock()
	defer s.release()
	defer s.accountIndexes()
	d := &s.departures
	var drop []*departure
	at := d.from(from)
	until := min(at+sweepBatch, len(d.queue))
	if until < len(d.queue) {
		next = d.queue[until].number
	}
	for ; at < until; at++ {
		if x := d.queue[at].departure; x != nil && matches(x.group) {
			drop = append(drop, x)
		}
	}
	for _, x := range drop {
		d.drop(x)
	}
	return next
}

// record returns the departure as a snapshot record.
func (d *departure) record() snapshot.Group {
	r := snapshot.Group{
		Cluster: d.group.cluster.Name, Name: d.group.name, LastCommit: d.at, LastOwner: snapshot.Never,
		Topics: make([]snapshot.GroupTopic, len(d.topics)),
	}
	for i := range d.topics {
		t := &d.topics[i]
		to := snapshot.GroupTopic{
			Name: t.name, PartitionCount: t.partitions[len(t.partitions)-1].partition + 1, LastCommit: snapshot.Never,
			Partitions: make([]snapshot.GroupPartition, len(t.partitions)),
		}
		for j, p := range t.partitions {
			to.Partitions[j] = snapshot.GroupPartition{Number: p.partition, DeletedOrder: p.order}
		}
		r.Topics[i] = to
	}
	return r
}

// loadDeparture remembers the deletions of a record, except for partitions that have orders of their own: those came back, or
// were deleted while the snapshot was taken.
func (s *shard) loadDeparture(c *Cluster, g *group, r *snapshot.Group, replay uint32, now int64) {
	if !s.remembers {
		return
	}
	x := s.departures.of(c, r.Name, min(r.LastCommit, now))
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.DeletedOrder > 0 && (g == nil || !g.committedOn(t.Name, p.Number)) {
				s.departures.add(x, t.Name, departedPartition{partition: p.Number, replay: replay, order: p.DeletedOrder})
			}
		}
	}
	if len(x.topics) == 0 {
		s.departures.drop(x)
	}
	s.departures.bound(s.shards)
	s.accountIndexes()
}

// committedOn reports whether a partition has a commit with an order.
func (g *group) committedOn(topic string, partition int32) bool {
	i := g.find(topic)
	if i < 0 {
		return false
	}
	w, _ := g.windowAt(&g.topics[i], partition)
	return w != nil && newestOrder(w) > 0
}

// setKnown notes up to which order the commits of a slot are known.
func (g *group) setKnown(slot uint32, order int64) {
	if g.known == nil {
		g.known = make([]int64, len(g.memory.slots))
	}
	g.known[slot] = min(order, math.MaxInt64-1) + 1
}

// knows reports whether the commits of a slot are known up to an order.
func (g *group) knows(slot uint32, order int64) bool { return g.known != nil && order < g.known[slot] }

// ReplayDone says that everything committed before the start has been read: restored state that was not received again is
// confirmed, and what was deleted may come back with any order.
func (e *Engine) ReplayDone() { e.replay.Add(1) }

package engine

import (
	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// Commit stores one commit of a group.
func (e *Engine) Commit(c *Cluster, groupName string, in *protocol.Commit) Reason {
	why, stuck := e.commitOne(c, groupName, in)
	if stuck {
		e.reportStuck(c, groupName)
	}
	return why
}

func (e *Engine) commitOne(c *Cluster, groupName string, in *protocol.Commit) (why Reason, stuck bool) {
	hash := c.hash(groupName)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		s.counts.commits[Stopped]++
		return Stopped, false
	}
	at := place{cluster: c, name: groupName, hash: hash, topic: -1}
	why = e.commit(s, &at, in, e.config.Clock.Coarse())
	s.accountCommit(at.group)
	s.counts.commits[why]++
	return why, at.stuck
}

// commitBatch is the number of commits that are stored while a shard is held: some 50 µs of them.
const commitBatch = 256

// Commits stores many commits of one group, in their order. It calls refused for each that is not stored. It holds the shard
// only for some of them at a time; commits of other callers may come between.
func (e *Engine) Commits(c *Cluster, groupName string, all []protocol.Commit, refused func(i int, why Reason)) {
	at := place{cluster: c, name: groupName, hash: c.hash(groupName), topic: -1}
	for from := 0; from < len(all); from += commitBatch {
		e.commitSome(&at, all[from:min(from+commitBatch, len(all))], from, refused)
	}
	if at.stuck {
		e.reportStuck(c, groupName)
	}
}

// commitSome stores some commits of a batch, the first of which has the index from.
func (e *Engine) commitSome(at *place, some []protocol.Commit, from int, refused func(i int, why Reason)) {
	s := e.shard(at.hash)
	s.mu.Lock()
	defer s.release()
	// Since the shard was last held, the group may have gone or lost the topic.
	at.group, at.topic = nil, -1
	now := e.config.Clock.Coarse()
	for i := range some {
		why := Stopped
		if !s.stopped {
			why = e.commit(s, at, &some[i], now)
			s.accountCommit(at.group)
		}
		s.counts.commits[why]++
		if why != 0 {
			refused(from+i, why)
		}
	}
}

// CommitEach stores commits of any groups, each from a request of the channel, in their order, and calls done with what became of each,
// without a lock. If one panics, it has called done for those before, and none of those behind is stored. It holds all shards of
// overlapping commits at once, so that the waits for memory of these overlap.
func (e *Engine) CommitEach(requests []protocol.StorageRequest, done func(i int, why Reason)) {
	for from := 0; from < len(requests); from += overlapping {
		e.commitRun(requests[from:min(from+overlapping, len(requests))], from, done)
	}
}

// commitRun stores some commits of CommitEach, the first of which has the index from. If not all of their shards are free it stores one after
// the other.
func (e *Engine) commitRun(requests []protocol.StorageRequest, from int, done func(i int, why Reason)) {
	r := run{engine: e}
	defer r.tell(requests, from, done)
	r.locate(requests)
	together := r.lock()
	defer r.unlock()
	if together {
		r.fetch(requests)
	}
	now := e.config.Clock.Coarse()
	for i := range requests {
		in, entry := &requests[i], &r.entries[i]
		commit := protocol.Commit{
			Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Order: in.Order, Timestamp: in.Timestamp,
		}
		switch {
		case entry.cluster == nil:
			entry.why = e.Count(protocol.StorageSetConsumerOffset, UnknownCluster)
		case together:
			entry.why, entry.stuck = e.commitFetched(entry, in.Group, &commit, now)
		default:
			entry.why, entry.stuck = e.commitOne(entry.cluster, in.Group, &commit)
		}
		r.stored++
	}
}

// commitFetched is commitOne for a commit of a run.
func (e *Engine) commitFetched(entry *runEntry, groupName string, in *protocol.Commit, now int64) (why Reason, stuck bool) {
	s := entry.shard
	if s.stopped {
		s.counts.commits[Stopped]++
		return Stopped, false
	}
	if g := entry.group; g != nil && !g.gone {
		s.last, s.lastHash = g, entry.hash
	}
	at := place{cluster: entry.cluster, name: groupName, hash: entry.hash, topic: -1}
	why = e.commit(s, &at, in, now)
	s.accountCommit(at.group)
	s.counts.commits[why]++
	return why, at.stuck
}

// place is the place of a commit in a shard; it is found step by step, and kept from one commit of a batch to the next.
type place struct {
	cluster *Cluster
	name    string
	hash    uint64

	group *group // nil until found or made
	topic int    // index in group.topics, -1 until found or made
	stuck bool   // whether a refused commit was the one that makes refusedInRow
}

// commit judges one commit and stores it. No group or topic is created before everything has been judged.
func (e *Engine) commit(s *shard, at *place, in *protocol.Commit, now int64) Reason {
	if in.Offset < 0 || len(at.name) > MaxName || len(in.Topic) > MaxName {
		return Invalid
	}
	if e.older(in.Timestamp, now, e.config.ExpireGroup) {
		return TooOld
	}
	if why := e.locateGroup(s, at, now); why != 0 {
		return why
	}
	if s.leaving != nil {
		s.settle(at.cluster, at.name, in.Topic)
	}
	if s.departures.len() > 0 && s.departures.refuses(at, in.Topic, in.Partition, in.Order, e.replay.Load()) {
		return Duplicate
	}
	end, incarnation, why := e.locate(s, at, in.Topic, in.Partition, now)
	if why != 0 {
		return why
	}
	g := at.group
	slot, why := s.slot(g, at.topic, in.Partition, now)
	if why != 0 {
		// The group or its topic may have been removed again.
		at.group, at.topic = nil, -1
		return why
	}
	gt := &g.topics[at.topic]
	w := g.windowOf(slot)
	if w == nil {
		w = g.memory.add(slot, firstWindow)
	}

	if restored(w) {
		setRestored(w, false)
	}

	n := w.Len()
	timestamp := in.Timestamp
	if timestamp > now || n > 0 && w.NewestTimestamp() > now {
		now = e.config.Clock.Now()
		timestamp = min(timestamp, now)
		w = e.noneAfter(s, g, slot, w, now)
	}
	c := protocol.StoredCommit{Offset: in.Offset, Order: in.Order, Timestamp: timestamp, ObservedTimestamp: now}
	newest := newestOrder(w)
	if newest <= 0 && c.Order >= 0 && s.departures.len() > 0 {
		// The partition is back, with new orders. An order of 0 may be the first of a new log.
		s.departures.forget(g.cluster, g.name, in.Topic, in.Partition)
		s.accountIndexes()
	}
	switch {
	case c.Order < 0 || c.Order == 0 && newest <= 0:
		// The sender knows no order, or the order may be the first of all: the commit counts as the newest.
		c.Order = newest
	case n > 0 && c.Order <= newest:
		return e.late(s, at, slot, w, &c, now)
	}

	c.LagKnown = true
	if end > c.Offset {
		c.Lag = uint64(end) - uint64(c.Offset)
	}
	if n > 0 && tooClose(w.NewestTimestamp(), c.Timestamp, e.config.MinDistance) {
		c.Timestamp = w.NewestTimestamp()
		if needed := w.ReplaceNewest(&c, &s.scratch); needed > 0 {
			w = g.memory.resize(slot, needed, false, &s.scratch)
		}
	} else if needed := w.Append(&c, e.config.Intervals, &s.scratch); needed > 0 {
		w = g.memory.resize(slot, roomFor(needed, n, e.config.Intervals), n+1 < e.config.Intervals, &s.scratch)
	} else if w.Narrowable() {
		g.memory.narrowable = true
	}
	if g.refused != 0 {
		g.refused = 0
	}
	setIncarnation(w, incarnation)
	g.touch(gt, timestamp)
	return 0
}

// locateGroup finds the group. If there is none it checks whether one may be created.
func (e *Engine) locateGroup(s *shard, at *place, now int64) Reason {
	if at.group != nil {
		return 0
	}
	at.group = s.findLive(e, at.cluster, at.hash, at.name, now)
	if at.group != nil {
		s.read += at.group.memory.ahead()
	} else if e.config.Accept != nil && !e.config.Accept(at.name) {
		return Filtered
	}
	return 0
}

// locate finds the topic of a located group. If topic or group are missing, it creates them once nothing is against it. It
// returns the newest end offset of the partition and its incarnation.
func (e *Engine) locate(s *shard, at *place, topic string, partition int32, now int64) (end int64, incarnation uint8, why Reason) {
	g := at.group
	var t *ends.Topic
	if g != nil {
		if at.topic < 0 || g.topics[at.topic].topic.Name != topic {
			at.topic = g.find(topic)
		}
		if at.topic >= 0 {
			t = g.topics[at.topic].topic
			if t.Deleted() {
				// The caller that deletes the topic has not come to this shard yet.
				if !s.detachDeleted(g, at.topic, now) {
					g, at.group = nil, nil
				}
				t, at.topic = nil, -1
			}
		}
	}
	if t == nil {
		if t = at.cluster.topics.Topic(topic); t == nil {
			return 0, 0, UnknownTopic
		}
	}
	if partition < 0 {
		return 0, 0, Invalid
	}
	end, incarnation, ok := t.Newest(partition)
	if !ok {
		return 0, 0, UnknownPartition
	}
	if e.room.full() && !g.has(at.topic, partition) {
		return 0, 0, e.refuse(now)
	}
	if g == nil {
		if at.cluster.removed.Load() {
			return 0, 0, UnknownCluster
		}
		g = s.add(at.cluster, at.hash, at.name, now)
		at.group = g
	}
	if at.topic < 0 {
		at.topic = s.attach(g, t, now)
	}
	return end, incarnation, 0
}

// slot returns the slot of a partition of the topic at an index of a group. If the group has no room for it, it stays as it
// was.
func (s *shard) slot(g *group, topic int, partition int32, now int64) (uint32, Reason) {
	gt := &g.topics[topic]
	slot, ok := g.slot(gt, partition)
	if ok {
		return slot, 0
	}
	if gt.length == 0 {
		s.detachDeleted(g, topic, now)
	}
	return 0, Invalid
}

// firstWindow is the size of a new window: room for one commit of usual shape.
const firstWindow = window.HeaderSize + 12

// roomFor returns the new size of a window of n commits that needs some bytes for one more. A window that is not full gets
// room for some more commits; a full one grows as little as it must.
func roomFor(needed, n, intervals int) int {
	records := needed - window.HeaderSize
	room := records / 32
	if more := intervals - n - 1; more > 0 {
		each := records/(n+1) + 1
		room = min(more, max(2, n/8)) * each
	}
	return min((needed+room+window.Unit-1)&^(window.Unit-1), window.MaxSize(intervals)+window.Unit)
}

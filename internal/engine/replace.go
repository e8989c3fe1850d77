package engine

import (
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// ReplaceCommits replaces all commits of a group, and what is known of their orders, on the partitions that commits name. The
// commits of a partition must stand together; each partition is replaced at once. It calls refused for each commit that is
// not stored; if none is stored, the partition is removed.
func (e *Engine) ReplaceCommits(c *Cluster, groupName string, all []protocol.Commit, refused func(i int, why Reason)) {
	at := place{cluster: c, name: groupName, hash: c.hash(groupName), topic: -1}
	for from := 0; from < len(all); {
		from = e.replaceSome(&at, all, from, refused)
	}
	e.changes.Add(1)
}

// replaceSome replaces some partitions, the first of which begins at a commit, and returns the first commit of the next.
func (e *Engine) replaceSome(at *place, all []protocol.Commit, from int, refused func(i int, why Reason)) int {
	s := e.shard(at.hash)
	s.mu.Lock()
	defer s.release()
	now := e.config.Clock.Coarse()
	i := from
	for i < len(all) && i-from < commitBatch {
		through := i + 1
		for through < len(all) && all[through].Partition == all[i].Partition && all[through].Topic == all[i].Topic {
			through++
		}
		e.replace(s, at, all[i:through], now, func(j int, why Reason) { refused(i+j, why) })
		if through == len(all) || all[through].Topic != all[i].Topic || through-from >= commitBatch {
			s.recountSeen(at, all[i].Topic)
		}
		i = through
	}
	s.recountGroupSeen(at)
	return i
}

// replace replaces the commits of one partition.
func (e *Engine) replace(s *shard, at *place, some []protocol.Commit, now int64, refused func(i int, why Reason)) {
	// The group may have gone or lost the topic.
	at.group, at.topic = nil, -1
	topic, partition := some[0].Topic, some[0].Partition
	if !s.stopped {
		if g := s.findLive(e, at.cluster, at.hash, at.name, now); g != nil {
			g.emptyWindow(topic, partition, &s.scratch)
		}
		s.settle(at.cluster, at.name, topic)
		s.departures.forget(at.cluster, at.name, topic, partition)
	}
	for i := range some {
		why := Stopped
		if !s.stopped {
			why = e.commit(s, at, &some[i], now)
			s.accountCommit(at.group)
		}
		s.counts.commits[why]++
		if why != 0 {
			refused(i, why)
		}
	}
	if !s.stopped {
		if g := s.findLive(e, at.cluster, at.hash, at.name, now); g != nil {
			s.settleReplaced(g, topic, partition, now)
		}
	}
}

// emptyWindow removes the commits of a partition and keeps its slot.
func (g *group) emptyWindow(topic string, partition int32, scratch *window.Scratch) {
	i := g.find(topic)
	if i < 0 {
		return
	}
	w, slot := g.windowAt(&g.topics[i], partition)
	if w == nil {
		return
	}
	w.Rewrite(nil, scratch)
	if g.known != nil {
		g.known[slot] = 0
	}
}

// settleReplaced removes a partition that was left without a commit.
func (s *shard) settleReplaced(g *group, topic string, partition int32, now int64) {
	i := g.find(topic)
	if i < 0 {
		return
	}
	gt := &g.topics[i]
	if w, slot := g.windowAt(gt, partition); w != nil && w.Len() == 0 {
		if g.windows(gt) == 1 {
			s.detachDeleted(g, i, now)
			return
		}
		g.removePartition(gt, slot)
		s.account(g)
	}
}

// recountSeen makes a topic as old as its present commits: a replaced one may have been newer.
func (s *shard) recountSeen(at *place, topic string) {
	g := s.find(at.cluster, at.hash, at.name)
	if g == nil {
		return
	}
	i := g.find(topic)
	if i < 0 {
		return
	}
	gt := &g.topics[i]
	seen := int64(never)
	for slot := gt.first; slot < gt.end(); slot++ {
		if w := g.windowOf(slot); w != nil && w.Len() > 0 {
			seen = max(seen, w.NewestTimestamp())
		}
	}
	if seen != never {
		gt.seen = seen
	}
}

// recountGroupSeen is recountSeen for the group.
func (s *shard) recountGroupSeen(at *place) {
	g := s.find(at.cluster, at.hash, at.name)
	if g == nil {
		return
	}
	seen := int64(never)
	for i := range g.topics {
		if gt := &g.topics[i]; gt.committed {
			seen = max(seen, gt.seen)
		}
	}
	if seen != never {
		g.seen.Store(seen)
	}
}

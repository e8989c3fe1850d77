package engine

import (
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// A group of many topics that was built outside its shard enters it in pieces, as such a group leaves in pieces (see leaving.go): its
// topics are added to their lists in batches, then the group appears at once. Until then nothing finds or lists it.

// arrive adds the topics of a group to their lists, if there are many; receive or turnAway must follow. It returns when the group
// was last seen. Deleted topics are removed from the group, unless they are to be kept.
func (s *shard) arrive(g *group, keepDeleted bool) (seen int64) {
	seen = g.seen.Load()
	if len(g.topics) <= manyTopics {
		return seen
	}
	g.arrives = true
	g.seen.Store(never) // keeps it out of every list
	for through := len(g.topics); through > 0; {
		through = s.arriveSome(g, through, keepDeleted)
	}
	return seen
}

// arriveSome adds a batch of the topics below an index to their lists, and returns the index to continue from. It goes from the last
// to the first, because the removal of a topic moves the last one into its place.
func (s *shard) arriveSome(g *group, through int, keepDeleted bool) (next int) {
	s.mu.Lock()
	defer s.release()
	next = min(through, len(g.topics))
	for room := sweepBatch; room > 0 && next > 0; room-- {
		next--
		// A deletion marks the topic before it reaches this shard.
		if !keepDeleted && g.topics[next].topic.Deleted() {
			g.detach(next)
		} else {
			s.list(g, next)
		}
	}
	return next
}

// growthOf returns by how much a group of many topics makes the maps of a shard grow.
func (s *shard) growthOf(g *group) int {
	unlisted := 0
	for some := range slices.Chunk(g.topics, sweepBatch) {
		unlisted += s.lockedUnlisted(some)
	}
	s.mu.Lock()
	defer s.release()
	return s.mapGrowth(unlisted)
}

func (s *shard) lockedUnlisted(topics []groupTopic) int {
	s.mu.Lock()
	defer s.release()
	return s.unlisted(topics)
}

// unlisted returns the number of topics that no group of the shard has.
func (s *shard) unlisted(topics []groupTopic) (n int) {
	for i := range topics {
		if _, listed := s.byTopic[topics[i].topic]; !listed {
			n++
		}
	}
	return n
}

// turnAway undoes arrive.
func (s *shard) turnAway(g *group) {
	if g.arrives {
		s.leave(g, false, 0)
	}
}

// receive adds a group that was built outside the shard, and last seen at the given time. The shard must have no group of its name.
func (s *shard) receive(g *group, seen, now int64) {
	arrived := g.arrives
	if arrived {
		g.seen.Store(seen)
		g.arrives = false
	}
	s.insert(g, now)
	for i := range g.topics {
		if !arrived {
			s.list(g, i)
		}
		s.publish(protocol.EventGroupTopicCreated, g, g.topics[i].topic, now)
	}
	s.account(g)
}

// forgetReturned drops the remembered deletions of the partitions that a loaded group has commits for. The shard must be locked.
func (s *shard) forgetReturned(g *group) {
	if !s.remembersOf(g) {
		return
	}
	for i := range g.topics {
		s.forgetReturnedTopic(g, i)
	}
}

// remembersOf reports whether deletions of a group are remembered, or will be.
func (s *shard) remembersOf(g *group) bool {
	key := departedGroup{g.cluster, g.name}
	return s.departures.byGroup[key] != nil || s.leaving[key] != nil
}

// forgetReturnedSome is forgetReturned for a batch of the topics below an index of a group that has arrived. It returns the index to
// continue from.
func (s *shard) forgetReturnedSome(g *group, through int) (next int) {
	s.mu.Lock()
	defer s.release()
	defer s.accountIndexes()
	if !s.holds(g) || !s.remembersOf(g) {
		return 0
	}
	next = min(through, len(g.topics))
	for room := sweepBatch; room > 0 && next > 0; room-- {
		next--
		s.forgetReturnedTopic(g, next)
	}
	return next
}

func (s *shard) forgetReturnedTopic(g *group, i int) {
	gt := &g.topics[i]
	s.settle(g.cluster, g.name, gt.topic.Name)
	for slot := gt.first; slot < gt.end(); slot++ {
		if w := g.windowOf(slot); w != nil && newestOrder(w) > 0 {
			s.departures.forget(g.cluster, g.name, gt.topic.Name, gt.partition(g.numbers, slot))
		}
	}
}

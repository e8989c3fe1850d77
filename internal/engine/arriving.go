package engine

import (
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// A group of many topics that was built aside comes to its shard as it leaves it: its topics are put into their lists some at a
// time, and then it is there at once. Nothing finds or lists it before.

// arrive puts the topics of a group into their lists, if there are many: the group is to be received then, or turned away. It returns
// when the group was seen. Topics that are deleted leave it, unless those are to be kept.
func (s *shard) arrive(g *group, keepDeleted bool) (seen int64) {
	seen = g.seen.Load()
	if len(g.topics) <= manyTopics {
		return seen
	}
	g.arrives = true
	g.seen.Store(never) // so that no list has it
	for through := len(g.topics); through > 0; {
		through = s.arriveSome(g, through, keepDeleted)
	}
	return seen
}

// arriveSome puts some of the topics below an index into their lists, last first as one that is removed has the last in its place,
// and returns the index to go on from.
func (s *shard) arriveSome(g *group, through int, keepDeleted bool) (next int) {
	s.mu.Lock()
	defer s.release()
	next = min(through, len(g.topics))
	for room := sweepBatch; room > 0 && next > 0; room-- {
		next--
		// Whoever deletes a topic marks it before coming to this shard.
		if !keepDeleted && g.topics[next].topic.Deleted() {
			g.detach(next)
		} else {
			s.list(g, next)
		}
	}
	return next
}

// growthOf returns what the maps of a shard grow by with a group of many topics.
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

// turnAway undoes what arrive has done.
func (s *shard) turnAway(g *group) {
	if g.arrives {
		s.leave(g, false, 0)
	}
}

// receive puts a group that was built aside, and seen at a time, into the shard, which has none of its name.
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

// forgetReturned ends the memory of deletions of what a group that was loaded has commits of: all of it, the shard being locked.
func (s *shard) forgetReturned(g *group) {
	if !s.remembersOf(g) {
		return
	}
	for i := range g.topics {
		s.forgetReturnedTopic(g, i)
	}
}

// remembersOf reports whether there is memory of deletions of a group, or will be.
func (s *shard) remembersOf(g *group) bool {
	key := departedGroup{g.cluster, g.name}
	return s.departures.byGroup[key] != nil || s.leaving[key] != nil
}

// forgetReturnedSome is forgetReturned for some of the topics below an index of a group that has arrived; it returns the index to go
// on from.
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

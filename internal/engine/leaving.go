package engine

import "github.com/lagkeeper/storage/protocol"

// A group of many topics is removed in pieces: to take 100,000 topics out of their lists, and to remember their orders, takes tens of
// milliseconds. The group itself leaves the shard at once: nothing finds or lists it any more. Its topics follow in batches. A topic
// that a commit or any other request depends on follows before that request.

// manyTopics is the least number of topics of a group that leaves in pieces: fewer take less time than a batch of commits.
const manyTopics = 512

// leaving is a group that has left the shard, with topics that are still to follow.
type leaving struct {
	group *group
	// next is a group of the same name that left before.
	next *leaving
	// remember is set if the topics are to be remembered as deleted; at is when they were deleted, in Unix milliseconds.
	remember bool
	at       int64
}

// leave removes the topics of a group that was taken out of the shard: in pieces if there are many, otherwise at once.
func (s *shard) leave(g *group, remember bool, now int64) {
	l := &leaving{group: g, remember: remember, at: now}
	if len(g.topics) <= manyTopics {
		for i := len(g.topics) - 1; i >= 0; i-- {
			s.follow(l, i)
		}
		return
	}
	g.seen.Store(never) // keeps it out of every list
	g.leaves = true
	if s.leaving == nil {
		s.leaving = make(map[departedGroup]*leaving)
	}
	key := departedGroup{g.cluster, g.name}
	l.next = s.leaving[key]
	s.leaving[key] = l
}

// follow removes the topic at an index of a group that leaves. The group must not be used for anything else afterwards.
func (s *shard) follow(l *leaving, i int) {
	g := l.group
	gt := &g.topics[i]
	if l.remember {
		s.depart(g, gt, l.at)
	}
	s.unlist(gt)
	delete(g.byName, gt.topic.Name)
	last := len(g.topics) - 1
	if i < last {
		g.topics[i] = g.topics[last]
		if g.byName != nil {
			g.byName[g.topics[i].topic.Name] = i
		}
	}
	g.topics[last] = groupTopic{}
	g.topics = g.topics[:last]
}

// drain removes all topics of groups that leave, in batches.
func (s *shard) drain() {
	for s.drainSome() {
	}
}

// drainSome removes one batch and reports whether topics remain.
func (s *shard) drainSome() (more bool) {
	s.mu.Lock()
	defer s.release()
	room := sweepBatch
	for key, l := range s.leaving {
		for ; l != nil; l = l.next {
			for n := len(l.group.topics); n > 0; n-- {
				if room == 0 {
					s.leaving[key] = l
					return true
				}
				room--
				s.follow(l, n-1)
			}
		}
		delete(s.leaving, key)
	}
	s.leaving = nil
	return false
}

// settle removes a topic at once from all leaving groups of a name, because the request that follows depends on the deletion.
func (s *shard) settle(c *Cluster, name, topic string) {
	for l := s.leaving[departedGroup{c, name}]; l != nil; l = l.next {
		if i := l.group.find(topic); i >= 0 {
			s.follow(l, i)
		}
	}
}

// delete removes a group and remembers its topics as deleted.
func (s *shard) delete(g *group, now int64) {
	s.takeOut(g)
	s.leave(g, s.remembers, now)
	s.publish(protocol.EventGroupDeleted, g, nil, now)
}

// remove removes a group without remembering it.
func (s *shard) remove(g *group) {
	s.takeOut(g)
	s.leave(g, false, 0)
}

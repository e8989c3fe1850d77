package engine

import "github.com/lagkeeper/storage/protocol"

// A group of many topics is removed in pieces, since to take 100,000 out of the lists of their topics, and to remember their
// orders, takes tens of milliseconds. It leaves the shard at once: nothing finds or lists it any more. Its topics follow some at a
// time; what a commit, or whatever else asks for what was deleted, is about, at once.

// manyTopics is from how many topics on a group leaves in pieces: fewer take less time than a batch of commits.
const manyTopics = 512

// leaving is a group that has left the shard, with topics that are still to follow.
type leaving struct {
	group *group
	// next is another of its name, that left before.
	next *leaving
	// remember is set if what it had is to be remembered as deleted; at is when that was, in Unix milliseconds.
	remember bool
	at       int64
}

// leave lets the topics of a group that was taken out of the shard follow, if there are many, and at once if there are not.
func (s *shard) leave(g *group, remember bool, now int64) {
	l := &leaving{group: g, remember: remember, at: now}
	if len(g.topics) <= manyTopics {
		for i := len(g.topics) - 1; i >= 0; i-- {
			s.follow(l, i)
		}
		return
	}
	g.seen.Store(never) // so that no list has it
	g.leaves = true
	if s.leaving == nil {
		s.leaving = make(map[departedGroup]*leaving)
	}
	key := departedGroup{g.cluster, g.name}
	l.next = s.leaving[key]
	s.leaving[key] = l
}

// follow lets the topic at an index of a group that leaves go. The group is of no use for anything else afterwards.
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

// drain lets all topics follow that are to, some at a time.
func (s *shard) drain() {
	for s.drainSome() {
	}
}

// drainSome reports whether there are more.
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

// settle lets a topic follow at once, in all groups of a name that leave, as what comes next depends on what was deleted.
func (s *shard) settle(c *Cluster, name, topic string) {
	for l := s.leaving[departedGroup{c, name}]; l != nil; l = l.next {
		if i := l.group.find(topic); i >= 0 {
			s.follow(l, i)
		}
	}
}

// delete removes a group and remembers what it had.
func (s *shard) delete(g *group, now int64) {
	s.takeOut(g)
	s.leave(g, s.remembers, now)
	s.publish(protocol.EventGroupDeleted, g, nil, now)
}

// remove removes a group as if it had never been.
func (s *shard) remove(g *group) {
	s.takeOut(g)
	s.leave(g, false, 0)
}

package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// shard owns the groups that hash to it. Everything in it is guarded by mu.
type shard struct {
	mu      sync.Mutex
	stopped bool
	// reading is true while a group is only read, even if the shard was locked for a change.
	reading bool
	damage  func() // notes that a panic has interrupted a change

	// groups by hash; those with the same hash are chained.
	groups map[uint64]*group
	// mostGroups and mostTopics are the greatest numbers of entries that groups and byTopic have had since they were made.
	mostGroups, mostTopics int
	// last is the group that was found last, nil if there was none.
	last     *group
	lastHash uint64
	// lists holds the groups of each cluster that has any.
	lists map[*Cluster][]*group
	// byTopic holds the groups that have a topic.
	byTopic map[*ends.Topic][]*group
	// departures are the remembered deletions, if remembers is true; shards is the number of shards that share their limit.
	departures departures
	remembers  bool
	shards     int

	// leaving holds the groups that have been removed and of which topics are still in byTopic, the last of each name; nil if there
	// are none.
	leaving map[departedGroup]*leaving

	// scratch is used to rewrite windows.
	scratch window.Scratch

	// read keeps the compiler from leaving reads out.
	read int

	counts shardCounts
	hub    *feed.Hub[protocol.Event]
	room   *room
	// accounted is what room counts for departures and for the maps.
	accounted int

	_ [64]byte // keeps the locks of two shards out of one cache line
}

// shardCounts counts what a shard did.
type shardCounts struct {
	commits [Reasons]uint64
	owners  [Reasons]uint64
	expired uint64 // groups
	swept   uint64 // topics of live groups
	loaded  uint64 // groups
	stuck   uint64 // groups whose fresh commits were refused in a row
}

func (s *shard) init(hub *feed.Hub[protocol.Event], room *room) {
	s.hub, s.room = hub, room
	s.groups = make(map[uint64]*group)
	s.lists = make(map[*Cluster][]*group)
	s.byTopic = make(map[*ends.Topic][]*group)
}

func (s *shard) find(c *Cluster, hash uint64, name string) *group {
	// A group usually commits its partitions one after the other.
	if s.lastHash == hash && s.last != nil && s.last.cluster == c && s.last.name == name {
		return s.last
	}
	g := s.groups[hash]
	for g != nil && (g.cluster != c || g.name != name) {
		g = g.next
	}
	s.last, s.lastHash = g, hash
	return g
}

// findLive is find without the groups that have expired, which it removes.
func (s *shard) findLive(e *Engine, c *Cluster, hash uint64, name string, now int64) *group {
	g := s.find(c, hash, name)
	if g != nil && e.older(g.seen.Load(), now, e.config.ExpireGroup) {
		s.expire(g, now)
		return nil
	}
	return g
}

// publish publishes an event of a group, and of a topic of it if t is not nil.
func (s *shard) publish(kind protocol.EventKind, g *group, t *ends.Topic, now int64) {
	if !s.hub.Watched() {
		return
	}
	event := protocol.Event{Kind: kind, Time: time.UnixMilli(now), Cluster: g.cluster.Name, Group: g.name}
	if t != nil {
		event.Topic = t.Name
	}
	s.hub.Publish(event)
}

// expire removes a group that was not seen for too long.
func (s *shard) expire(g *group, now int64) {
	s.counts.expired++
	s.remove(g)
	s.publish(protocol.EventGroupExpired, g, nil, now)
}

func (s *shard) add(c *Cluster, hash uint64, name string, now int64) *group {
	g := newGroup(c, hash, name)
	s.insert(g, now)
	return g
}

// insert adds a group, but for its topics.
func (s *shard) insert(g *group, now int64) {
	list := s.lists[g.cluster]
	g.next, g.position = s.groups[g.hash], int32(len(list))
	s.groups[g.hash] = g
	if len(s.groups) > s.mostGroups {
		s.mostGroups = len(s.groups)
		s.accountIndexes()
	}
	s.lists[g.cluster] = append(list, g)
	if s.lastHash == g.hash {
		s.last = nil // it may be a group that was replaced
	}
	s.publish(protocol.EventGroupCreated, g, nil, now)
}

// takeOut takes a group out of all but the lists of its topics.
func (s *shard) takeOut(g *group) {
	if s.last == g {
		s.last = nil
	}
	s.room.add(-g.accounted)
	g.gone = true
	if list := s.swapRemove(s.lists[g.cluster], g.position, func(moved *group) *int32 { return &moved.position }); len(list) > 0 {
		s.lists[g.cluster] = list
	} else {
		delete(s.lists, g.cluster)
	}
	if first := s.groups[g.hash]; first == g {
		if g.next != nil {
			s.groups[g.hash] = g.next
		} else {
			delete(s.groups, g.hash)
		}
	} else {
		for first.next != g {
			first = first.next
		}
		first.next = g.next
	}
}

// swapRemove removes the group at a position from a list and puts the last in its place. position returns where a group keeps
// its position in that list.
func (s *shard) swapRemove(list []*group, at int32, position func(*group) *int32) []*group {
	last := len(list) - 1
	if int(at) != last {
		list[at] = list[last]
		*position(list[at]) = at
	}
	list[last] = nil
	list = list[:last]
	if cap(list) > 64 && len(list) < cap(list)/4 {
		list = slices.Clone(list)
	}
	return list
}

// attach adds a topic to a group and returns its index there.
func (s *shard) attach(g *group, t *ends.Topic, now int64) int {
	i := g.attach(t)
	s.list(g, i)
	s.publish(protocol.EventGroupTopicCreated, g, t, now)
	return i
}

// list adds a group to the list of one of its topics.
func (s *shard) list(g *group, i int) {
	t := g.topics[i].topic
	g.topics[i].position = int32(len(s.byTopic[t]))
	s.byTopic[t] = append(s.byTopic[t], g)
	if len(s.byTopic) > s.mostTopics {
		s.mostTopics = len(s.byTopic)
		s.accountIndexes()
	}
}

// detach removes the topic at an index from a group, and the group if it was the last one; it reports whether any is left.
// The kinds are those of the events for both cases.
func (s *shard) detach(g *group, i int, ofTopic, ofGroup protocol.EventKind, now int64) (left bool) {
	s.depart(g, &g.topics[i], now)
	if len(g.topics) == 1 {
		s.remove(g)
		s.publish(ofGroup, g, nil, now)
		return false
	}
	t := g.topics[i].topic
	s.unlist(&g.topics[i])
	g.detach(i)
	s.account(g)
	s.publish(ofTopic, g, t, now)
	return true
}

// detachDeleted is detach for a topic that was deleted.
func (s *shard) detachDeleted(g *group, i int, now int64) (left bool) {
	return s.detach(g, i, protocol.EventGroupTopicDeleted, protocol.EventGroupDeleted, now)
}

// unlist removes a group from the list of one of its topics.
func (s *shard) unlist(gt *groupTopic) {
	t := gt.topic
	list := s.swapRemove(s.byTopic[t], gt.position, func(moved *group) *int32 { return &moved.topicOf(t).position })
	if len(list) == 0 {
		delete(s.byTopic, t)
	} else {
		s.byTopic[t] = list
	}
}

// topicOf returns the part of a group that belongs to a topic that it holds.
func (g *group) topicOf(t *ends.Topic) *groupTopic { return &g.topics[g.find(t.Name)] }

// forgetTopic removes a topic that has left its table from every group. It holds the shard only for some groups at a time: no
// group can get the topic meanwhile.
func (s *shard) forgetTopic(t *ends.Topic, now int64) {
	for s.forgetTopicOfSome(t, now) {
	}
}

// forgetTopicOfSome reports whether there are more groups that hold the topic.
func (s *shard) forgetTopicOfSome(t *ends.Topic, now int64) (more bool) {
	s.mu.Lock()
	defer s.release()
	for range sweepBatch {
		list := s.byTopic[t]
		if len(list) == 0 {
			return false
		}
		g := list[len(list)-1]
		switch at := g.find(t.Name); {
		case g.leaves:
			s.settle(g.cluster, g.name, t.Name)
		case g.arrives:
			s.unlist(&g.topics[at])
			g.detach(at)
		default:
			s.detachDeleted(g, at, now)
		}
	}
	return len(s.byTopic[t]) > 0
}

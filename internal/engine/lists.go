package engine

import (
	"iter"
	"slices"

	"github.com/lagkeeper/storage/internal/ends"
)

// Names are names at one moment.
type Names interface {
	// Strings returns the names; it is not nil.
	Strings() []string
	Len() int
}

// GroupNames are the names of groups at one moment.
type GroupNames struct{ groups []*group }

// All ranges over the names.
func (n GroupNames) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, g := range n.groups {
			if !yield(g.name) {
				return
			}
		}
	}
}

// Strings returns the names; it is not nil.
func (n GroupNames) Strings() []string {
	names := make([]string, len(n.groups))
	for i, g := range n.groups {
		names[i] = g.name
	}
	return names
}

// Len returns the number of names.
func (n GroupNames) Len() int { return len(n.groups) }

// Groups returns the groups of a cluster that have not expired.
func (e *Engine) Groups(c *Cluster) (GroupNames, Reason) {
	return e.list(groupsIn(c))
}

// GroupsOfTopic returns the groups that hold a topic and have not expired, none for an unknown topic.
func (e *Engine) GroupsOfTopic(c *Cluster, topic string) (GroupNames, Reason) {
	t := c.topics.Topic(topic)
	return e.list(func(s *shard) []*group { return s.byTopic[t] })
}

// list collects one list of every shard. A shard is held only while pointers are copied.
func (e *Engine) list(of func(*shard) []*group) (GroupNames, Reason) {
	var groups []*group
	for i := range e.shards {
		var why Reason
		if groups, why = e.shards[i].appendList(groups, of); why != 0 {
			return GroupNames{}, why
		}
	}
	oldest := e.expiry.now() - e.config.ExpireGroup
	live := slices.DeleteFunc(groups, func(g *group) bool { return g.seen.Load() < oldest })
	return GroupNames{live}, 0
}

// groupsIn returns the function that returns the groups of a cluster in a shard.
func groupsIn(c *Cluster) func(*shard) []*group {
	return func(s *shard) []*group { return s.lists[c] }
}

// appendList appends a list of groups. If the shard is stopped, it does so too, and returns Stopped. The room for the list is made
// before the shard is locked, since a list of a million takes longer to allocate than to fill.
func (s *shard) appendList(groups []*group, of func(*shard) []*group) ([]*group, Reason) {
	for {
		appended, needed, why := s.tryAppendList(groups, of)
		if needed == 0 {
			return appended, why
		}
		groups = slices.Grow(groups, needed+needed/8)
	}
}

// manyGroups is the number of groups from which making room while the shard is held would delay others noticeably.
const manyGroups = 4096

// tryAppendList is appendList, unless there is no room for many groups: then it returns how many there are.
func (s *shard) tryAppendList(groups []*group, of func(*shard) []*group) (_ []*group, needed int, why Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := of(s)
	if len(list) > manyGroups && cap(groups)-len(groups) < len(list) {
		return nil, len(list), 0
	}
	if s.stopped {
		why = Stopped
	}
	return append(groups, list...), 0, why
}

// TopicNames are the names of topics at one moment.
type TopicNames struct{ topics []*ends.Topic }

// All ranges over the names.
func (n TopicNames) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range n.topics {
			if !yield(t.Name) {
				return
			}
		}
	}
}

// Strings returns the names; it is not nil.
func (n TopicNames) Strings() []string {
	names := make([]string, len(n.topics))
	for i, t := range n.topics {
		names[i] = t.Name
	}
	return names
}

// Len returns the number of names.
func (n TopicNames) Len() int { return len(n.topics) }

// Topics returns the topics of a cluster.
func (e *Engine) Topics(c *Cluster) (TopicNames, Reason) {
	if e.stopped.Load() {
		return TopicNames{}, Stopped
	}
	return TopicNames{c.topics.Topics(nil)}, 0
}

package engine

import "strings"

// A group that was deleted may be in the part of the log that a replay reads again. So that its commits do not bring it
// back after a restart, a snapshot tells how far they are known, and the shard keeps that for as long as the commits could
// be taken for anything but too old.

// departedGroup names a group that was deleted, or that lost its last topic.
type departedGroup struct {
	cluster *Cluster
	name    string
}

// departure is what remains of a group: maxOrder and knownUntil as in group.
type departure struct {
	maxOrder, knownUntil int64
	seen                 int64
}

// departFor remembers a group that was removed. What it knew from a snapshot is no longer in force: whoever deletes a group
// wants to begin with whatever comes next.
func (s *shard) departFor(g *group) {
	s.depart(g.cluster, g.name, departure{maxOrder: g.maxOrder, seen: g.seen.Load()})
}

func (s *shard) depart(c *Cluster, name string, d departure) {
	if d.maxOrder <= 0 {
		return
	}
	if s.departed == nil {
		s.departed = make(map[departedGroup]departure)
	}
	s.departed[departedGroup{c, strings.Clone(name)}] = d
}

// rejoin gives a new group what it knew when it was deleted.
func (s *shard) rejoin(g *group) {
	if len(s.departed) == 0 {
		return
	}
	key := departedGroup{g.cluster, g.name}
	if d, ok := s.departed[key]; ok {
		g.maxOrder, g.knownUntil = d.maxOrder, d.knownUntil
		delete(s.departed, key)
	}
}

// forgetDeparted forgets the groups that would have expired by now.
func (s *shard) forgetDeparted(limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, d := range s.departed {
		if d.seen < limit {
			delete(s.departed, key)
		}
	}
}

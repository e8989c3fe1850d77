package engine

import (
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// Loader loads a snapshot into an engine: it is a snapshot.Sink. What the engine's configuration excludes is left out:
// clusters that are not configured, names that are too long, groups that the filters refuse or that have expired, commits
// beyond the window or out of order. An existing group or topic of the same name is replaced. It changes times in the records
// that are later than now to now.
//
// A Loader is used by one goroutine; several may load into one engine at once.
type Loader struct {
	engine  *Engine
	builder builder
	Loaded
}

// Loaded counts what was not loaded.
type Loaded struct {
	// Skipped counts the groups and topics that were left out, Departed the records of deletions, which are no groups.
	Skipped, Departed int
	// Full counts those of Skipped for which there was no room.
	Full int
}

// Add adds the counts of another Loader.
func (l *Loaded) Add(other Loaded) {
	l.Skipped += other.Skipped
	l.Departed += other.Departed
	l.Full += other.Full
}

// Abandon publishes the removal of everything that was loaded. The engine must not be used any more.
func (e *Engine) Abandon() {
	if !e.config.Hub.Watched() {
		return
	}
	for _, c := range e.clusters.Load().all {
		_ = e.RemoveCluster(c.Name) // it is there
	}
}

// Loader makes a Loader.
func (e *Engine) Loader() *Loader { return &Loader{engine: e, builder: builder{engine: e}} }

// WriteTopic takes a topic.
func (l *Loader) WriteTopic(r *snapshot.Topic) error {
	e := l.engine
	c := e.Cluster(r.Cluster)
	if c == nil || len(r.Name) > MaxName {
		l.Skipped++
		return nil
	}
	now := e.config.Clock.Now()
	t, err := e.buildTopic(c, r, now)
	if err != nil {
		return err
	}
	// Stop waits for callers that change topics.
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return Stopped
	}
	defer e.room.reserve()()
	if _, bytes := t.Size(); !e.room.fits(bytes) {
		l.Full++
		l.Skipped++
		return nil
	}
	e.loaded.Add(1)
	if replaced := c.topics.Put(t, now); replaced != nil {
		e.forgetTopic(replaced)
	}
	return nil
}

// WriteGroup takes a group.
func (l *Loader) WriteGroup(r *snapshot.Group) error {
	e := l.engine
	c := e.Cluster(r.Cluster)
	now := e.config.Clock.Now()
	if c == nil || len(r.Name) > MaxName || !e.admits(r) {
		if r.IsDeletion() {
			l.Departed++
		} else {
			l.Skipped++
		}
		return nil
	}
	if r.IsDeletion() {
		l.Departed++
		return e.loadDeparture(c, r, now)
	}
	g, err := l.builder.group(c, r, now)
	if err != nil {
		return err
	}
	defer e.room.reserve()()
	placed, why := e.place(g, now, true)
	if why == Full {
		l.Full++
		why = 0
	}
	if !placed && why == 0 {
		l.Skipped++
	}
	return why.Err()
}

// admits reports whether the configuration accepts a group, and it has not expired.
func (e *Engine) admits(r *snapshot.Group) bool {
	return max(r.LastCommit, r.LastOwner) >= e.expiry.now()-e.config.ExpireGroup &&
		(e.config.Accept == nil || e.config.Accept(r.Name))
}

func (e *Engine) loadDeparture(c *Cluster, r *snapshot.Group, now int64) error {
	hash := c.hash(r.Name)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		return Stopped
	}
	s.loadDeparture(c, s.find(c, hash, r.Name), r, e.replay.Load(), now)
	return nil
}

// place puts a group that was built aside into its shard, in the place of the one of its name: whoever looks or commits
// meanwhile finds one or the other, whole. It reports false, and changes nothing, if the cluster knows none of its topics, or if it is
// limited to the room that there is and that is not enough.
func (e *Engine) place(g *group, now int64, limited bool) (bool, Reason) {
	for i := len(g.topics) - 1; i >= 0; i-- {
		if t := g.cluster.topics.Topic(g.topics[i].topic.Name); t != nil {
			g.topics[i].topic = t
		} else {
			g.detach(i)
		}
	}
	if g.byName != nil {
		g.nameTopics() // with the strings of the topics, which exist anyway
	}
	s := e.shard(g.hash)
	defer s.drain()
	if limited && len(g.topics) > manyTopics && !e.room.fits(g.bytes()+s.growthOf(g)) {
		return false, Full
	}
	seen := s.arrive(g, false)
	arrived := g.arrives
	placed, why := e.placeIn(s, g, seen, now, limited)
	if placed && arrived {
		for through := len(g.topics); through > 0; {
			through = s.forgetReturnedSome(g, through)
		}
	}
	return placed, why
}

// placeIn is place for a group that has arrived at its shard.
func (e *Engine) placeIn(s *shard, g *group, seen, now int64, limited bool) (bool, Reason) {
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		s.turnAway(g)
		return false, Stopped
	}
	for i := len(g.topics) - 1; i >= 0 && !g.arrives; i-- {
		// Whoever deletes a topic marks it before coming to this shard.
		if g.topics[i].topic.Deleted() {
			g.detach(i)
		}
	}
	if limited && !g.arrives && !e.room.fits(g.bytes()+s.mapGrowth(s.unlisted(g.topics))) {
		return false, Full
	}
	if len(g.topics) == 0 || g.cluster.removed.Load() {
		s.turnAway(g)
		return false, 0
	}
	if old := s.find(g.cluster, g.hash, g.name); old != nil {
		s.remove(old)
		s.publish(protocol.EventGroupDeleted, old, nil, now)
	}
	g.replay = e.replay.Load()
	arrived := g.arrives
	s.receive(g, seen, now)
	if !arrived {
		s.forgetReturned(g)
	}
	s.accountIndexes()
	s.counts.loaded++
	return true, 0
}

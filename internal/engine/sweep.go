package engine

import (
	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/shrink"
	"github.com/lagkeeper/storage/protocol"
)

// sweepBatch is the number of groups that are visited, and about the number of topics that are removed from groups, while a
// shard is held.
const sweepBatch = 256

// Sweep removes expired groups, and from the others the topics that were not committed for too long, and gives back memory
// that groups do not use. It holds a shard only for a few groups at a time.
func (e *Engine) Sweep() {
	defer e.sweeps.Add(1)
	e.sweepGroups(e.newTrimming())
	// After the groups: an expired group is published as such.
	e.sweepTopics()
	for i := range e.shards {
		e.shards[i].drain()
		e.shards[i].shrink()
	}
	for _, c := range e.clusters.Load().all {
		c.topics.Shrink()
	}
}

// sweepGroups is Sweep for groups, from the shard on in which the last sweep had nothing left to trim.
func (e *Engine) sweepGroups(trimming *trimming) {
	var wasteful []*group
	clusters := e.clusters.Load().all
	first := int(e.trimFrom.Load())
	for k := range e.shards {
		i := (first + k) % len(e.shards)
		s := &e.shards[i]
		for s.forgetDeparted(e.expiry.now() - e.config.ExpireGroup) {
		}
		for _, c := range clusters {
			// A removed group leaves its place to the last one of the list. Going downwards, that one has been visited.
			for at := -1; at != 0; {
				at, wasteful = e.sweepBatch(s, c, at, wasteful[:0])
				for _, g := range wasteful {
					s.trim(g, i, trimming)
				}
			}
		}
	}
	e.trimFrom.Store(int64(max(trimming.stopped, 0)))
}

// sweepTopics removes the topics whose end offsets nobody polls any more, and restored ones that were not polled since. That
// means something only while other topics of the cluster are polled: if the brokers cannot be reached, or the application
// does not poll, no topic is known to be deleted.
func (e *Engine) sweepTopics() {
	for _, c := range e.clusters.Load().all {
		for _, t := range c.topics.Topics(nil) {
			t.PolledBy(e.config.Clock.Now())
			if !e.gone(c, t) {
				continue
			}
			if !e.removeTopic(t, func() bool { return c.topics.Expire(t, func(t *ends.Topic) bool { return e.gone(c, t) }) }) {
				continue
			}
			e.sweptTopics.Add(1)
		}
	}
}

// gone reports whether a topic was not polled for too long.
func (e *Engine) gone(c *Cluster, t *ends.Topic) bool {
	at, unconfirmed := t.LastPolled()
	if at == 0 {
		return false // it is being created
	}
	others := c.polledAt.Load()
	now := e.expiry.now()
	if others == 0 || now-c.polledSince.Load() < min(pollRound, e.outage()/20) {
		return false // its turn may be still to come
	}
	if unconfirmed && e.config.ReplayTimeout > 0 && now-at > e.config.ReplayTimeout {
		return true
	}
	// The clock may have leapt between the last poll of this topic and its next turn.
	return others-at > e.config.ExpireTopic && now-at > e.config.ExpireTopic
}

// pollRound is how many milliseconds the first round of polls may take to come to each topic, after no topic of a cluster was
// polled for long.
const pollRound = 30_000

// clockNoise is by how many milliseconds a later reading may be below an earlier one although nobody has set the clock back:
// some readings are coarse.
const clockNoise = 1000

// outage is how many milliseconds without any poll make an interruption, after which a topic could look deleted.
func (e *Engine) outage() int64 {
	if e.config.ReplayTimeout > 0 {
		return min(e.config.ReplayTimeout, e.config.ExpireTopic)
	}
	return e.config.ExpireTopic
}

// removeTopic removes a topic from every group if remove has removed it from its table, and reports whether it has.
func (e *Engine) removeTopic(t *ends.Topic, remove func() bool) bool {
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() || !remove() {
		return false
	}
	e.forgetTopic(t)
	return true
}

// shrink gives back what the maps of a shard keep after they have held much more.
func (s *shard) shrink() {
	s.mu.Lock()
	defer s.release()
	s.groups, s.mostGroups = shrink.Map(s.groups, s.mostGroups)
	s.byTopic, s.mostTopics = shrink.Map(s.byTopic, s.mostTopics)
	s.accountIndexes()
}

// sweepBatch visits the groups of a list below an index (from its end for -1), and returns the index at which it stopped. It
// appends the groups with memory that they do not use.
func (e *Engine) sweepBatch(s *shard, c *Cluster, below int, wasteful []*group) (int, []*group) {
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		return 0, wasteful
	}
	now, expiry := e.config.Clock.Now(), e.expiry.now()
	at := len(s.lists[c])
	if below >= 0 {
		at = min(at, below)
	}
	until := max(at-sweepBatch, 0)
	for room := sweepBatch; at > until && room > 0; {
		at--
		g := s.lists[c][at]
		left, more := e.sweepGroup(s, g, now, expiry, &room)
		if more {
			return at + 1, wasteful
		}
		if left && (g.memory.narrowable || g.memory.wasteful()) {
			wasteful = append(wasteful, g)
		}
	}
	return at, wasteful
}

// sweepGroup reports whether the group is left, and whether there is more of it to be swept: it takes out as many topics as there
// is room for, and lowers room by what it did. What is too old is too old by the expiry time. What was seen later than now was
// seen by a clock that was ahead and has been set back, and counts from now on.
func (e *Engine) sweepGroup(s *shard, g *group, now, expiry int64, room *int) (left, more bool) {
	if g.seen.Load() > now {
		g.seen.Store(now)
	}
	if g.seen.Load() < expiry-e.config.ExpireGroup {
		*room -= len(g.topics)
		s.expire(g, now)
		return false, false
	}
	for i := len(g.topics) - 1; i >= 0; i-- {
		g.topics[i].seen = min(g.topics[i].seen, now)
		if g.topics[i].seen >= expiry-e.config.ExpireTopic {
			continue
		}
		if *room <= 0 {
			return true, true
		}
		*room--
		if !s.detach(g, i, protocol.EventGroupTopicExpired, protocol.EventGroupExpired, now) {
			s.counts.expired++
			return false, false
		}
		s.counts.swept++
	}
	return true, false
}

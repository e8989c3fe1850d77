package engine

import "github.com/lagkeeper/storage/protocol"

// sweepBatch is how many groups are looked at while a shard is held.
const sweepBatch = 256

// Sweep removes the groups that have expired, and from those that live the topics that were not committed for too long.
// It holds a shard only for a few groups at a time.
func (e *Engine) Sweep() {
	defer e.sweeps.Add(1)
	for i := range e.shards {
		for cluster := range e.names {
			// A removed group leaves its place to the last of the list, which from the end downwards has been seen.
			for at := e.sweepBatch(&e.shards[i], cluster, -1); at > 0; {
				at = e.sweepBatch(&e.shards[i], cluster, at)
			}
		}
	}
}

// sweepBatch looks at the groups of a list below an index (from its end for -1), and returns the index at which it
// stopped.
func (e *Engine) sweepBatch(s *shard, cluster, below int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return 0
	}
	now := e.config.Clock.Now()
	at := len(s.lists[cluster])
	if below >= 0 {
		at = min(at, below)
	}
	until := max(at-sweepBatch, 0)
	for at > until {
		at--
		e.sweepGroup(s, s.lists[cluster][at], now)
	}
	return at
}

func (e *Engine) sweepGroup(s *shard, g *group, now int64) {
	if g.seen.Load() < now-e.config.ExpireGroup {
		s.expire(g, now)
		return
	}
	for i := len(g.topics) - 1; i >= 0; i-- {
		if g.topics[i].seen < now-e.config.ExpireTopic {
			s.counts.swept++
			if !s.detach(g, i, protocol.EventGroupTopicExpired, protocol.EventGroupExpired, now) {
				return
			}
		}
	}
}

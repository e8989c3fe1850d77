package engine

import (
	"math"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// What a module whose groups are kept elsewhere does group by group, while an engine with all groups does it by itself: see
// portable.go.

// Table returns the end offsets of the cluster.
func (c *Cluster) Table() *ends.Table { return c.topics }

// LoseDeleted removes the deleted topics from a group, and reports whether there were any.
func (e *Engine) LoseDeleted(c *Cluster, name string) (lost bool) {
	e.withGroup(c, name, func(s *shard, g *group, now int64) Reason {
		for i := len(g.topics) - 1; i >= 0; i-- {
			if !g.topics[i].topic.Deleted() {
				continue
			}
			lost = true
			if !s.detachDeleted(g, i, now) {
				break
			}
		}
		return 0
	})
	return lost
}

// SweepGroup removes a group if it has expired, or else its topics that were not committed for too long. It reports whether
// it removed anything.
func (e *Engine) SweepGroup(c *Cluster, name string) (removed bool) {
	hash := c.hash(name)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.release()
	g := s.find(c, hash, name)
	if s.stopped || g == nil {
		return false
	}
	topics, all := len(g.topics), math.MaxInt
	left, _ := e.sweepGroup(s, g, e.config.Clock.Now(), e.expiry.now(), &all)
	return !left || len(g.topics) < topics
}

// OldestGroup and OldestTopic return the time in Unix milliseconds before which a group, or a topic of one, must last have
// been seen to have expired.
func (e *Engine) OldestGroup() int64 { return e.expiry.now() - e.config.ExpireGroup }

func (e *Engine) OldestTopic() int64 { return e.expiry.now() - e.config.ExpireTopic }

// ForgetGroupOrders is ForgetOrders for one group. It reports whether the group exists.
func (e *Engine) ForgetGroupOrders(c *Cluster, name string) bool {
	return e.withGroup(c, name, func(s *shard, g *group, _ int64) Reason {
		g.known, g.refused = nil, 0
		for slot := range uint32(len(g.memory.slots)) {
			g.forgetOrder(slot, &s.scratch)
		}
		s.account(g)
		return 0
	}) == 0
}

// KnowOrders makes a duplicate of every commit that is not newer than the newest of its partition, since the log is read
// again. It reports whether the group exists.
func (e *Engine) KnowOrders(c *Cluster, name string) bool {
	return e.withGroup(c, name, func(s *shard, g *group, _ int64) Reason {
		for slot := range uint32(len(g.memory.slots)) {
			if w := g.windowOf(slot); w != nil && w.Len() > 0 {
				g.setKnown(slot, w.NewestOrder())
			}
		}
		s.account(g)
		return 0
	}) == 0
}

// Relag gives commits of a group that were just stored the lag, and their windows the incarnation, of the end offsets as they
// are now: these had changed before the commits came, which the caller did not know.
func (e *Engine) Relag(c *Cluster, name string, stored []protocol.Commit) {
	e.withGroup(c, name, func(s *shard, g *group, _ int64) Reason {
		for i := range stored {
			if at := g.find(stored[i].Topic); at >= 0 {
				relag(g, &g.topics[at], &stored[i], &s.scratch)
			}
		}
		s.account(g)
		return 0
	})
}

func relag(g *group, gt *groupTopic, c *protocol.Commit, scratch *window.Scratch) {
	end, incarnation, ok := gt.topic.Newest(c.Partition)
	w, slot := g.windowAt(gt, c.Partition)
	if !ok || w == nil {
		return
	}
	commits := w.AppendTo(nil)
	for i := range commits {
		if to := &commits[i]; to.LagKnown && to.Offset == c.Offset && (c.Order <= 0 || to.Order == c.Order) {
			to.Lag = distance(c.Offset, end)
		}
	}
	if needed := w.Rewrite(commits, scratch); needed > 0 {
		w = g.memory.resize(slot, needed, false, scratch)
	}
	if w.Len() > 0 && w.NewestOffset() == c.Offset {
		setIncarnation(w, incarnation)
	}
}

// NotePolled notes when an end offset of any topic of a cluster was last taken, by any process, in Unix milliseconds.
func (e *Engine) NotePolled(c *Cluster, at int64) {
	if before := c.polledAt.Load(); at > before {
		e.notePolled(c, before, at)
	}
}

func (e *Engine) notePolled(c *Cluster, before, now int64) {
	if before == 0 || now-before > e.outage() || before-now > clockNoise {
		c.polledSince.Store(now)
	}
	c.polledAt.Store(now)
}

// ExpireTopic removes a topic whose end offsets nobody polls any more, and reports whether it did.
func (e *Engine) ExpireTopic(c *Cluster, name string) bool {
	t := c.topics.Topic(name)
	if t == nil {
		return false
	}
	t.PolledBy(e.config.Clock.Now())
	return e.gone(c, t) && c.topics.Expire(t, func(t *ends.Topic) bool { return e.gone(c, t) })
}

package engine

import (
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// late handles a commit that is not newer than the newest of its window.
func (e *Engine) late(s *shard, at *place, slot uint32, w window.Window, c *protocol.StoredCommit, now int64) Reason {
	g := at.group
	// min-distance keeps the timestamp of the commit that was replaced.
	fresh := c.Timestamp > w.NewestTimestamp() && !tooClose(w.NewestTimestamp(), c.Timestamp, e.config.MinDistance)
	why := Duplicate
	if !g.knows(slot, c.Order) {
		why = e.insert(s, g, slot, w, c, now)
	}
	if why != 0 && fresh && g.refused < refusedInRow {
		if g.refused++; g.refused == refusedInRow {
			s.counts.stuck++
			at.stuck = true
		}
	}
	return why
}

// refusedInRow is the number of successive fresh commits of a group that must be refused to show that its orders have begun
// anew. A second feeder of the same commits, or a replay, sends no fresh ones.
const refusedInRow = 10

// reportStuck reports a group whose fresh commits are refused. It must be called without a lock.
func (e *Engine) reportStuck(c *Cluster, group string) {
	if e.config.Stuck != nil {
		e.config.Stuck(c.Name, group)
	}
}

// insert stores a commit that is not newer than the newest in the place of its order.
func (e *Engine) insert(s *shard, g *group, slot uint32, w window.Window, c *protocol.StoredCommit, now int64) Reason {
	// Windows of usual size are decoded on the stack.
	var few [64]protocol.StoredCommit
	commits := w.AppendTo(few[:0])
	if futureIn(commits, now) {
		clampTimes(commits, e.config.Clock.Now())
	}
	full := len(commits) == e.config.Intervals
	if full && c.Order <= commits[0].Order {
		return Backfill
	}
	i := len(commits)
	for i > 0 && commits[i-1].Order > c.Order {
		i--
	}
	switch {
	case i > 0 && commits[i-1].Order == c.Order:
		return Duplicate
	case i > 0 && tooClose(commits[i-1].Timestamp, c.Timestamp, e.config.MinDistance):
		c.Timestamp = commits[i-1].Timestamp
		commits[i-1] = *c
	case full:
		copy(commits, commits[1:i])
		commits[i-1] = *c
	default:
		commits = append(commits, protocol.StoredCommit{})
		copy(commits[i+1:], commits[i:])
		commits[i] = *c
	}
	if needed := w.Rewrite(commits, &s.scratch); needed > 0 {
		g.memory.resize(slot, roomFor(needed, len(commits), e.config.Intervals), false, &s.scratch)
	}
	return 0
}

// tooClose reports whether a commit is dated less than distance milliseconds after the one before it, or earlier.
func tooClose(before, at, distance int64) bool {
	return at < before || uint64(at)-uint64(before) < uint64(distance)
}

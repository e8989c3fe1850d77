package engine

import (
	"slices"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// No window holds a commit that is dated later than now: the commits after it would seem to come before it, and the window
// would stand still until the clock had passed it. Such dates come with commits from senders whose clock is ahead, from
// snapshots and imports, and from a clock of our own that was ahead and has been set back.

// futureIn reports whether a commit is dated or observed later than now.
func futureIn(commits []protocol.StoredCommit, now int64) bool {
	return slices.ContainsFunc(commits, func(c protocol.StoredCommit) bool {
		return c.Timestamp > now || c.ObservedTimestamp > now
	})
}

// clampTimes sets times later than now to now.
func clampTimes(commits []protocol.StoredCommit, now int64) {
	for i := range commits {
		c := &commits[i]
		c.Timestamp, c.ObservedTimestamp = min(c.Timestamp, now), min(c.ObservedTimestamp, now)
	}
}

// noneAfter is clampTimes for a window, and returns where that is afterwards.
func (e *Engine) noneAfter(s *shard, g *group, slot uint32, w window.Window, now int64) window.Window {
	if w.Len() == 0 || w.NewestTimestamp() <= now {
		return w
	}
	commits := w.AppendTo(nil)
	clampTimes(commits, now)
	if needed := w.Rewrite(commits, &s.scratch); needed > 0 {
		w = g.memory.resize(slot, roomFor(needed, len(commits), e.config.Intervals), false, &s.scratch)
	}
	return w
}

// clampEndOffsets sets the times of a record's end offsets that are later than now to now.
func clampEndOffsets(r *snapshot.Topic, now int64) {
	for i := range r.Partitions {
		ends := r.Partitions[i].EndOffsets
		for j := range ends {
			ends[j].Timestamp = min(ends[j].Timestamp, now)
		}
	}
}

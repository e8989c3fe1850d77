package prometheus

import (
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
)

// topicSum is what the partitions of a topic amount to. Times are milliseconds.
type topicSum struct {
	states [len(stateLabels)]int

	lag        float64
	lagKnown   bool // of at least one partition
	lagAtLeast bool // the lag of some partition is missing

	// time is the greatest lag in time. The truth lies from timeLeast to timeMost, unless it is a lower bound.
	time, timeLeast, timeMost int64
	timeKnown, timeAtLeast    bool

	commitAge, endAge     int64
	commitKnown, endKnown bool

	lost, beyondEnd float64
}

func (t *topicSum) add(g *protocol.GroupPartition, now int64) {
	t.states[stateIndex(g.State)]++
	if trusted(g) {
		t.lag += float64(max(g.Difference, 0))
		t.lagKnown = true
		t.addTime(g.TimeLag)
	} else if mayLag(g) {
		t.lagAtLeast, t.timeAtLeast = true, true
	}
	if g.State == protocol.PartitionRestored {
		return
	}
	if age := trend.Freshness(g.Commits, now); age.Known {
		if !t.commitKnown || age.Millis < t.commitAge {
			t.commitAge = age.Millis
		}
		t.commitKnown = true
	}
	if g.EndOffsetAge >= 0 {
		t.endAge = max(t.endAge, g.EndOffsetAge)
		t.endKnown = true
	}
	t.lost += float64(g.Lost)
	t.beyondEnd += float64(beyondEnd(g))
}

// mayLag reports whether there may be something to read on a partition whose lag is not known. Without a commit there is
// nothing if nothing was ever written, if all of it has been deleted, or if no end offset is known either.
func mayLag(g *protocol.GroupPartition) bool {
	if g.State != protocol.PartitionNoCommit {
		return true
	}
	n := len(g.EndOffsets)
	return n > 0 && g.EndOffsets[n-1] > max(g.LogStartOffset, 0)
}

// addTime takes the greatest of several estimates, and what the greatest of the truths can be.
func (t *topicSum) addTime(l protocol.TimeLag) {
	margin := l.Error
	switch l.Kind {
	case protocol.TimeLagUnknown:
		t.timeAtLeast = true
		return
	case protocol.TimeLagAtLeast:
		t.timeAtLeast = true
		margin = 0
	}
	if !t.timeKnown {
		t.timeKnown = true
		t.time, t.timeLeast, t.timeMost = l.Milliseconds, l.Milliseconds-margin, l.Milliseconds+margin
		return
	}
	t.time = max(t.time, l.Milliseconds)
	t.timeLeast = max(t.timeLeast, l.Milliseconds-margin)
	t.timeMost = max(t.timeMost, l.Milliseconds+margin)
}

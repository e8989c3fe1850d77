package prometheus

import (
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
)

// topicSum is the sum over the partitions of a topic, except for the lags, which package status sums.
type topicSum struct {
	states [len(states)]int

	commitAge, endAge     time.Duration
	commitKnown, endKnown bool

	lost, beyondEnd float64
}

func (t *topicSum) add(g *protocol.GroupPartition, now time.Time) {
	t.states[stateIndex(g.State)]++
	if g.State == protocol.PartitionRestored {
		return
	}
	if age := trend.Freshness(g.Commits, now); age.Known {
		if !t.commitKnown || age.Length < t.commitAge {
			t.commitAge = age.Length
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

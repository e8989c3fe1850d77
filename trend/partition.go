package trend

import (
	"math"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// OfPartition works out everything about a group on one partition of a typed answer, as of now: the TakenAt of the
// answer.
//
// The rate of production comes from the end offsets of the answer that have a time (TimedEndOffsets), which reach a few
// polls back. What was before the oldest of them is taken from the commits: a commit whose lag is known shows which end
// offset the store knew when it took the commit. What is known so is as coarse as the polls: with three polls or fewer in the
// time that the commits span, take the rate of production for a hint.
//
// If the partition was recreated or truncated since the newest commit (protocol.PartitionReset), what the group did before
// says nothing: only Freshness is known. Nor is there a CatchUp for a group that is behind, unless both rates come from three
// commits and end offsets or more.
func OfPartition(p *protocol.GroupPartition, now time.Time) Trend {
	if p.State == protocol.PartitionReset {
		return Trend{Freshness: Freshness(p.Commits, now)}
	}
	var few [64]protocol.TimedEndOffset
	commits, ends := observed(p, few[:0])
	t := Of(commits, ends, now)
	if t.CatchUp.Length > 0 && min(len(commits), len(ends)) < meaningful {
		t.CatchUp = Duration{}
	}
	return t
}

// meaningful is from how many commits and end offsets on a rate is good enough to predict by: two make a rate, but
// that may be chance.
const meaningful = 3

// observed returns the commits and the end offsets of a partition that belong to one incarnation, as far as is known;
// the end offsets are appended to dst.
func observed(p *protocol.GroupPartition, dst []protocol.TimedEndOffset) ([]protocol.StoredCommit, []protocol.TimedEndOffset) {
	commits, ends := p.Commits, dst
	polled := int64(math.MinInt64) // the last end offset that a commit lay below, and so certainly one that was seen
	for i := range p.Commits {
		end, at, ok := endAtCommit(&p.Commits[i])
		if !ok {
			continue
		}
		if p.Commits[i].Lag > 0 {
			if end < polled {
				// The end offset went back: here begins another incarnation.
				commits, ends = p.Commits[i:], dst
			}
			polled = end
		}
		if len(p.TimedEndOffsets) > 0 && at >= p.TimedEndOffsets[0].Time.UnixMilli() {
			continue // from here on the store has measured
		}
		// A group that is ahead of the polls knows better than the next poll that the answer has.
		if len(ends) == 0 || end >= ends[len(ends)-1].Offset {
			ends = append(ends, protocol.TimedEndOffset{Offset: end, Time: time.UnixMilli(at)})
		}
	}
	return commits, append(ends, p.TimedEndOffsets...)
}

// endAtCommit is the end offset that the store knew when it took a commit and when that was, and false if the lag of the
// commit does not show it. A commit at or above the end offset shows that the end is no further back. One that is read again
// long after it was made, as after a restart, has the lag of that later moment: the later of its two times counts.
func endAtCommit(c *protocol.StoredCommit) (end, at int64, ok bool) {
	end = int64(uint64(c.Offset) + c.Lag)
	if !c.LagKnown || end < c.Offset {
		return 0, 0, false
	}
	return end, max(c.Timestamp, c.ObservedTimestamp), true
}

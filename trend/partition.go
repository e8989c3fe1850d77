package trend

import (
	"math"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// OfPartition computes the trend of a group on one partition of a typed answer, as of now: the TakenAt of the answer.
//
// The rate of production comes from the end offsets of the answer that have a time (TimedEndOffsets), which reach a few polls
// back. End offsets from before the oldest of them come from the commits: a commit whose lag is known shows which end offset
// the store knew when it took the commit. These are as coarse as the polls: if there are three polls or fewer in the time
// that the commits span, the rate of production is only a hint.
//
// If the partition was recreated or truncated since the newest commit (protocol.PartitionReset), what the group did before
// means nothing, and only Freshness is known. If the group is behind, CatchUp is known only if both rates come from at least
// three commits and end offsets.
func OfPartition(p *protocol.GroupPartition, now time.Time) Trend {
	rates := RatesOfPartition(p, now)
	return Trend{
		Consumed: rates.Consumed, Produced: rates.Produced, CatchUp: rates.CatchUp,
		Lag: DirectionOfPartition(p), Freshness: Freshness(p.Commits, now),
	}
}

// Rates are how fast a group and its producers move on a partition.
type Rates struct {
	Consumed, Produced Rate
	CatchUp            Duration
}

// RatesOfPartition is OfPartition without where the lag goes, which takes most of its time.
func RatesOfPartition(p *protocol.GroupPartition, now time.Time) Rates {
	if p.State == protocol.PartitionReset {
		return Rates{}
	}
	var few [few]end
	commits, ends := observed(p, few[:0])
	r := Rates{Consumed: Consumption(commits, now), Produced: production(ends)}
	if len(commits) > 0 && len(ends) > 0 {
		r.CatchUp = CatchUp(commits[len(commits)-1].Offset, ends[len(ends)-1].offset, r.Consumed, r.Produced)
	}
	if r.CatchUp.Length > 0 && min(len(commits), len(ends)) < meaningful {
		r.CatchUp = Duration{}
	}
	return r
}

// DirectionOfPartition is the Lag of OfPartition.
func DirectionOfPartition(p *protocol.GroupPartition) Direction {
	if p.State == protocol.PartitionReset {
		return Unknown
	}
	var few [few]end
	commits, ends := observed(p, few[:0])
	return directionOf(commits, ends)
}

// meaningful is the number of commits or end offsets from which a rate is good enough to predict by: two give a rate too, but
// it may be chance.
const meaningful = 3

// observed returns the commits and end offsets of a partition that belong to one incarnation, as far as is known;
// the end offsets are appended to dst.
func observed(p *protocol.GroupPartition, dst []end) ([]protocol.StoredCommit, []end) {
	commits, ends := p.Commits, dst
	polled := int64(math.MinInt64)   // the last end offset above a commit, and so certainly a polled one
	measured := int64(math.MaxInt64) // when TimedEndOffsets begins
	if len(p.TimedEndOffsets) > 0 {
		measured = p.TimedEndOffsets[0].Time.UnixMilli()
	}
	for i := range p.Commits {
		offset, at, ok := endAtCommit(&p.Commits[i])
		if !ok {
			continue
		}
		if p.Commits[i].Lag > 0 {
			if offset < polled {
				// The end offset went back: another incarnation begins.
				commits, ends = p.Commits[i:], dst
			}
			polled = offset
		}
		if at >= measured {
			continue
		}
		// A group that is ahead of the polls knows the end better than the next poll in the answer.
		if len(ends) == 0 || offset >= ends[len(ends)-1].offset {
			ends = append(ends, end{offset, at})
		}
	}
	return commits, appendEnds(ends, p.TimedEndOffsets)
}

// endAtCommit returns the end offset that the store knew when it took a commit, and when that was; false if the lag of the
// commit does not show it. A commit at or above the end offset shows only that the end is no further back. A commit that is
// read again long after it was made, as after a restart, has the lag of that later moment, so the later of its two times
// counts.
func endAtCommit(c *protocol.StoredCommit) (end, at int64, ok bool) {
	end = int64(uint64(c.Offset) + c.Lag)
	if !c.LagKnown || end < c.Offset {
		return 0, 0, false
	}
	return end, max(c.Timestamp, c.ObservedTimestamp), true
}

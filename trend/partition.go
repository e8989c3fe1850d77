package trend

import (
	"math"

	"github.com/lagkeeper/storage/protocol"
)

// OfPartition is everything there is to tell of a group on one partition of a typed answer, as of now, the moment of the
// fetch.
//
// The answer has the time of the newest end offset alone (EndOffsetAge). Those before are taken from the commits: a commit
// whose lag is known tells which end offset the store knew when it took the commit. What is told so is as coarse as the
// polls: with three polls or fewer in the time that the commits span, take the rate of production for a hint.
//
// Where the partition was recreated or truncated since the newest commit (protocol.PartitionReset), what the group did
// before says nothing: only Freshness is told. Nor is there a CatchUp for a group that is behind, unless both rates come from
// three commits and end offsets or more.
func OfPartition(p *protocol.GroupPartition, now int64) Trend {
	if p.State == protocol.PartitionReset {
		return Trend{Freshness: Freshness(p.Commits, now)}
	}
	var few [64]EndOffset
	commits, ends := observed(p, now, few[:0])
	t := Of(commits, ends, now)
	if t.CatchUp.Millis > 0 && min(len(commits), len(ends)) < meaningful {
		t.CatchUp = Duration{}
	}
	return t
}

// meaningful is from how many commits and end offsets on a rate is good enough to tell the future by: two make a rate, but
// nothing says that it was not chance.
const meaningful = 3

// observed returns the commits and the end offsets of a partition that belong to one incarnation, as far as can be told;
// the end offsets are appended to dst.
func observed(p *protocol.GroupPartition, now int64, dst []EndOffset) ([]protocol.StoredCommit, []EndOffset) {
	commits, ends := p.Commits, dst
	newest, known := newestEnd(p, now)
	polled := int64(math.MinInt64) // the last end offset that a commit lay below, and so certainly one that was seen
	for i := range p.Commits {
		end, ok := endAtCommit(&p.Commits[i])
		if !ok || known && end.Timestamp >= newest.Timestamp {
			continue // the store knew no more then than the newest end offset tells
		}
		if p.Commits[i].Lag > 0 {
			if end.Offset < polled {
				// The end offset went back: here begins another incarnation.
				commits, ends = p.Commits[i:], dst
			}
			polled = end.Offset
		}
		// A group that is ahead of the polls knows better than the next poll that it is told of.
		if len(ends) == 0 || end.Offset >= ends[len(ends)-1].Offset {
			ends = append(ends, end)
		}
	}
	if known {
		ends = append(ends, newest)
	}
	return commits, ends
}

// newestEnd is the newest end offset of a partition, and false where there is none.
func newestEnd(p *protocol.GroupPartition, now int64) (EndOffset, bool) {
	if len(p.EndOffsets) == 0 || p.EndOffsetAge < 0 {
		return EndOffset{}, false
	}
	return EndOffset{Offset: p.EndOffsets[len(p.EndOffsets)-1], Timestamp: now - p.EndOffsetAge}, true
}

// endAtCommit is the end offset that the store knew when it took a commit, and false where the lag of the commit does not
// tell. A commit at or above the end offset tells that the end is no further back. One that is read again long after it was
// made, as after a restart, has the lag of that later moment: the later of its two times counts.
func endAtCommit(c *protocol.StoredCommit) (EndOffset, bool) {
	end := int64(uint64(c.Offset) + c.Lag)
	if !c.LagKnown || end < c.Offset {
		return EndOffset{}, false
	}
	return EndOffset{Offset: end, Timestamp: max(c.Timestamp, c.ObservedTimestamp)}, true
}

package engine

import (
	"math"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// pollSkew is by how many milliseconds an end offset may have been seen after a commit that lies above it. More than that
// is not explained by clocks that differ: the end offset must have gone back unseen.
const pollSkew = 60_000

// judgement is what the lag of a group on a partition is worth.
type judgement struct {
	state           protocol.PartitionState
	difference      int64
	differenceKnown bool
	endAge          int64 // milliseconds; -1 when no end offset is known
	logStart        int64 // -1 when not known
	timeLag         protocol.TimeLag
	lost            uint64
}

// judge compares the newest commit of a window, which may be nil, with what is known of its partition.
func judge(reading ends.Reading, partition int, w window.Window, now int64) judgement {
	end := reading.View(partition)
	j := judgement{endAge: -1, logStart: -1}
	if end.Known {
		j.endAge = int64(min(distance(end.Seen, now), math.MaxInt64))
		if end.LogStart > 0 {
			j.logStart = end.LogStart
		}
	}
	switch {
	case w == nil || w.Len() == 0:
		j.state = protocol.PartitionNoCommit
		return j
	case !end.Known:
		j.state = protocol.PartitionNoEndOffset
		return j
	}
	commit := w.NewestOffset()
	if end.Incarnation != incarnationOf(w) || commit > end.Newest && distance(w.NewestTimestamp(), end.Seen) > pollSkew {
		j.state = protocol.PartitionReset
		return j
	}
	j.differenceKnown = true
	switch behind, ahead := distance(commit, end.Newest), distance(end.Newest, commit); {
	case behind > 0:
		j.state = protocol.PartitionBehind
		j.difference = int64(min(behind, math.MaxInt64))
	case ahead > 0:
		j.state = protocol.PartitionAhead
		j.difference = -int64(min(ahead, math.MaxInt64))
	default:
		j.state = protocol.PartitionCaughtUp
	}
	if end.Restored || restored(w) {
		j.state = protocol.PartitionRestored
	}
	if end.LogStart > 0 {
		j.lost = distance(commit, end.LogStart)
	}
	estimate := reading.TimeLag(partition, commit, now)
	j.timeLag = protocol.TimeLag{
		Kind: timeLagKinds[estimate.Kind], Milliseconds: estimate.Millis, Error: estimate.ErrorMillis,
	}
	return j
}

var timeLagKinds = [...]protocol.TimeLagKind{
	curve.Unknown:      protocol.TimeLagUnknown,
	curve.Exact:        protocol.TimeLagExact,
	curve.Interpolated: protocol.TimeLagInterpolated,
	curve.AtLeast:      protocol.TimeLagAtLeast,
}

// distance is to less from, 0 where to is not greater; it cannot overflow.
func distance(from, to int64) uint64 {
	if to <= from {
		return 0
	}
	return uint64(to) - uint64(from)
}

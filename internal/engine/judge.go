package engine

import (
	"math"
	"time"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// judgement is the judgement on the lag of a group on a partition.
type judgement struct {
	state           protocol.PartitionState
	difference      int64
	differenceKnown bool
	endAge          time.Duration // below 0 when no end offset is known
	logStart        int64         // -1 when not known
	timeLag         protocol.TimeLag
	lost            uint64
}

// judge compares the newest commit of a window, which may be nil, with what is known of its partition, and sets j. lag is the number
// of its time lag in the image. If several states hold, RESET takes precedence over RESTORED, RESTORED over BEYONDEND, and
// that over the others.
func (k *Capture) judge(j *judgement, end *ends.View, w window.Window, lag int) {
	*j = judgement{endAge: -1, logStart: -1}
	if end.Known {
		j.endAge = milliseconds(distance(end.Seen, k.now))
		if end.LogStart > 0 {
			j.logStart = end.LogStart
		}
	}
	switch {
	case w == nil || w.Len() == 0:
		j.state = protocol.PartitionNoCommit
		return
	case !end.Known:
		j.state = protocol.PartitionNoEndOffset
		return
	}
	commit := w.NewestOffset()
	if end.Reset(incarnationOf(w), commit) {
		j.state = protocol.PartitionReset
		return
	}
	position := end.Position(commit)
	j.differenceKnown = true
	beyond := false
	switch behind, ahead := distance(position, end.Newest), distance(end.Newest, position); {
	case behind > 0:
		j.state = protocol.PartitionBehind
		j.difference = int64(min(behind, math.MaxInt64))
	case ahead > 0:
		j.state = protocol.PartitionAhead
		j.difference = -int64(min(ahead, math.MaxInt64))
		if beyond = k.beyondEnd(end, w); beyond {
			j.state = protocol.PartitionBeyondEnd
		}
	default:
		j.state = protocol.PartitionCaughtUp
	}
	if end.Restored || k.waits && restored(w) {
		j.state = protocol.PartitionRestored
	}
	j.lost = distance(commit, end.LogStart)
	if !beyond {
		estimate := k.image.TimeLag(lag, k.now)
		j.timeLag = protocol.TimeLag{
			Kind: timeLagKinds[estimate.Kind], Lag: milliseconds(uint64(estimate.Millis)),
			Margin: milliseconds(uint64(estimate.ErrorMillis)), Source: timeSources[estimate.Source],
		}
	}
}

// beyondEnd reports whether the newest commit of a group was still above the end at two polls. A group that goes on to commit
// beyond the end, such as one mirrored from elsewhere, is in the same state: the oldest of its successive commits above the
// end counts.
func (k *Capture) beyondEnd(end *ends.View, w window.Window) bool {
	if !end.SeenBefore {
		return false
	}
	k.scratch = w.AppendTo(k.scratch[:0])
	after := int64(math.MaxInt64)
	for i := len(k.scratch) - 1; i >= 0; i-- {
		c := &k.scratch[i]
		if c.Offset <= end.Newest || c.Offset > after {
			break
		}
		after = c.Offset
		// Times of observation are exact to the second.
		if c.ObservedTimestamp <= min(end.Seen, end.Before)-1000 {
			return true
		}
	}
	return false
}

var timeLagKinds = [...]protocol.TimeLagKind{
	curve.Unknown:      protocol.TimeLagUnknown,
	curve.Exact:        protocol.TimeLagExact,
	curve.Interpolated: protocol.TimeLagInterpolated,
	curve.AtLeast:      protocol.TimeLagAtLeast,
}

// timeSources are the sources of points in a curve; what the store has measured itself has none.
var timeSources = [...]protocol.TimeSource{
	curve.Measured:     "",
	curve.FromStore:    protocol.TimeSourceStore,
	curve.FromBroker:   protocol.TimeSourceBroker,
	curve.FromProducer: protocol.TimeSourceProducer,
}

// milliseconds returns a duration of so many milliseconds, the longest there is if it is longer.
func milliseconds(ms uint64) time.Duration {
	if ms > uint64(math.MaxInt64/time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// distance is to less from, 0 if to is not greater; it cannot overflow.
func distance(from, to int64) uint64 {
	if to <= from {
		return 0
	}
	return uint64(to) - uint64(from)
}

// endFacts holds the fields of an answer that are pointers, of a partition with an end offset.
type endFacts struct {
	age      protocol.Age
	logStart int64
}

// lagFacts holds those of a partition with a commit.
type lagFacts struct {
	difference int64
	timeLag    protocol.TimeLag
	lost       uint64
}

// write writes a judgement into an answer. It takes memory from ends and lags only if there is something to write.
func (j *judgement) write(out *protocol.ConsumerPartition, ends *[]endFacts, lags *[]lagFacts) {
	out.State = j.state
	if j.endAge >= 0 {
		to := &(*ends)[0]
		*ends = (*ends)[1:]
		to.age.Duration = j.endAge
		out.EndOffsetAge = &to.age
		if j.logStart >= 0 {
			to.logStart = j.logStart
			out.LogStartOffset = &to.logStart
		}
	}
	if !j.differenceKnown {
		return
	}
	to := &(*lags)[0]
	*lags = (*lags)[1:]
	to.difference = j.difference
	out.Difference = &to.difference
	if j.timeLag.Kind != protocol.TimeLagUnknown {
		to.timeLag = j.timeLag
		out.TimeLag = &to.timeLag
	}
	if j.lost > 0 {
		to.lost = j.lost
		out.Lost = &to.lost
	}
}

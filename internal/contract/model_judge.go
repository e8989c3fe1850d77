package contract

import (
	"slices"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// modelEnds is what the model knows of the end of one partition.
type modelEnds struct {
	history []int64 // oldest first, at most intervals
	// polls are all end offsets of this incarnation, oldest first.
	polls       []modelPoll
	incarnation int
	// undone are incarnations that turned out to be this one: the end offset had only dipped.
	undone []int
	// before is the newest poll of the previous incarnation.
	before modelPoll
	// cuts counts how often the log was truncated under the current topic id.
	cuts int
	// stale counts the successive end offsets that were stale.
	stale    int
	logStart int64 // 0 while it is not known
}

// modelPoll is an end offset and when it was seen, in Unix milliseconds.
type modelPoll struct{ offset, at int64 }

// modelDip is how many milliseconds a dip may last, and modelStale how many successive stale end offsets are believed.
const (
	modelDip   = 60_000
	modelStale = 3
)

// set stores an end offset of a topic whose id has not changed, or is not known.
func (e *modelEnds) set(r *protocol.StorageRequest, intervals int, now int64) error {
	poll := modelPoll{r.Offset, r.Timestamp}
	if poll.at <= 0 {
		poll.at = now
	}
	if n := len(e.polls); n > 0 && poll.offset < e.polls[n-1].offset {
		if r.Timestamp > 0 && poll.at < e.polls[n-1].at {
			if e.stale++; e.stale < modelStale {
				return storage.ErrStale
			}
		}
		if r.TopicID != (protocol.TopicID{}) {
			e.cuts++
		} else {
			e.incarnation++
			e.before, e.undone = e.polls[n-1], nil
		}
		e.polls, e.logStart = nil, 0
	} else if e.before.at > 0 {
		if len(e.polls) == 1 && poll.offset >= e.before.offset && poll.at-e.polls[0].at <= modelDip {
			e.undone = append(e.undone, e.incarnation-1)
		}
		e.before = modelPoll{}
	}
	e.stale = 0
	e.history = newest(append(e.history, r.Offset), intervals)
	e.polls = append(e.polls, poll)
	if r.LogStartOffset > 0 {
		e.logStart = r.LogStartOffset
	}
	return nil
}

// judge sets the judgement on the lag of a group on the partition.
func (e *modelEnds) judge(answer *protocol.ConsumerPartition, p *modelPartition, now int64) {
	if len(e.history) > 0 {
		answer.EndOffsetAge = &protocol.Age{Duration: millis(max(0, now-e.polls[len(e.polls)-1].at))}
		if logStart := e.logStart; logStart > 0 {
			answer.LogStartOffset = &logStart
		}
	}
	switch {
	case len(p.window) == 0:
		answer.State = protocol.PartitionNoCommit
		return
	case len(e.history) == 0:
		answer.State = protocol.PartitionNoEndOffset
		return
	}
	commit, end := p.window[len(p.window)-1].Offset, e.history[len(e.history)-1]
	position := max(commit, min(e.logStart, end))
	answer.CurrentLag = uint64(max(0, end-position))
	if p.incarnation != e.incarnation && !slices.Contains(e.undone, p.incarnation) || p.cuts != e.cuts && commit > end {
		answer.State = protocol.PartitionReset
		return
	}
	difference := end - position
	answer.Difference = &difference
	switch {
	case difference > 0:
		answer.State = protocol.PartitionBehind
	case difference < 0 && e.pollsSince(p.observed) >= 2:
		answer.State = protocol.PartitionBeyondEnd
	case difference < 0:
		answer.State = protocol.PartitionAhead
	default:
		answer.State = protocol.PartitionCaughtUp
	}
	if commit < e.logStart {
		lost := uint64(e.logStart - commit)
		answer.Lost = &lost
	}
	if answer.State != protocol.PartitionBeyondEnd {
		answer.TimeLag = e.timeLag(position, now)
	}
}

// pollsSince counts the end offsets that were seen after a moment, in Unix milliseconds.
func (e *modelEnds) pollsSince(moment int64) (n int) {
	for _, poll := range e.polls {
		if poll.at > moment {
			n++
		}
	}
	return n
}

// timeLag returns how long ago the message at an offset was the newest: it was written after the last poll before it, and
// before the first poll behind it.
func (e *modelEnds) timeLag(commit, now int64) *protocol.TimeLag {
	before, after := int64(-1), int64(-1)
	for _, poll := range e.polls {
		if poll.offset <= commit {
			before = poll.at
		} else if after < 0 {
			after = poll.at
		}
	}
	switch {
	case after < 0: // nothing was left to read at the newest poll
		return &protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: millis(max(0, now-before))}
	case before < 0:
		return &protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: millis(max(0, now-after))}
	}
	margin := (after - before + 1) / 2
	return &protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: millis(max(0, now-before-margin)), Margin: millis(margin)}
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

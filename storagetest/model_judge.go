package storagetest

import (
	"github.com/lagkeeper/storage/protocol"
)

// modelEnds is what the model knows of the end of one partition.
type modelEnds struct {
	history []int64 // oldest first, no more than intervals
	// polls are all end offsets of this incarnation, oldest first.
	polls       []modelPoll
	incarnation int
	logStart    int64 // 0 while it is not known
}

// modelPoll is an end offset and when it was seen, in Unix milliseconds.
type modelPoll struct{ offset, at int64 }

// set takes an end offset. One below the newest belongs to another incarnation of the partition.
func (e *modelEnds) set(r *protocol.StorageRequest, intervals int, now int64) {
	if n := len(e.history); n > 0 && r.Offset < e.history[n-1] {
		e.incarnation++
		e.polls, e.logStart = nil, 0
	}
	at := r.Timestamp
	if at <= 0 {
		at = now
	}
	e.history = newest(append(e.history, r.Offset), intervals)
	e.polls = append(e.polls, modelPoll{r.Offset, at})
	if r.LogStartOffset > 0 {
		e.logStart = r.LogStartOffset
	}
}

// judge says what the lag of a group on the partition is worth.
func (e *modelEnds) judge(answer *protocol.ConsumerPartition, p *modelPartition, now int64) {
	if len(e.history) > 0 {
		age := max(0, now-e.polls[len(e.polls)-1].at)
		answer.EndOffsetAge = &age
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
	case p.incarnation != e.incarnation:
		answer.State = protocol.PartitionReset
		return
	}
	commit, end := p.window[len(p.window)-1].Offset, e.history[len(e.history)-1]
	difference := end - commit
	answer.Difference = &difference
	switch {
	case difference > 0:
		answer.State = protocol.PartitionBehind
	case difference < 0:
		answer.State = protocol.PartitionAhead
	default:
		answer.State = protocol.PartitionCaughtUp
	}
	if commit < e.logStart {
		lost := uint64(e.logStart - commit)
		answer.Lost = &lost
	}
	answer.TimeLag = e.timeLag(commit, now)
}

// timeLag says how long ago the message at an offset was the newest: it came after the last poll at which it was not there,
// and before the first at which it was.
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
		return &protocol.TimeLag{Kind: protocol.TimeLagExact, Error: max(0, now-before)}
	case before < 0:
		return &protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Milliseconds: max(0, now-after)}
	}
	margin := (after - before + 1) / 2
	return &protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Milliseconds: max(0, now-before-margin), Error: margin}
}

// Package trend computes how a group moves on one partition, from its last commits and the end offsets of the partition with
// their times. Everything here is a pure function of its arguments, and what cannot be known is marked as such instead of
// being 0.
//
// All functions use only the newest run of their input: the longest stretch up to the newest element in which neither offsets
// nor times go back. What lies before a rewind, a recreated topic or a clock that was set back does not affect a rate.
package trend

import (
	"math"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// Rate is a number of messages per second.
type Rate struct {
	// PerSecond is never negative, and 0 if Known is false.
	PerSecond float64
	Known     bool
}

// Duration is a length of time, to the millisecond.
type Duration struct {
	// Length is never negative, and 0 if Known is false.
	Length time.Duration
	Known  bool
}

// Trend is how a group moves on a partition.
type Trend struct {
	// Consumed is how fast the group commits; see Consumption.
	Consumed Rate
	// Produced is how fast the end offset grows; see Production.
	Produced Rate
	// Lag is where the lag goes; see DirectionOf.
	Lag Direction
	// CatchUp is the time until the group has read everything; see CatchUp.
	CatchUp Duration
	// Freshness is the age of the newest commit; see Freshness.
	Freshness Duration
}

// Of computes the trend as of now from the last commits and end offsets, both oldest first and of one incarnation of the
// partition. The caller must judge how old the newest end offset is, and so how far the rate of production can be trusted.
func Of(commits []protocol.StoredCommit, ends []protocol.TimedEndOffset, now time.Time) Trend {
	t := Trend{
		Consumed:  Consumption(commits, now),
		Produced:  Production(ends),
		Lag:       DirectionOf(commits, ends),
		Freshness: Freshness(commits, now),
	}
	if len(commits) > 0 && len(ends) > 0 {
		t.CatchUp = CatchUp(commits[len(commits)-1].Offset, ends[len(ends)-1].Offset, t.Consumed, t.Produced)
	}
	return t
}

// Freshness is how long ago the newest commit was made; 0 if its time is in the future, and not known without a commit.
func Freshness(commits []protocol.StoredCommit, now time.Time) Duration {
	if len(commits) == 0 {
		return Duration{}
	}
	age := since(commits[len(commits)-1].Timestamp, now.UnixMilli())
	return Duration{Length: time.Duration(min(age, longest)) * time.Millisecond, Known: true}
}

// CatchUp is the time until a group at the offset commit has read everything, if the end offset is end now and both move on
// at the given rates. It is 0 if nothing is left to read. It is not known if a rate is not known, or if the group would never
// catch up: it reads no faster than messages are produced, or so little faster that it would take more than 292 years.
func CatchUp(commit, end int64, consumed, produced Rate) Duration {
	if commit >= end {
		return Duration{Known: true}
	}
	net := consumed.PerSecond - produced.PerSecond
	if !consumed.Known || !produced.Known || !(net > 0) {
		return Duration{}
	}
	millis := math.Ceil(float64(since(commit, end)) / net * 1000)
	if !(millis < float64(longest)) {
		return Duration{}
	}
	return Duration{Length: time.Duration(millis) * time.Millisecond, Known: true}
}

// longest is the longest time.Duration in whole milliseconds.
const longest = uint64(math.MaxInt64 / time.Millisecond)

// since returns how far to lies after from, 0 if it does not.
func since(from, to int64) uint64 {
	if to <= from {
		return 0
	}
	return uint64(to) - uint64(from)
}

package status

import (
	"math"
	"math/bits"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// Lag is how far a group is behind on several partitions together.
type Lag struct {
	// Messages is the sum over the partitions whose lag can be trusted, at most math.MaxUint64; it means nothing if Known is
	// false.
	Messages uint64
	// Known is false if there is no such partition.
	Known bool
	// AtLeast reports whether Messages is a lower bound: on other partitions the number of messages that the group has yet to
	// read is not known, and may be above 0.
	AtLeast bool
	// Time is the greatest lag in time. Its kind is protocol.TimeLagAtLeast if some partition may be later still, its margin
	// covers the greatest of the true lags, and its source is the least reliable of all.
	Time protocol.TimeLag
	// Lost is the number of messages that were deleted before the group read them, as far as that is known.
	Lost uint64
}

// Believable reports whether CurrentLag, Difference and TimeLag of a partition say how far the group is behind. A commit a
// little above the end offset is believable too: it was made between two polls, and nothing was left to read.
func Believable(p *protocol.GroupPartition) bool {
	switch p.State {
	case protocol.PartitionAhead, protocol.PartitionCaughtUp, protocol.PartitionBehind:
		return p.DifferenceKnown
	}
	return false
}

// LagOfTopic sums the lags of the partitions of a topic.
func LagOfTopic(topic *protocol.GroupTopic) Lag {
	var s sum
	s.addTopic(topic)
	return s.lag()
}

// LagOfGroup sums the lags of the partitions of all topics of a group.
func LagOfGroup(group *protocol.Group) Lag {
	var s sum
	for i := range group.Topics {
		s.addTopic(&group.Topics[i])
	}
	return s.lag()
}

// sum accumulates the lags of partitions.
type sum struct {
	total Lag
	// least and most bound the greatest of the true time lags; timeAtLeast reports whether it may be greater still.
	time, least, most time.Duration
	timeKnown         bool
	timeAtLeast       bool
	timeInterpolated  bool
	source            protocol.TimeSource
}

func (s *sum) addTopic(topic *protocol.GroupTopic) {
	for i := range topic.Partitions {
		s.add(&topic.Partitions[i])
	}
}

func (s *sum) add(p *protocol.GroupPartition) {
	s.total.Lost = plus(s.total.Lost, p.Lost)
	if !Believable(p) {
		if mayHoldUnread(p) {
			s.total.AtLeast, s.timeAtLeast = true, true
		}
		return
	}
	s.total.Known = true
	s.total.Messages = plus(s.total.Messages, p.CurrentLag)
	s.addTime(p.TimeLag)
}

// plus returns a + b, or the greatest uint64 if that is less: a sum that wraps around would look healthy.
func plus(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	return sum | -carry
}

// mayHoldUnread reports whether a partition whose lag cannot be trusted may hold messages that the group has yet to read.
func mayHoldUnread(p *protocol.GroupPartition) bool {
	if len(p.Commits) > 0 {
		return true
	}
	// A partition without a commit holds nothing to read only if it is known that it was never written to or that retention has
	// emptied it.
	return len(p.EndOffsets) == 0 || p.EndOffsets[len(p.EndOffsets)-1] > max(p.LogStartOffset, 0)
}

func (s *sum) addTime(l protocol.TimeLag) {
	margin := time.Duration(0)
	s.source = lessReliable(s.source, l.Source)
	switch l.Kind {
	case protocol.TimeLagUnknown:
		s.timeAtLeast = true
		return
	case protocol.TimeLagAtLeast:
		s.timeAtLeast = true
	default:
		margin = l.Margin
		s.timeInterpolated = s.timeInterpolated || l.Kind == protocol.TimeLagInterpolated
	}
	most := l.Lag + margin
	if most < l.Lag {
		most = math.MaxInt64
	}
	if !s.timeKnown {
		s.timeKnown, s.time, s.least, s.most = true, l.Lag, l.Lag-margin, most
		return
	}
	s.time, s.least, s.most = max(s.time, l.Lag), max(s.least, l.Lag-margin), max(s.most, most)
}

// lessReliable returns the worse of two sources.
func lessReliable(a, b protocol.TimeSource) protocol.TimeSource {
	for _, source := range []protocol.TimeSource{protocol.TimeSourceProducer, protocol.TimeSourceBroker, protocol.TimeSourceStore} {
		if a == source || b == source {
			return source
		}
	}
	return a
}

func (s *sum) lag() Lag {
	l := s.total
	l.AtLeast = l.AtLeast && l.Known
	if !s.timeKnown {
		return l
	}
	switch {
	case s.timeAtLeast:
		l.Time = protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: s.time}
	default:
		l.Time = protocol.TimeLag{Kind: protocol.TimeLagExact, Lag: s.time, Margin: max(s.most-s.time, s.time-s.least)}
		if s.timeInterpolated {
			l.Time.Kind = protocol.TimeLagInterpolated
		}
	}
	l.Time.Source = s.source
	return l
}

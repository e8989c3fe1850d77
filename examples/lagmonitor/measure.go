package main

import (
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
)

// timeLag is the lag in time of a group on a topic: the greatest of its partitions.
type timeLag struct {
	Known bool
	Value time.Duration
	// Error is by how much Value may be wrong, either way; it means nothing where AtLeast is set.
	Error time.Duration
	// AtLeast says that Value is a lower bound.
	AtLeast bool
}

// rates are how fast a group and its producers move.
type rates struct {
	// In and Out are messages per second: what is written and what the group commits, over the partitions of which that is
	// known.
	In, Out trend.Rate
	// CatchUp is the time until the group has read everything at these rates.
	CatchUp trend.Duration
	// Never says that it never will, since as much is written as it reads, or more.
	Never bool
}

// trusted tells whether the store stands by the lag of a partition.
func trusted(p *protocol.ConsumerPartition) bool {
	switch p.State {
	case protocol.PartitionAhead, protocol.PartitionCaughtUp, protocol.PartitionBehind:
		return true
	default:
		return false
	}
}

// greatest is the greatest of several time lags, with the margin that the greatest of the truths can have.
type greatest struct {
	lag         timeLag
	least, most time.Duration
}

func (g *greatest) add(l *protocol.TimeLag) {
	if l == nil || l.Kind == protocol.TimeLagUnknown {
		g.lag.AtLeast = true
		return
	}
	value, margin := l.Lag, l.Margin
	if l.Kind == protocol.TimeLagAtLeast {
		g.lag.AtLeast = true
		margin = 0
	}
	if !g.lag.Known {
		g.lag.Known, g.lag.Value, g.least, g.most = true, value, value-margin, value+margin
		return
	}
	g.lag.Value = max(g.lag.Value, value)
	g.least = max(g.least, value-margin)
	g.most = max(g.most, value+margin)
}

// missing notes a partition whose lag in time is not known.
func (g *greatest) missing() { g.lag.AtLeast = true }

func (g *greatest) result() timeLag {
	if !g.lag.Known {
		return timeLag{}
	}
	if !g.lag.AtLeast {
		g.lag.Error = max(g.most-g.lag.Value, g.lag.Value-g.least)
	}
	return g.lag
}

// rateSum adds the partitions of a topic up.
type rateSum struct {
	rates
	unknown bool // when some partition catches up
}

// add takes a partition whose lag is trusted, and which has a commit.
func (s *rateSum) add(p *protocol.ConsumerPartition, now time.Time) {
	commits := storedCommits(p.Offsets)
	t := trend.Of(commits, endsSeen(p, commits, now), now)
	addRate(&s.In, t.Produced)
	addRate(&s.Out, t.Consumed)
	if p.CurrentLag == 0 {
		return
	}
	if t.CatchUp.Known {
		s.CatchUp.Length = max(s.CatchUp.Length, t.CatchUp.Length)
		return
	}
	s.unknown = true
	s.Never = s.Never || t.Consumed.Known && t.Produced.Known
}

func addRate(sum *trend.Rate, r trend.Rate) {
	sum.PerSecond += r.PerSecond
	sum.Known = sum.Known || r.Known
}

// result is the sum. lagKnown tells whether the lag of every partition is.
func (s *rateSum) result(lagKnown bool) rates {
	s.CatchUp.Known = lagKnown && !s.unknown
	if !s.CatchUp.Known {
		s.CatchUp.Length = 0
	}
	return s.rates
}

// storedCommits are the commits of a window as package trend takes them.
func storedCommits(window []*protocol.ConsumerOffset) []protocol.StoredCommit {
	commits := make([]protocol.StoredCommit, 0, len(window))
	for _, c := range window {
		if c == nil {
			continue
		}
		stored := protocol.StoredCommit{Offset: c.Offset, Order: c.Order, Timestamp: c.Timestamp, ObservedTimestamp: c.ObservedTimestamp}
		if c.Lag != nil {
			stored.Lag, stored.LagKnown = c.Lag.Value, true
		}
		commits = append(commits, stored)
	}
	return commits
}

// endsSeen are the end offsets of a partition with their times, oldest first. The store answers no times with end offsets,
// but a commit and its lag tell where the end was at a poll; the newest has an age.
func endsSeen(p *protocol.ConsumerPartition, commits []protocol.StoredCommit, now time.Time) []protocol.TimedEndOffset {
	var ends []protocol.TimedEndOffset
	for _, c := range commits {
		if c.LagKnown {
			ends = append(ends, protocol.TimedEndOffset{Offset: c.Offset + int64(c.Lag), Time: time.UnixMilli(c.Timestamp)})
		}
	}
	if n := len(p.BrokerOffsets); n > 0 && p.EndOffsetAge != nil {
		newest := protocol.TimedEndOffset{Offset: p.BrokerOffsets[n-1], Time: now.Add(-p.EndOffsetAge.Duration)}
		// now is a little before the store took the age, which would let the time go back.
		if len(ends) > 0 && newest.Time.Before(ends[len(ends)-1].Time) {
			newest.Time = ends[len(ends)-1].Time
		}
		ends = append(ends, newest)
	}
	return ends
}

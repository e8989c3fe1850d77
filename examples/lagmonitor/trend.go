package main

import (
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// trendPoints is how many points the trend of a row has.
const trendPoints = 10

// lagAt is the lag of one partition at one time.
type lagAt struct {
	at  int64 // Unix ms
	lag float64
}

// lagSeries is the lag of one partition over time, oldest first: the lags that the store took with the commits of the
// window, and after them what the end offsets since say of the newest commit. It is empty where nothing was committed.
func lagSeries(partition *protocol.ConsumerPartition, now int64) []lagAt {
	var series []lagAt
	for _, commit := range partition.Offsets {
		if commit != nil && commit.Lag != nil {
			series = append(series, lagAt{commit.Timestamp, float64(commit.Lag.Value)})
		}
	}
	newest := newestCommit(partition)
	if newest == nil {
		return nil
	}
	since := endsSince(partition.BrokerOffsets, newest)
	// The store keeps no times of end offsets; the monitor sends one each poll, so they are evenly spread.
	// What was deleted is not to be read any more, whatever the commit says.
	position := max(newest.Offset, logStart(partition))
	for i, end := range since {
		at := newest.Timestamp + (now-newest.Timestamp)*int64(i+1)/int64(len(since))
		series = append(series, lagAt{at, float64(max(0, end-position))})
	}
	return series
}

// endsSince are the end offsets that were seen after a commit, as far as the history goes back.
func endsSince(ends []int64, commit *protocol.ConsumerOffset) []int64 {
	if commit.Lag == nil {
		return ends[max(0, len(ends)-1):]
	}
	atCommit := commit.Offset + int64(commit.Lag.Value)
	i := slices.IndexFunc(ends, func(end int64) bool { return end >= atCommit })
	switch {
	case i < 0: // the end offset went back
		return ends[max(0, len(ends)-1):]
	case ends[i] == atCommit:
		return ends[i+1:]
	}
	return ends[i:]
}

// sumSeries adds series up at points spread evenly over the time they cover together. Between two points a lag is taken
// to move in a straight line, before the first and after the last to stand still.
func sumSeries(series [][]lagAt, points int) []float64 {
	var from, to int64
	for _, s := range series {
		if len(s) == 0 {
			continue
		}
		if first := s[0].at; from == 0 || first < from {
			from = first
		}
		to = max(to, s[len(s)-1].at)
	}
	if from == 0 {
		return nil
	}
	if from == to {
		points = 1
	}
	sums := make([]float64, points)
	for i := range sums {
		at := to
		if points > 1 {
			at = from + (to-from)*int64(i)/int64(points-1)
		}
		for _, s := range series {
			sums[i] += valueAt(s, at)
		}
	}
	return sums
}

// valueAt interpolates in a series; 0 for an empty one.
func valueAt(series []lagAt, at int64) float64 {
	if len(series) == 0 {
		return 0
	}
	i, found := slices.BinarySearchFunc(series, at, func(p lagAt, at int64) int {
		switch {
		case p.at < at:
			return -1
		case p.at > at:
			return +1
		}
		return 0
	})
	switch {
	case found:
		return series[i].lag
	case i == 0:
		return series[0].lag
	case i == len(series):
		return series[i-1].lag
	}
	before, after := series[i-1], series[i]
	return before.lag + (after.lag-before.lag)*float64(at-before.at)/float64(after.at-before.at)
}

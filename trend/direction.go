package trend

import (
	"math"

	"github.com/lagkeeper/storage/protocol"
)

// Direction is where a lag goes.
type Direction string

const (
	// Unknown, the zero value, is the direction if fewer than three lags are known.
	Unknown Direction = ""
	// Shrinking is the direction of a lag that falls, by more than chance explains.
	Shrinking Direction = "shrinking"
	// Steady is the direction of a lag that neither falls nor rises, be it 0 or a million.
	Steady Direction = "steady"
	// Growing is the direction of a lag that rises, by more than chance explains.
	Growing Direction = "growing"
)

// significance is the score of the test below which a trend counts as chance: in one of twenty series without a trend it is
// exceeded, in either direction.
const significance = 1.645

// threshold is the part of the lag by which it has to change to count.
const threshold = 0.01

// DirectionOf returns whether the lag of a group grows or shrinks. It uses the lags of the commits of the newest run, and the
// end offsets seen once the group was overdue (silent for longer than its longest pause): a stuck group makes no commit that
// would show its lag. End offsets seen before are left out, since every lag grows between two commits.
//
// The lag of a healthy group rises and falls all the time, so its first and last value prove nothing. The test is that of
// Mann ("Nonparametric tests against trend", Econometrica 13(3), 1945) and Kendall: count how many pairs of lags rose less
// how many fell, and compare with what a shuffled series would give. It needs no scale, and a single outlier cannot tip it.
// In addition, the lag must change by 1 % between the older and the newer half. Three lags, too few for the test, must all go
// the same way.
func DirectionOf(commits []protocol.StoredCommit, ends []protocol.TimedEndOffset) Direction {
	var few [few]end
	return directionOf(commits, appendEnds(few[:0], ends))
}

func directionOf(commits []protocol.StoredCommit, ends []end) Direction {
	if len(commits) == 0 {
		return Unknown
	}
	commits = commits[runOfCommits(commits):]
	newest, quiet := &commits[len(commits)-1], longestPause(commits)
	var few [few]uint64
	lags := few[:0] // those that are known
	for i := range commits {
		if commits[i].LagKnown {
			lags = append(lags, commits[i].Lag)
		}
	}
	if len(ends) > 0 {
		ends = ends[runOfEnds(ends):]
	}
	for _, e := range ends {
		if since(newest.Timestamp, e.at) > quiet {
			lags = append(lags, since(newest.Offset, e.offset))
		}
	}
	return directionOfLags(lags)
}

func directionOfLags(lags []uint64) Direction {
	var score int // pairs of lags that went up less pairs that went down
	for i, a := range lags {
		for _, b := range lags[:i] {
			switch {
			case a > b:
				score++
			case a < b:
				score--
			}
		}
	}
	switch {
	case len(lags) < 3:
		return Unknown
	case !significant(score, len(lags)), !relevant(lags):
		return Steady
	case score > 0:
		return Growing
	default:
		return Shrinking
	}
}

// significant reports whether chance is a poor explanation for the score of a number of lags. That ties lower the variance is
// ignored; this finds fewer trends, never more.
func significant(score, known int) bool {
	score = max(score, -score)
	if known == 3 {
		return score == 3
	}
	n := float64(known)
	return float64(score-1) >= significance*math.Sqrt(n*(n-1)*(2*n+5)/18)
}

// relevant reports whether the lag changed enough between the older and the newer half.
func relevant(lags []uint64) bool {
	var older, newer float64
	half := len(lags) / 2
	for _, lag := range lags[:half] {
		older += float64(lag)
	}
	for _, lag := range lags[len(lags)-half:] {
		newer += float64(lag)
	}
	return math.Abs(newer-older) >= threshold*max(newer, older)
}

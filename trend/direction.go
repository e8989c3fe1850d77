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
	// Shrinking is the direction of a lag that goes down, by more than chance would have it.
	Shrinking Direction = "shrinking"
	// Steady is the direction of a lag that goes nowhere, be it 0 or a million.
	Steady Direction = "steady"
	// Growing is the direction of a lag that goes up, by more than chance would have it.
	Growing Direction = "growing"
)

// significance is the score of the test below which a trend is taken for chance: one of them in twenty would be, either way.
const significance = 1.645

// threshold is the part of the lag that a change has to be to count.
const threshold = 0.01

// DirectionOf returns whether the lag of a group grows or shrinks, from the lags of the commits of the newest run, and the end offsets
// seen once the group was overdue (silent for longer than its longest pause): a group that is stuck commits no lag that
// would show it. Those seen before are left out, as between two commits every lag grows.
//
// The lag of a healthy group goes up and down all the time, so its ends prove nothing. The test is that of Mann ("Nonparametric
// tests against trend", Econometrica 13(3), 1945) and Kendall: of all pairs of lags, count how many went up less how many
// went down, and compare with what a shuffled series would give. It needs no scale and one wild value cannot tip it. Besides, the
// lag must change by 1 % between the older and the newer half; three lags, too few for the test, must all go the same way.
func DirectionOf(commits []protocol.StoredCommit, ends []protocol.TimedEndOffset) Direction {
	if len(commits) == 0 {
		return Unknown
	}
	s := series{commits: commits[runOfCommits(commits):]}
	if len(ends) > 0 {
		s.ends = ends[runOfEnds(ends):]
	}
	newest := s.commits[len(s.commits)-1]
	quiet := longestPause(s.commits)
	for len(s.ends) > 0 && since(newest.Timestamp, s.ends[0].Time.UnixMilli()) <= quiet {
		s.ends = s.ends[1:]
	}
	return s.direction()
}

// series is the lags of some commits, and those of the newest of them against the end offsets seen since.
type series struct {
	commits []protocol.StoredCommit
	ends    []protocol.TimedEndOffset
}

// at is lag i, and false if it is not known.
func (s series) at(i int) (lag uint64, ok bool) {
	if i < len(s.commits) {
		return s.commits[i].Lag, s.commits[i].LagKnown
	}
	return since(s.commits[len(s.commits)-1].Offset, s.ends[i-len(s.commits)].Offset), true
}

func (s series) len() int { return len(s.commits) + len(s.ends) }

func (s series) direction() Direction {
	var known int // lags
	var score int // pairs of them that went up less pairs that went down
	for i := range s.len() {
		a, ok := s.at(i)
		if !ok {
			continue
		}
		known++
		for j := range i {
			b, ok := s.at(j)
			switch {
			case ok && a > b:
				score++
			case ok && a < b:
				score--
			}
		}
	}
	switch {
	case known < 3:
		return Unknown
	case !significant(score, known), !s.relevant(known):
		return Steady
	case score > 0:
		return Growing
	default:
		return Shrinking
	}
}

// significant reports whether chance is a poor explanation for the score of a number of lags. That ties lower the variance is
// left out, which makes for fewer trends and not for more.
func significant(score, known int) bool {
	score = max(score, -score)
	if known == 3 {
		return score == 3
	}
	n := float64(known)
	return float64(score-1) >= significance*math.Sqrt(n*(n-1)*(2*n+5)/18)
}

// relevant reports whether the lag changed by enough between the older and the newer half.
func (s series) relevant(known int) bool {
	var older, newer float64
	half, n := known/2, 0
	for i := range s.len() {
		lag, ok := s.at(i)
		if !ok {
			continue
		}
		if n < half {
			older += float64(lag)
		}
		if n >= known-half {
			newer += float64(lag)
		}
		n++
	}
	return math.Abs(newer-older) >= threshold*max(newer, older)
}

package main

import "time"

// state is the monitor's judgement on one group and topic.
type state int

// The states, from the least to the most worrying.
const (
	stateCaughtUp   state = iota // nothing left to read
	stateAhead                   // nothing left to read: has committed above the end offset, between two polls
	stateOK                      // behind, as a group is that reads what is being written
	stateCatchingUp              // behind, and the lag shrinks
	stateNoCommit                // has members, but has committed nothing
	stateRestored                // known from before a restart, and not seen since
	stateBehind                  // behind, and the lag grows
	stateRewind                  // went back to read again, and has not caught up since
	stateReset                   // a partition was cut or created again, and the group has not committed it since
	stateBeyondEnd               // stands above the end of a partition, and still did two polls later: it reads nothing
	stateStalled                 // behind, has members, and commits nothing
	stateStopped                 // behind, has no members, and commits nothing
)

var stateNames = [...]string{
	stateCaughtUp:   "CAUGHT UP",
	stateAhead:      "AHEAD",
	stateOK:         "OK",
	stateCatchingUp: "CATCHING UP",
	stateNoCommit:   "NO COMMIT",
	stateRestored:   "RESTORED",
	stateBehind:     "BEHIND",
	stateRewind:     "REWIND",
	stateReset:      "RESET",
	stateBeyondEnd:  "BEYOND END",
	stateStalled:    "STALLED",
	stateStopped:    "STOPPED",
}

func (s state) String() string { return stateNames[s] }

// MarshalText returns String as text. The error is always nil.
func (s state) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// pace is how long a group may stand still before that means something.
type pace struct {
	// stopped is for a group without members, which may still be a consumer that manages its partitions itself.
	stopped time.Duration
	// stalled is for a group with members, which may just commit seldom.
	stalled time.Duration
}

// paceFor derives the pace from the time between two polls. A monitor that polls does not see a group move more often
// than that, so a group has stopped when two polls in a row found it where it was. Most consumers commit every five
// seconds, so for one with members less than three times that says nothing.
func paceFor(interval time.Duration) pace {
	return pace{stopped: interval * 3 / 2, stalled: max(interval*5/2, 15*time.Second)}
}

// facts are what classify needs to know beside the row.
type facts struct {
	samples   int  // how many points the longest series behind the trend has
	committed bool // at least one partition has a commit
	rewound   bool // a commit in the window went back
	// What the store says of at least one partition.
	ahead, beyond, reset, restored bool
}

// enoughSamples is how many points make a trend: with fewer, any two polls would.
const enoughSamples = 4

// classify judges a row: by what the store says of single partitions if that is alarming, then by the partitions whose lag it
// stands by. What it says of others that is harmless comes last, so that one partition that was not confirmed since a
// restart, or that was committed a moment ago, hides no group that is stuck on another.
func classify(r row, f facts, p pace) state {
	switch {
	case f.beyond:
		return stateBeyondEnd
	case f.reset:
		return stateReset
	case !f.committed:
		return stateNoCommit
	}
	s := judge(r, f, p)
	switch {
	case f.restored && s <= stateCatchingUp:
		return stateRestored
	case f.ahead && s == stateCaughtUp:
		return stateAhead
	}
	return s
}

// judge judges a row by the store's window of commits.
func judge(r row, f facts, p pace) state {
	switch {
	case r.Lag == 0:
		return stateCaughtUp
	case r.Members == 0 && r.Moved >= p.stopped:
		return stateStopped
	case r.Members > 0 && r.Moved >= p.stalled:
		return stateStalled
	case f.rewound:
		return stateRewind
	}
	switch way := direction(r.Trend); {
	case f.samples < enoughSamples:
		return stateOK
	case way > 0:
		return stateBehind
	case way < 0:
		return stateCatchingUp
	}
	return stateOK
}

// direction tells where a trend goes: +1 up, -1 down, 0 neither. A lag jumps about with every poll, so it takes twice as
// many steps in one direction as in the other, and a third of all, to call it one. A trend that touches zero goes
// nowhere: the group has read everything since.
func direction(trend []float64) int {
	var up, down int
	for i, lag := range trend {
		if lag <= 0 {
			return 0
		}
		switch {
		case i == 0:
		case lag > trend[i-1]:
			up++
		case lag < trend[i-1]:
			down++
		}
	}
	if len(trend) == 0 {
		return 0
	}
	steps, first, last := len(trend)-1, trend[0], trend[len(trend)-1]
	switch {
	case last > first && up >= 2*down && 3*up >= steps:
		return +1
	case last < first && down >= 2*up && 3*down >= steps:
		return -1
	}
	return 0
}

// Package status judges a group by what the store answers, for applications without an evaluator of their own: is the group
// all right, does it fall behind, has it stopped, and why does the package think so. It also sums lags over partitions, and
// marks sums that are incomplete.
//
// Everything here is a pure function of its arguments.
package status

import (
	"fmt"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
)

// Status is a judgement on a group, one of its topics or one partition.
type Status string

// The statuses, from the most to the least alarming. That of a topic or group is the most alarming of its partitions.
const (
	// Stopped means that the group has had messages to read, and has committed nothing, for several times its longest pause.
	Stopped Status = "STOPPED"
	// Stalled means that the group has messages to read, and commits the same offset again and again.
	Stalled Status = "STALLED"
	// BeyondEnd means that the group committed offsets which the log does not have and has not reached since: the group reads
	// nothing until the log has grown that far, or its offsets are reset.
	BeyondEnd Status = "BEYOND END"
	// Reset means that the log was truncated or recreated since the commit, which therefore means nothing.
	Reset Status = "RESET"
	// Rewound means that the group went back to read again, and has not caught up since.
	Rewound Status = "REWOUND"
	// Lagging means that the group commits, and falls further behind.
	Lagging Status = "LAGGING"
	// CatchingUp means that the group is behind, and the lag shrinks.
	CatchingUp Status = "CATCHING UP"
	// Behind means that the group is behind, and that too little is known to say where the lag goes: too few lags are known,
	// or the group has been silent for several times its longest pause, but not long enough to be Stopped.
	Behind Status = "BEHIND"
	// Restored means that the state is from before a restart and has not been confirmed.
	Restored Status = "RESTORED"
	// NoCommit means that the group has committed nothing, though there is something to read.
	NoCommit Status = "NO COMMIT"
	// OK means that nothing is left to read, or that the group keeps up with what is written.
	OK Status = "OK"
	// Unknown, the zero value, means that no judgement is possible: no end offset is known, or nothing was judged.
	Unknown Status = ""
)

// severity orders the statuses, the most alarming first.
var severity = []Status{Stopped, Stalled, BeyondEnd, Reset, Rewound, Lagging, CatchingUp, Behind, Restored, NoCommit, OK, Unknown}

// Worse reports whether a status is more alarming than another.
func (s Status) Worse(than Status) bool { return rank(s) < rank(than) }

func rank(s Status) int {
	for i, other := range severity {
		if s == other {
			return i
		}
	}
	return len(severity)
}

// Verdict is a status and the reason for it in words.
type Verdict struct {
	Status Status
	// Why says briefly what the status was judged by; "" for Unknown.
	Why string
	// Topic and Partition are where the status holds, for a verdict on a topic or a group: the first such partition.
	Topic     string
	Partition int32
	// Partitions is the number of partitions that have the status.
	Partitions int
}

// Options set how patient a judgement is. The zero value stands for the defaults.
type Options struct {
	// Pauses is the number of its longest pauses for which a group may be silent before it counts as stopped; 0 stands for 3.
	Pauses int
	// Silence is how long a group may be silent whatever its pauses were; 0 stands for 15 s, three commits of a consumer that
	// commits every five seconds, the default of most clients.
	Silence time.Duration
	// Single is how long a group may be silent if only one of its commits, and so no pause, is known; 0 stands for 5 min.
	Single time.Duration
}

func (o Options) withDefaults() Options {
	if o.Pauses <= 0 {
		o.Pauses = 3
	}
	if o.Silence <= 0 {
		o.Silence = 15 * time.Second
	}
	if o.Single <= 0 {
		o.Single = 5 * time.Minute
	}
	return o
}

// OfGroup judges a group as of the moment at which the answer was taken: the most alarming verdict on its partitions.
func OfGroup(group *protocol.Group, options Options) Verdict {
	var worst Verdict
	for i := range group.Topics {
		worst = worst.Join(OfTopic(&group.Topics[i], group.TakenAt, options))
	}
	return worst
}

// OfTopic judges one topic of a group as of now, the TakenAt of the answer: the most alarming verdict on its partitions.
func OfTopic(topic *protocol.GroupTopic, now time.Time, options Options) Verdict {
	worst := Verdict{Topic: topic.Name}
	options = options.withDefaults()
	for i := range topic.Partitions {
		// Only the worst partition needs a reason in words: writing one for each costs more than judging.
		switch s := judge(&topic.Partitions[i], now, options, false).Status; {
		case worst.Partitions == 0 || s != worst.Status && s.Worse(worst.Status):
			worst.Status, worst.Partition, worst.Partitions = s, int32(i), 1
		case s == worst.Status:
			worst.Partitions++
		}
	}
	if worst.Partitions == 0 {
		return Verdict{}
	}
	worst.Why = judge(&topic.Partitions[worst.Partition], now, options, true).Why
	return worst
}

// Join returns the verdict on two things together, such as two topics of a group: the more alarming one, or the first if both
// are equal.
func (v Verdict) Join(other Verdict) Verdict {
	switch {
	case v.Partitions == 0 || other.Status.Worse(v.Status):
		return other
	case other.Status == v.Status:
		v.Partitions += other.Partitions
	}
	return v
}

// OfPartition judges one partition of a group as of now, the TakenAt of the answer.
func OfPartition(p *protocol.GroupPartition, now time.Time, options Options) Verdict {
	return judge(p, now, options, true)
}

// judge is OfPartition, and sets Why only if explain is true.
func judge(p *protocol.GroupPartition, now time.Time, options Options, explain bool) Verdict {
	verdict := func(s Status, why func() string) Verdict {
		v := Verdict{Status: s, Partitions: 1}
		if explain {
			v.Why = why()
		}
		return v
	}
	switch p.State {
	case protocol.PartitionNoCommit:
		if !mayHoldUnread(p) {
			return verdict(OK, func() string { return "nothing to read" })
		}
		return verdict(NoCommit, func() string { return "nothing committed" })
	case protocol.PartitionReset:
		return verdict(Reset, func() string { return "the end offset went back below the commit" })
	case protocol.PartitionBeyondEnd:
		return verdict(BeyondEnd, func() string { return fmt.Sprintf("committed %d messages beyond the end", -p.Difference) })
	case protocol.PartitionRestored:
		return verdict(Restored, func() string { return "not confirmed since the restart" })
	}
	if !Believable(p) || len(p.Commits) == 0 {
		return Verdict{Partitions: 1}
	}
	if p.CurrentLag == 0 {
		return verdict(OK, func() string { return "nothing left to read" })
	}
	options = options.withDefaults()
	pause, silence := longestPause(p.Commits), trend.Freshness(p.Commits, now).Length
	waited, pauses := unread(p.TimeLag, silence), time.Duration(options.Pauses)*pause
	if waited > options.patience(p.Commits, pauses) {
		return verdict(Stopped, func() string {
			return fmt.Sprintf("behind by %d, silent for %v", p.CurrentLag, silence.Round(time.Second))
		})
	}
	if n := stalledFor(p.Commits); n >= stalledCommits {
		return verdict(Stalled, func() string {
			return fmt.Sprintf("behind by %d, committed offset %d %d times", p.CurrentLag, p.Commits[len(p.Commits)-1].Offset, n)
		})
	}
	if back := rewoundBy(p.Commits); back > 0 {
		return verdict(Rewound, func() string { return fmt.Sprintf("went back by %d, behind by %d", back, p.CurrentLag) })
	}
	if withinOnePause(p.TimeLag, pause) {
		return verdict(OK, func() string {
			return fmt.Sprintf("behind by %d, less than it reads between two commits", p.CurrentLag)
		})
	}
	direction := trend.DirectionOfPartition(p)
	if len(p.Commits) < 2 {
		direction = trend.Unknown // until the next commit, whose time is unknown, every lag grows
	}
	switch direction {
	case trend.Growing:
		return verdict(Lagging, func() string { return fmt.Sprintf("behind by %d and falling further behind", p.CurrentLag) })
	case trend.Shrinking:
		return verdict(CatchingUp, func() string { return fmt.Sprintf("behind by %d and catching up", p.CurrentLag) })
	case trend.Steady:
		if waited > pauses {
			return verdict(Behind, func() string {
				return fmt.Sprintf("behind by %d, silent for %v", p.CurrentLag, silence.Round(time.Second/10))
			})
		}
		return verdict(OK, func() string { return fmt.Sprintf("behind by %d and keeping up", p.CurrentLag) })
	default:
		return verdict(Behind, func() string {
			return fmt.Sprintf("behind by %d, too few lags known to say whether it catches up", p.CurrentLag)
		})
	}
}

// patience returns how long a group may be silent.
func (o Options) patience(commits []protocol.StoredCommit, pauses time.Duration) time.Duration {
	if len(commits) < 2 {
		return max(o.Silence, o.Single)
	}
	return max(o.Silence, pauses)
}

// unread returns how much of its silence a group has had something to read: a group that read a topic to its end and waits
// for an hour is not to blame for the message that then comes.
func unread(lag protocol.TimeLag, silence time.Duration) time.Duration {
	switch lag.Kind {
	case protocol.TimeLagExact, protocol.TimeLagInterpolated:
		return min(silence, lag.Lag+lag.Margin)
	}
	return silence
}

// stalledCommits is the number of commits of one offset that make a group stalled. A consumer that gets nothing new between
// two commits, as after an empty poll, repeats itself once; three commits of one offset in a row while messages wait are no
// accident.
const stalledCommits = 3

// stalledFor returns the number of commits at the end of a window that have the offset of the newest and were made while
// there was something to read.
func stalledFor(commits []protocol.StoredCommit) (n int) {
	newest := &commits[len(commits)-1]
	for i := len(commits) - 1; i >= 0 && commits[i].Offset == newest.Offset; i-- {
		if commits[i].LagKnown && commits[i].Lag > 0 {
			n++
		}
	}
	return n
}

// withinOnePause reports whether a group may be behind by no more than the pause between two of its commits. Such a lag rises
// and falls with the moment at which it is read, so of many partitions some always seem to grow. A lag that rests on times
// from brokers is too vague to be excused so.
func withinOnePause(lag protocol.TimeLag, pause time.Duration) bool {
	switch lag.Kind {
	case protocol.TimeLagExact, protocol.TimeLagInterpolated:
		return pause > 0 && lag.Source == "" && lag.Lag-lag.Margin <= pause
	}
	return false
}

// rewoundBy returns by how many messages the newest step back in a window went; 0 if there is none, or the group has caught up
// since.
func rewoundBy(commits []protocol.StoredCommit) int64 {
	for i := len(commits) - 1; i > 0; i-- {
		if commits[i].LagKnown && commits[i].Lag == 0 {
			return 0
		}
		if back := commits[i-1].Offset - commits[i].Offset; back > 0 {
			return back
		}
	}
	return 0
}

// longestPause returns the longest time between two commits of a window, 0 if there are fewer than two.
func longestPause(commits []protocol.StoredCommit) time.Duration {
	var longest int64
	for i := 1; i < len(commits); i++ {
		longest = max(longest, commits[i].Timestamp-commits[i-1].Timestamp)
	}
	return time.Duration(longest) * time.Millisecond
}

package trend

import (
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// Production is the rate at which end offsets grew over their newest run; it is not known if that spans no time.
func Production(ends []protocol.TimedEndOffset) Rate {
	var few [few]end
	return production(appendEnds(few[:0], ends))
}

// end is an end offset and when it was seen, in Unix milliseconds.
type end struct{ offset, at int64 }

// few is how many end offsets most partitions have at the most: there is room for so many on the stack.
const few = 32

func appendEnds(dst []end, ends []protocol.TimedEndOffset) []end {
	for i := range ends {
		dst = append(dst, end{ends[i].Offset, ends[i].Time.UnixMilli()})
	}
	return dst
}

func production(ends []end) Rate {
	if len(ends) == 0 {
		return Rate{}
	}
	run := ends[runOfEnds(ends):]
	first, last := run[0], run[len(run)-1]
	return rate(since(first.offset, last.offset), since(first.at, last.at))
}

// Consumption is the rate at which a group committed over the newest run of its commits; it is not known if that spans no
// time.
//
// A group that falls silent makes no commit that would show it. So the silence since the newest commit counts as far as it is
// longer than the longest pause of the run: the rate of a group that commits every 5 s stays the same for 5 s, and then falls
// towards 0 without a step.
func Consumption(commits []protocol.StoredCommit, now time.Time) Rate {
	if len(commits) == 0 {
		return Rate{}
	}
	run := commits[runOfCommits(commits):]
	first, last := &run[0], &run[len(run)-1]
	elapsed := since(first.Timestamp, last.Timestamp)
	if elapsed == 0 {
		return Rate{}
	}
	return rate(since(first.Offset, last.Offset), elapsed+overdue(run, now.UnixMilli()))
}

// overdue returns by how many ms the silence since the newest commit of a run exceeds its longest pause. Added to the time
// that the run spans it does not overflow, because both end by now.
func overdue(run []protocol.StoredCommit, now int64) uint64 {
	silence := since(run[len(run)-1].Timestamp, now)
	pause := longestPause(run)
	if silence <= pause {
		return 0
	}
	return silence - pause
}

// longestPause returns the longest time between successive commits of a run, in ms.
func longestPause(run []protocol.StoredCommit) uint64 {
	var longest uint64
	for i := 1; i < len(run); i++ {
		longest = max(longest, since(run[i-1].Timestamp, run[i].Timestamp))
	}
	return longest
}

// rate is messages per second.
func rate(messages, millis uint64) Rate {
	if millis == 0 {
		return Rate{}
	}
	return Rate{PerSecond: float64(messages) / (float64(millis) / 1000), Known: true}
}

// runOfCommits returns where the newest run starts.
func runOfCommits(commits []protocol.StoredCommit) int {
	i := len(commits) - 1
	for i > 0 && commits[i-1].Offset <= commits[i].Offset && commits[i-1].Timestamp <= commits[i].Timestamp {
		i--
	}
	return i
}

// runOfEnds returns where the newest run starts.
func runOfEnds(ends []end) int {
	i := len(ends) - 1
	for i > 0 && ends[i-1].offset <= ends[i].offset && ends[i-1].at <= ends[i].at {
		i--
	}
	return i
}

package prometheus

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
	"github.com/lagkeeper/storage/trend"
)

// lagSeriesKind is one of the metrics of a group.
type lagSeriesKind int

const (
	stateSeries lagSeriesKind = iota
	lagValue
	lagIsLowerBound
	timeLag
	timeLagError
	timeLagIsLowerBound
	commitAge
	committedOffset
	endOffset
	endOffsetAge
	lostMessages
	beyondEndMessages
	lagSeries // the number of series
)

// lagDescriptions are the names, and the help for each aggregation; if the help is empty, there is no such metric.
var lagDescriptions = [lagSeries]struct {
	name string
	help [2]string
}{
	stateSeries: {"state", [2]string{
		PerPartition: "1 for the state that the group is in on the partition; the other states are absent.",
		PerTopic:     "Partitions of the topic on which the group is in a state; absent for states with none.",
	}},
	lagValue: {"lag_messages", [2]string{
		PerPartition: "Messages that the group has yet to read: end offset less commit, or less the log start if that is greater; absent while it cannot be trusted.",
		PerTopic:     "Sum of the lags of the partitions, in messages, over those whose lag can be trusted; absent if there are none.",
	}},
	lagIsLowerBound: {"lag_is_lower_bound", [2]string{
		PerTopic: "1 if partitions that hold messages are not in the sum because their lag is not known; 0 otherwise.",
	}},
	timeLag: {"time_lag_seconds", [2]string{
		PerPartition: "How long ago the message that the group is at was the newest; absent if it is unknown.",
		PerTopic:     "Greatest time lag of the partitions; absent if none is known.",
	}},
	timeLagError: {"time_lag_error_seconds", [2]string{
		PerPartition: "By how much the time lag may be wrong, either way; absent if it is a lower bound.",
		PerTopic:     "By how much the greatest time lag may be wrong, either way; absent if it is a lower bound.",
	}},
	timeLagIsLowerBound: {"time_lag_is_lower_bound", [2]string{
		PerPartition: "1 if the time lag is a lower bound; 0 otherwise.",
		PerTopic:     "1 if the greatest time lag is a lower bound; 0 otherwise.",
	}},
	commitAge: {"commit_age_seconds", [2]string{
		PerPartition: "Age of the newest commit.",
		PerTopic:     "Age of the newest commit on any of the partitions.",
	}},
	committedOffset: {"committed_offset", [2]string{PerPartition: "Offset of the newest commit."}},
	endOffset:       {"end_offset", [2]string{PerPartition: "Newest end offset of the partition, as the lag was taken against."}},
	endOffsetAge: {"end_offset_age_seconds", [2]string{
		PerPartition: "How long ago the newest end offset was seen.",
		PerTopic:     "How long ago the newest end offset was seen, of the partition that was not seen for longest.",
	}},
	lostMessages: {"lost_messages", [2]string{
		PerPartition: "Messages that were deleted before the group could read them; absent if none are known.",
		PerTopic:     "Messages that were deleted before the group could read them; absent if none are known.",
	}},
	beyondEndMessages: {"beyond_end_messages", [2]string{
		PerPartition: "Commit less end offset, in messages, if the group is in the state beyond_end; absent otherwise.",
		PerTopic:     "Sum of commit less end offset, in messages, over the partitions in the state beyond_end; absent if there are none.",
	}},
}

// states are the states of a partition with their labels.
var states = [...]struct {
	state protocol.PartitionState
	label string
}{
	{protocol.PartitionUnknown, "unknown"},
	{protocol.PartitionNoCommit, "no_commit"},
	{protocol.PartitionNoEndOffset, "no_end_offset"},
	{protocol.PartitionReset, "reset"},
	{protocol.PartitionRestored, "restored"},
	{protocol.PartitionBeyondEnd, "beyond_end"},
	{protocol.PartitionAhead, "ahead"},
	{protocol.PartitionCaughtUp, "caught_up"},
	{protocol.PartitionBehind, "behind"},
}

// stateIndex returns the index of a state in states, or that of the unknown state if it is not there.
func stateIndex(state protocol.PartitionState) int {
	for i := range states {
		if states[i].state == state {
			return i
		}
	}
	return 0
}

// labelOf returns a name as a label, which has to be UTF-8. In a name that is not, invalid bytes are written as \xff and
// backslashes are doubled, so that different names get different labels.
func labelOf(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, name[0])
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteString(name[:size])
		}
		name = name[size:]
	}
	return b.String()
}

// point is one value of one series of a group.
type point struct {
	series lagSeriesKind
	state  int // the index in states, for stateSeries
	value  float64
}

// pointer collects the points of a partition or a topic.
type pointer struct{ points []point }

func (p *pointer) add(series lagSeriesKind, value float64) {
	p.points = append(p.points, point{series: series, value: value})
}

func (p *pointer) addState(state, partitions int) {
	p.points = append(p.points, point{series: stateSeries, state: state, value: float64(partitions)})
}

func (p *pointer) addFlag(series lagSeriesKind, set bool) {
	value := 0.0
	if set {
		value = 1
	}
	p.add(series, value)
}

// beyondEnd returns by how many messages a BEYONDEND commit is above the end of its partition; 0 in other states.
func beyondEnd(g *protocol.GroupPartition) int64 {
	if g.State != protocol.PartitionBeyondEnd || !g.DifferenceKnown {
		return 0
	}
	return -g.Difference
}

// appendPartition appends the points of one partition. A partition without a commit has only its state, and so has a restored
// one, whose numbers are from before the restart. One that was reset keeps what is still true: its offsets and their ages.
func appendPartition(points []point, g *protocol.GroupPartition, now time.Time) []point {
	p := pointer{points}
	p.addState(stateIndex(g.State), 1)
	if g.State == protocol.PartitionRestored || len(g.Commits) == 0 {
		return p.points
	}
	if status.Believable(g) {
		p.add(lagValue, float64(max(g.Difference, 0)))
		if g.TimeLag.Kind != protocol.TimeLagUnknown {
			atLeast := g.TimeLag.Kind == protocol.TimeLagAtLeast
			p.add(timeLag, g.TimeLag.Lag.Seconds())
			p.addFlag(timeLagIsLowerBound, atLeast)
			if !atLeast {
				p.add(timeLagError, g.TimeLag.Margin.Seconds())
			}
		}
	}
	p.add(commitAge, trend.Freshness(g.Commits, now).Length.Seconds())
	p.add(committedOffset, float64(g.Commits[len(g.Commits)-1].Offset))
	if n := len(g.EndOffsets); n > 0 && g.EndOffsetAge >= 0 {
		p.add(endOffset, float64(g.EndOffsets[n-1]))
		p.add(endOffsetAge, g.EndOffsetAge.Seconds())
	}
	if g.Lost > 0 {
		p.add(lostMessages, float64(g.Lost))
	}
	if beyond := beyondEnd(g); beyond > 0 {
		p.add(beyondEndMessages, float64(beyond))
	}
	return p.points
}

// appendTopic appends the points of all partitions of a topic together. more reports whether the topic has partitions with
// messages that are not in it.
func appendTopic(points []point, topic *protocol.GroupTopic, more bool, now time.Time) []point {
	var t topicSum
	for i := range topic.Partitions {
		t.add(&topic.Partitions[i], now)
	}
	p := pointer{points}
	for state, n := range t.states {
		if n > 0 {
			p.addState(state, n)
		}
	}
	lag := status.LagOfTopic(topic)
	if lag.Known {
		p.add(lagValue, float64(lag.Messages))
		p.addFlag(lagIsLowerBound, lag.AtLeast || more)
	}
	if kind := lag.Time.Kind; kind != protocol.TimeLagUnknown {
		atLeast := kind == protocol.TimeLagAtLeast || more
		p.add(timeLag, lag.Time.Lag.Seconds())
		p.addFlag(timeLagIsLowerBound, atLeast)
		if !atLeast {
			p.add(timeLagError, lag.Time.Margin.Seconds())
		}
	}
	if t.commitKnown {
		p.add(commitAge, t.commitAge.Seconds())
	}
	if t.endKnown {
		p.add(endOffsetAge, t.endAge.Seconds())
	}
	if t.lost > 0 {
		p.add(lostMessages, t.lost)
	}
	if t.beyondEnd > 0 {
		p.add(beyondEndMessages, t.beyondEnd)
	}
	return p.points
}

package status

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

var now = time.UnixMilli(1_700_000_000_000)

// point is a commit made some seconds ago.
type point struct {
	ago         int64
	offset, end int64
}

// partition makes the answer for commits with an end offset that was seen just now.
func partition(state protocol.PartitionState, end int64, points ...point) protocol.GroupPartition {
	p := protocol.GroupPartition{
		State: state, EndOffsets: []int64{end}, TimedEndOffsets: []protocol.TimedEndOffset{{Offset: end, Time: now}},
	}
	for _, c := range points {
		at := now.UnixMilli() - 1000*c.ago
		p.Commits = append(p.Commits, protocol.StoredCommit{
			Offset: c.offset, Timestamp: at, ObservedTimestamp: at, Lag: uint64(max(c.end-c.offset, 0)), LagKnown: true,
		})
		p.Difference, p.DifferenceKnown = end-c.offset, true
		p.CurrentLag = uint64(max(end-c.offset, 0))
	}
	return p
}

// within sets the lag in time.
func within(p protocol.GroupPartition, millis, margin time.Duration) protocol.GroupPartition {
	p.TimeLag = protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: millis * time.Millisecond, Margin: margin * time.Millisecond}
	return p
}

func TestOfPartition(t *testing.T) {
	t.Parallel()
	const behind = protocol.PartitionBehind
	for name, c := range map[string]struct {
		p    protocol.GroupPartition
		want Status
		why  string
	}{
		"nothing is known":      {protocol.GroupPartition{}, Unknown, ""},
		"no end offset":         {protocol.GroupPartition{State: protocol.PartitionNoEndOffset}, Unknown, ""},
		"nothing committed":     {partition(protocol.PartitionNoCommit, 5), NoCommit, "nothing committed"},
		"nothing to commit":     {partition(protocol.PartitionNoCommit, 0), OK, "nothing to read"},
		"caught up long ago":    {partition(protocol.PartitionCaughtUp, 10, point{86400, 10, 10}), OK, "nothing left to read"},
		"between two polls":     {partition(protocol.PartitionAhead, 10, point{1, 12, 10}), OK, "nothing left to read"},
		"reset":                 {partition(protocol.PartitionReset, 10, point{1, 5, 10}), Reset, "the end offset went back below the commit"},
		"restored":              {partition(protocol.PartitionRestored, 10, point{1, 5, 10}), Restored, "not confirmed since the restart"},
		"beyond the end":        {partition(protocol.PartitionBeyondEnd, 10, point{1, 15, 10}), BeyondEnd, "committed 5 messages beyond the end"},
		"one commit, fresh":     {partition(behind, 10, point{5, 5, 10}), Behind, "behind by 5, too few lags known to say whether it catches up"},
		"one commit, no rhythm": {partition(behind, 10, point{300, 5, 10}), Behind, "behind by 5, too few lags known to say whether it catches up"},
		"one commit, stale":     {partition(behind, 10, point{301, 5, 10}), Stopped, "behind by 5, silent for 5m1s"},
		"one commit, growing": {func() protocol.GroupPartition {
			p := partition(behind, 50, point{60, 5, 10})
			for i := range int64(5) {
				p.TimedEndOffsets = append(p.TimedEndOffsets[:i], protocol.TimedEndOffset{Offset: 10 * (i + 1), Time: now.Add(time.Duration(i-4) * 10 * time.Second)})
			}
			return p
		}(), Behind, "behind by 45, too few lags known to say whether it catches up"},
		"one commit, vague lag": {within(partition(behind, 10, point{5, 5, 10}), 1000, 120_000), Behind, "behind by 5, too few lags known to say whether it catches up"},
		"grows, vague lag": {func() protocol.GroupPartition {
			p := within(partition(behind, 90, point{20, 0, 10}, point{15, 10, 30}, point{10, 20, 50}, point{5, 30, 70}), 60_000, 120_000)
			p.TimeLag.Source = "broker"
			return p
		}(), Lagging, "behind by 60 and falling further behind"},
		"two commits":                 {partition(behind, 10, point{16, 4, 8}, point{15, 5, 10}), Behind, "behind by 5, silent for 15s"},
		"two commits, stale":          {partition(behind, 10, point{17, 4, 8}, point{16, 5, 10}), Stopped, "behind by 5, silent for 16s"},
		"nothing to read for an hour": {within(partition(behind, 10, point{3610, 5, 5}, point{3600, 9, 9}), 14_000, 999), OK, "behind by 1 and keeping up"},
		"does not read what comes":    {within(partition(behind, 10, point{3610, 5, 5}, point{3600, 9, 9}), 31_000, 0), Stopped, "behind by 1, silent for 1h0m0s"},
		"a minute each":               {partition(behind, 100, point{150, 20, 25}, point{90, 40, 45}, point{30, 60, 65}), OK, "behind by 40 and keeping up"},
		"a minute each, late":         {partition(behind, 100, point{301, 20, 25}, point{241, 40, 45}, point{181, 60, 65}), Stopped, "behind by 40, silent for 3m1s"},
		"three in a place":            {partition(behind, 50, point{15, 20, 30}, point{10, 20, 40}, point{5, 20, 50}), Stalled, "behind by 30, committed offset 20 3 times"},
		"twice in a place":            {partition(behind, 50, point{15, 10, 30}, point{10, 20, 41}, point{5, 20, 50}), Lagging, "behind by 30 and falling further behind"},
		"idle, then behind":           {partition(behind, 50, point{15, 20, 20}, point{10, 20, 20}, point{5, 20, 20}), OK, "behind by 30 and keeping up"},
		"went back":                   {partition(behind, 50, point{15, 40, 41}, point{10, 20, 45}, point{5, 30, 50}), Rewound, "went back by 20, behind by 20"},
		"went back, was there since":  {partition(behind, 60, point{15, 40, 41}, point{10, 20, 45}, point{5, 50, 50}), Behind, "behind by 10, too few lags known to say whether it catches up"},
		"went back, is there":         {partition(protocol.PartitionCaughtUp, 50, point{15, 40, 41}, point{10, 20, 45}, point{5, 50, 50}), OK, "nothing left to read"},
		"grows":                       {partition(behind, 90, point{20, 0, 10}, point{15, 10, 30}, point{10, 20, 50}, point{5, 30, 70}), Lagging, "behind by 60 and falling further behind"},
		"shrinks":                     {partition(behind, 100, point{20, 10, 90}, point{15, 40, 95}, point{10, 70, 98}, point{5, 95, 100}), CatchingUp, "behind by 5 and catching up"},
		"grows within a pause":        {within(partition(behind, 90, point{20, 0, 10}, point{15, 10, 30}, point{10, 20, 50}, point{5, 30, 70}), 5500, 600), OK, "behind by 60, less than it reads between two commits"},
		"grows beyond a pause":        {within(partition(behind, 90, point{20, 0, 10}, point{15, 10, 30}, point{10, 20, 50}, point{5, 30, 70}), 5700, 600), Lagging, "behind by 60 and falling further behind"},
		"emptied": {func() protocol.GroupPartition {
			p := partition(protocol.PartitionNoCommit, 5)
			p.LogStartOffset = 5
			return p
		}(), OK, "nothing to read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := OfPartition(&c.p, now, Options{})
			assert.Equal(t, Verdict{Status: c.want, Why: c.why, Partitions: 1}, v)
		})
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	p := partition(protocol.PartitionBehind, 100, point{80, 40, 45}, point{60, 60, 65})
	assert.Equal(t, OK, OfPartition(&p, now, Options{}).Status)
	assert.Equal(t, Stopped, OfPartition(&p, now, Options{Pauses: 2}).Status)
	assert.Equal(t, Behind, OfPartition(&p, now, Options{Pauses: 2, Silence: time.Minute}).Status)
	single := partition(protocol.PartitionBehind, 100, point{61, 40, 45})
	assert.Equal(t, Behind, OfPartition(&single, now, Options{}).Status)
	assert.Equal(t, Stopped, OfPartition(&single, now, Options{Single: time.Minute}).Status)
	assert.Equal(t, Behind, OfPartition(&single, now, Options{Single: time.Minute, Silence: 2 * time.Minute}).Status)
}

func TestWorstIsTold(t *testing.T) {
	t.Parallel()
	caughtUp := partition(protocol.PartitionCaughtUp, 10, point{1, 10, 10})
	stopped := partition(protocol.PartitionBehind, 10, point{105, 4, 10}, point{100, 5, 10})
	reset := partition(protocol.PartitionReset, 10, point{1, 5, 10})
	group := protocol.Group{TakenAt: now, Topics: []protocol.GroupTopic{
		{Name: "a", Partitions: []protocol.GroupPartition{caughtUp, reset, {}}},
		{Name: "b", Partitions: []protocol.GroupPartition{caughtUp, stopped, stopped}},
		{Name: "c", Partitions: []protocol.GroupPartition{stopped}},
	}}
	assert.Equal(t, Verdict{Status: Reset, Why: "the end offset went back below the commit", Topic: "a", Partition: 1, Partitions: 1},
		OfTopic(&group.Topics[0], now, Options{}))
	assert.Equal(t, Verdict{Status: Stopped, Why: "behind by 5, silent for 1m40s", Topic: "b", Partition: 1, Partitions: 3},
		OfGroup(&group, Options{}))
	assert.Equal(t, Verdict{}, OfGroup(&protocol.Group{TakenAt: now}, Options{}))
}

func TestSeverityIsAnOrder(t *testing.T) {
	t.Parallel()
	for i, a := range severity {
		for j, b := range severity {
			assert.Equal(t, i < j, a.Worse(b), "%q, %q", a, b)
		}
	}
	assert.False(t, Status("nonsense").Worse(Unknown))
}

func TestLag(t *testing.T) {
	t.Parallel()
	interpolated := func(p protocol.GroupPartition, millis, margin time.Duration) protocol.GroupPartition {
		p.TimeLag = protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: millis * time.Millisecond, Margin: margin * time.Millisecond}
		return p
	}
	exact := partition(protocol.PartitionCaughtUp, 10, point{1, 10, 10})
	exact.TimeLag = protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: 3 * time.Millisecond}
	behind := interpolated(partition(protocol.PartitionBehind, 10, point{1, 4, 10}), 1000, 200)
	recorded := behind
	recorded.TimeLag.Source = protocol.TimeSourceProducer
	further := interpolated(partition(protocol.PartitionBehind, 10, point{1, 3, 10}), 900, 500)
	lost := partition(protocol.PartitionCaughtUp, 10, point{1, 4, 10})
	lost.CurrentLag, lost.Lost, lost.TimeLag = 0, 6, protocol.TimeLag{Kind: protocol.TimeLagExact}
	old := partition(protocol.PartitionBehind, 10, point{1, 8, 10})
	old.TimeLag = protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: 1500 * time.Millisecond}
	reset := partition(protocol.PartitionReset, 10, point{1, 4, 10})
	immense := partition(protocol.PartitionBehind, math.MaxInt64, point{1, 0, math.MaxInt64})
	immense.Lost, immense.TimeLag = math.MaxInt64, protocol.TimeLag{Kind: protocol.TimeLagExact}

	for name, c := range map[string]struct {
		partitions []protocol.GroupPartition
		want       Lag
	}{
		"nothing":   {nil, Lag{}},
		"caught up": {[]protocol.GroupPartition{exact}, Lag{Known: true, Time: exact.TimeLag}},
		"sum":       {[]protocol.GroupPartition{exact, behind}, Lag{Known: true, Messages: 6, Time: behind.TimeLag}},
		// The later one may look earlier: the greatest of the true lags lies between 800 and 1400.
		"margins": {[]protocol.GroupPartition{behind, further}, Lag{Known: true, Messages: 13,
			Time: protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: time.Second, Margin: 400 * time.Millisecond}}},
		"at least": {[]protocol.GroupPartition{behind, old}, Lag{Known: true, Messages: 8,
			Time: protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: 1500 * time.Millisecond}}},
		"by records": {[]protocol.GroupPartition{behind, recorded, exact}, Lag{Known: true, Messages: 12, Time: recorded.TimeLag}},
		"immense": {[]protocol.GroupPartition{immense, immense, immense},
			Lag{Known: true, Messages: math.MaxUint64, Lost: math.MaxUint64, Time: immense.TimeLag}},
		"lost":         {[]protocol.GroupPartition{lost}, Lag{Known: true, Lost: 6, Time: lost.TimeLag}},
		"not believed": {[]protocol.GroupPartition{reset}, Lag{}},
		"in part": {[]protocol.GroupPartition{behind, reset}, Lag{Known: true, AtLeast: true, Messages: 6,
			Time: protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: time.Second}}},
		"never committed": {[]protocol.GroupPartition{behind, partition(protocol.PartitionNoCommit, 7)}, Lag{Known: true, AtLeast: true, Messages: 6,
			Time: protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: time.Second}}},
		"never written": {[]protocol.GroupPartition{behind, partition(protocol.PartitionNoCommit, 0)}, Lag{Known: true, Messages: 6, Time: behind.TimeLag}},
		// The leader of a partition has not answered since the store began.
		"end unknown": {[]protocol.GroupPartition{behind, {State: protocol.PartitionNoCommit}}, Lag{Known: true, AtLeast: true, Messages: 6,
			Time: protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := protocol.GroupTopic{Name: "t", Partitions: c.partitions}
			require.Equal(t, c.want, LagOfTopic(&topic))
			// The topics of a group are summed like the partitions of a topic.
			var group protocol.Group
			for i := range c.partitions {
				group.Topics = append(group.Topics, protocol.GroupTopic{Partitions: c.partitions[i : i+1]})
			}
			require.Equal(t, c.want, LagOfGroup(&group))
		})
	}
}

package main

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed"
	"github.com/lagkeeper/storage/protocol"
)

// dawn is the beginning of the world. Times in it are seconds since then.
var dawn = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// world is a fixed workload, for screens that are the same on every machine: it returns what a store would answer at a second.
type world struct {
	t      testing.TB
	second int64
	groups []actor
}

// actor is a group of the world on one topic.
type actor struct {
	cluster, group, topic string
	partitions            int
	members               int
	every                 int64 // seconds between two commits
	end, read             func(second int64) int64
	until                 int64 // the time of the last commit; 0 if the group does not stop
	state                 protocol.PartitionState
	lost                  uint64
}

func pace(perSecond int64) func(int64) int64 {
	return func(second int64) int64 { return perSecond * second }
}

func newWorld(t testing.TB) *world {
	return &world{t: t, groups: []actor{
		{cluster: "prod", group: "billing", topic: "orders", partitions: 4, members: 2, every: 5, end: pace(50), read: pace(50)},
		{cluster: "prod", group: "warehouse", topic: "orders", partitions: 4, members: 1, every: 5, end: pace(50), read: pace(30)},
		{cluster: "prod", group: "mailer", topic: "payments", partitions: 3, every: 5, end: pace(10), read: pace(10), until: 240},
		{cluster: "prod", group: "search", topic: "payments", partitions: 3, members: 1, every: 5, end: pace(10), read: func(second int64) int64 {
			if second < 265 {
				return 10 * second
			}
			return min(10*second, 2000+15*(second-265))
		}},
		{cluster: "prod", group: "import", topic: "clicks", partitions: 2, members: 1, every: 5, end: func(second int64) int64 { return 200_000 + 20*second },
			read: pace(600)},
		{cluster: "prod", group: "reports", topic: "clicks", partitions: 2, members: 1, every: 60, end: func(second int64) int64 { return 200_000 + 20*second },
			read: func(second int64) int64 { return 200_000 + 20*second }, lost: 1_250},
		{cluster: "prod", group: "ledger", topic: "accounts", partitions: 1, members: 1, every: 5, end: pace(3), read: pace(5), state: protocol.PartitionReset},
		{cluster: "test", group: "payments-service-of-the-second-floor-v2", topic: "payments.retries.dead-letters", partitions: 12, every: 1000,
			end: pace(1), read: pace(1)},
		{cluster: "test", group: "b\x1b[2Jad", topic: "t", partitions: 1, members: 1, every: 5, end: pace(0), read: pace(0)},
	}}
}

func (w *world) now() time.Time { return dawn.Add(time.Duration(w.second) * time.Second) }

func (w *world) millis(second int64) int64 { return dawn.UnixMilli() + 1000*second }

// partition returns what a store would answer.
func (w *world) partition(a *actor, number int) protocol.GroupPartition {
	end := a.end(w.second)
	p := protocol.GroupPartition{EndOffsets: []int64{end}, State: a.state, Lost: a.lost}
	for polled := max(w.second-90, 0); polled <= w.second; polled += 10 {
		p.TimedEndOffsets = append(p.TimedEndOffsets, protocol.TimedEndOffset{Offset: a.end(polled), Time: dawn.Add(time.Duration(polled) * time.Second)})
	}
	if a.members > 0 {
		p.ClientID = a.group + "-" + string(rune('1'+number%a.members))
		p.Owner = "10.0.0." + string(rune('1'+number%a.members))
	}
	last := w.second
	if a.until > 0 {
		last = min(last, a.until)
	}
	last -= last % a.every
	for second := max(last-9*a.every, 0); second <= last; second += a.every {
		offset := a.read(second)
		if a.state == protocol.PartitionUnknown {
			offset = min(offset, a.end(second))
		}
		p.Commits = append(p.Commits, protocol.StoredCommit{Offset: offset, Timestamp: w.millis(second), ObservedTimestamp: w.millis(second),
			Lag: uint64(max(a.end(second)-offset, 0)), LagKnown: true})
	}
	commit := p.Commits[len(p.Commits)-1].Offset
	if a.state != protocol.PartitionUnknown {
		return p
	}
	p.Difference, p.DifferenceKnown, p.CurrentLag, p.State = end-commit, true, uint64(end-commit), protocol.PartitionBehind
	if end == commit {
		p.State, p.TimeLag = protocol.PartitionCaughtUp, protocol.TimeLag{Kind: protocol.TimeLagExact}
		return p
	}
	then := w.second
	for then > 0 && a.end(then) > commit {
		then--
	}
	p.TimeLag = protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: time.Duration(w.second-then) * time.Second, Margin: time.Second / 2}
	if then == 0 {
		p.TimeLag = protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: time.Duration(w.second) * time.Second}
	}
	return p
}

func (w *world) Clusters(context.Context) ([]string, error) { return []string{"prod", "test"}, nil }

func (w *world) Groups(_ context.Context, cluster string) (iter.Seq[string], error) {
	return func(yield func(string) bool) {
		for i := range w.groups {
			if a := &w.groups[i]; a.cluster == cluster && !yield(a.group) {
				return
			}
		}
	}, nil
}

func (w *world) Group(_ context.Context, cluster, group string, into *protocol.Group) error {
	for i := range w.groups {
		a := &w.groups[i]
		if a.cluster != cluster || a.group != group {
			continue
		}
		topic := protocol.GroupTopic{Name: a.topic}
		for number := range a.partitions {
			topic.Partitions = append(topic.Partitions, w.partition(a, number))
		}
		into.TakenAt = w.now()
		into.Topics = []protocol.GroupTopic{topic}
		return nil
	}
	return storage.ErrUnknownGroup
}

func (w *world) Topics(context.Context, string) (iter.Seq[string], error) {
	return slices.Values([]string(nil)), nil
}

func (w *world) EndOffsets(_ context.Context, _, _ string, dst []int64) ([]int64, error) {
	return dst, nil
}

func (w *world) states() []clusterState {
	polled := w.millis(w.second - 3)
	return []clusterState{
		{Cluster: "prod", Mode: kafkafeed.ModeLog, Ready: true, LastPoll: &polled, PollMs: 84},
		{Cluster: "test", Mode: kafkafeed.ModePoll, Reason: "not allowed", LastPoll: &polled, PollMs: 1270, Ready: true,
			Missing: []string{"end offsets: dial tcp 10.0.7.3:9092: connect: connection refused"}},
	}
}

// readings reads the world every ten seconds up to a given second, and returns the last reading.
func (w *world) readings(until int64) reading {
	r := reader{source: w, clusters: []string{"prod", "test"}, states: w.states, now: w.now}
	var events eventLog
	var last reading
	for w.second = until - 100; w.second <= until; w.second += 10 {
		before := r.before
		var err error
		last, err = r.read(context.Background())
		require.NoError(w.t, err)
		events.compare(before, last.groups, last.at)
	}
	w.second = until
	last.events = events.all()
	return last
}

// find returns a row of a reading.
func (r reading) find(group string) *groupRow {
	for _, row := range r.groups {
		if strings.HasPrefix(row.Group, group) {
			return row
		}
	}
	return nil
}

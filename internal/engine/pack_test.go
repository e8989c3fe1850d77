package engine

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// saved returns the groups that an engine saves, packed.
func saved(t *testing.T, e *Engine) (groups []snapshot.Group) {
	t.Helper()
	require.NoError(t, e.Save(collecting{groups: &groups}))
	return groups
}

type collecting struct {
	nothing
	groups *[]snapshot.Group
}

func (c collecting) WriteGroup(g *snapshot.Group) error {
	own := *g
	own.Topics, own.Members = nil, append([]snapshot.Member(nil), g.Members...)
	for _, t := range g.Topics {
		t.Windows.Run, t.Windows.Owners = bytes.Clone(t.Windows.Run), append([]uint32(nil), t.Windows.Owners...)
		own.Topics = append(own.Topics, t)
	}
	*c.groups = append(*c.groups, own)
	return nil
}

// restoredFrom returns an engine that has loaded a snapshot of another, at its time.
func restoredFrom(t *testing.T, from *Engine, now int64, intervals int) (*Engine, *Cluster) {
	t.Helper()
	var file bytes.Buffer
	w := snapshot.NewWriter(&file, snapshot.Header{TakenAt: now, Intervals: from.config.Intervals})
	require.NoError(t, from.Save(w.Blocks(), w.Blocks()))
	_, err := w.Close()
	require.NoError(t, err)
	r, err := snapshot.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	e, c, clock := newTestEngine(2, intervals)
	clock.now = now
	require.NoError(t, r.Read(t.Context(), e.Loader(), e.Loader()))
	e.checkInvariants(t)
	return e, c
}

func fetched(t *testing.T, e *Engine, c *Cluster, name string) (group protocol.Group) {
	t.Helper()
	k, why := e.Capture(c, name)
	require.Zero(t, why)
	defer k.Release()
	k.Group(&group)
	return group
}

// TestOnlyLivingWindowsAreSaved commits until windows have moved many times, and removes some: nothing dead is in the snapshot, and
// members that own nothing are not either.
func TestOnlyLivingWindowsAreSaved(t *testing.T) {
	t.Parallel()
	const partitions = 40
	e, c, _ := newTestEngine(1, 10)
	for p := range int32(partitions) {
		require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Partition: p, TopicPartitionCount: partitions, Offset: 1 << 40}))
	}
	for i := range int64(30) {
		for p := range int32(partitions) {
			require.Zero(t, e.Commit(c, "group", &protocol.Commit{
				Topic: "topic", Partition: p, Offset: i * i << (p % 20), Order: i * (i + int64(p)), Timestamp: startTime - 100_000 + i,
			}))
			require.Zero(t, e.SetOwner(c, "group", &protocol.PartitionOwner{
				Topic: "topic", Partition: p, Owner: fmt.Sprint("host-", p%3, "-", i), ClientID: "client",
			}))
		}
	}
	for p := range int32(partitions) {
		if p%2 == 0 {
			require.Zero(t, e.DeletePartition(c, "group", "topic", p, 0))
		}
	}
	g := e.onlyGroup(t, "group")
	used, living := 0, 0
	for i := range g.memory.blocks {
		used += int(g.memory.blocks[i].used)
	}
	for slot := range g.memory.slots {
		if w := g.windowOf(uint32(slot)); w != nil {
			living += w.Size()
		}
	}
	require.Greater(t, used, living+living/8, "nothing is dead: the test shows nothing")
	require.Greater(t, len(g.members.list), 3)

	groups := saved(t, e)
	require.Len(t, groups, 1)
	w := &groups[0].Topics[0].Windows
	require.Len(t, w.Run, living+window.Padding)
	require.Equal(t, partitions/2, w.Count)
	require.Equal(t, 10*partitions/2, w.Commits)
	require.ElementsMatch(t, []snapshot.Member{
		{Owner: "host-0-29", ClientID: "client"}, {Owner: "host-1-29", ClientID: "client"}, {Owner: "host-2-29", ClientID: "client"},
	}, groups[0].Members)
	again, other := restoredFrom(t, e, startTime, 10)
	want, got := fetched(t, e, c, "group"), fetched(t, again, other, "group")
	for p := range want.Topics[0].Partitions {
		require.Equal(t, want.Topics[0].Partitions[p].Commits, got.Topics[0].Partitions[p].Commits)
		require.Equal(t, want.Topics[0].Partitions[p].Owner, got.Topics[0].Partitions[p].Owner)
	}
	require.Equal(t, groups, saved(t, again), "a snapshot of what was restored is the same")
}

// TestRegularWindowsArePadded saves windows of so regular commits that they take less than a byte each.
func TestRegularWindowsArePadded(t *testing.T) {
	t.Parallel()
	const commits, partitions = 900, 3
	e, c, clock := newTestEngine(1, commits)
	r := &snapshot.Group{Cluster: "local", Name: "group", LastCommit: startTime, LastOwner: snapshot.Never}
	topic := snapshot.GroupTopic{Name: "topic", PartitionCount: partitions, LastCommit: startTime}
	for p := range int32(partitions) {
		topic.Partitions = append(topic.Partitions, snapshot.GroupPartition{Number: p, Commits: make([]protocol.StoredCommit, commits)})
		for i := range topic.Partitions[p].Commits {
			topic.Partitions[p].Commits[i] = protocol.StoredCommit{Offset: 7, Order: 5, Timestamp: startTime, ObservedTimestamp: startTime, LagKnown: true}
		}
	}
	r.Topics = append(r.Topics, topic)
	require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Offset: 100, TopicPartitionCount: partitions}))
	require.NoError(t, e.Loader().WriteGroup(r))
	w, _ := e.onlyGroup(t, "group").windowAt(&e.onlyGroup(t, "group").topics[0], 1)
	require.Less(t, w.Size(), commits, "not so regular: the test shows nothing")

	groups := saved(t, e)
	require.Len(t, groups[0].Topics[0].Windows.Run, partitions*commits+window.Padding)
	unpacked := groups[0].Unpacked()
	require.Equal(t, r.Topics, unpacked.Topics)
	again, _ := restoredFrom(t, e, clock.now, commits)
	unpacked = saved(t, again)[0]
	unpacked = unpacked.Unpacked()
	require.Equal(t, r.Topics, unpacked.Topics)
}

// TestWindowsThatDoNotFitTheConfiguration restores with fewer intervals and with an earlier clock, in windows that are taken as they
// are beside others that are not.
func TestWindowsThatDoNotFitTheConfiguration(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 10)
	for p := range int32(3) {
		require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Partition: p, TopicPartitionCount: 3, Offset: 1000}))
		for i := range int64(10) {
			if p == 1 && i >= 4 {
				break
			}
			clock.now = startTime + 1000*i
			require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: "topic", Partition: p, Offset: 10 * i, Order: i + 1, Timestamp: clock.now}))
		}
	}
	all := fetched(t, e, c, "group").Topics[0].Partitions
	require.Len(t, all[0].Commits, 10)
	require.Len(t, all[1].Commits, 4)

	fewer, other := restoredFrom(t, e, clock.now, 5)
	got := fetched(t, fewer, other, "group").Topics[0].Partitions
	for p := range got {
		commits := all[p].Commits
		require.Equal(t, commits[max(0, len(commits)-5):], got[p].Commits, "the oldest go")
	}

	now := startTime + 4500
	earlier, other := restoredFrom(t, e, now, 10)
	got = fetched(t, earlier, other, "group").Topics[0].Partitions
	require.Equal(t, all[1].Commits, got[1].Commits)
	for _, p := range []int{0, 2} {
		for i, commit := range got[p].Commits {
			want := all[p].Commits[i]
			want.Timestamp, want.ObservedTimestamp = min(want.Timestamp, now), min(want.ObservedTimestamp, now/1000*1000)
			require.Equal(t, want, commit, "no later than now")
		}
	}
}

// TestLoaderTakesAnyWindow loads windows that no engine makes: negative offsets and orders that go back are left out.
func TestLoaderTakesAnyWindow(t *testing.T) {
	t.Parallel()
	e, c, _ := newTestEngine(1, 10)
	require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Offset: 100, TopicPartitionCount: 2}))
	r := &snapshot.Group{Cluster: "local", Name: "group", LastCommit: startTime, LastOwner: snapshot.Never}
	p := snapshot.GroupPartition{Number: 1, Incarnation: 7, Owner: "host"}
	for _, order := range []int64{-1, 5, 3, 5, 9, -7, 8, 12} {
		p.Commits = append(p.Commits, protocol.StoredCommit{Offset: 100 + order, Order: order, Timestamp: startTime, ObservedTimestamp: startTime})
	}
	p.Commits = append(p.Commits, protocol.StoredCommit{Offset: -1, Order: 13, Timestamp: startTime})
	r.Topics = []snapshot.GroupTopic{{Name: "topic", PartitionCount: 2, Partitions: []snapshot.GroupPartition{p}}}
	packed := snapshottest.Packed(r)
	require.NoError(t, e.Loader().WriteGroup(&packed))
	g := e.onlyGroup(t, "group")
	w, slot := g.windowAt(&g.topics[0], 1)
	require.True(t, restored(w))
	require.EqualValues(t, 7, incarnationOf(w))
	require.Equal(t, member{owner: "host"}, g.owner(slot))
	require.True(t, g.knows(slot, 12))
	require.False(t, g.knows(slot, 13))
	var orders []int64
	for _, commit := range w.AppendTo(nil) {
		orders = append(orders, commit.Order)
	}
	require.Equal(t, []int64{5, 5, 9, 12}, orders)
}

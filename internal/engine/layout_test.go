package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// greatest is the greatest partition number.
const greatest = int32(ends.MaxPartitions - 1)

// pollAll stores an end offset of some partitions of a topic with the greatest count.
func pollAll(t testing.TB, e *Engine, c *Cluster, topic string, partitions ...int32) {
	t.Helper()
	for _, p := range partitions {
		require.Zero(t, e.SetEndOffset(c, topic, &protocol.EndOffset{Partition: p, TopicPartitionCount: ends.MaxPartitions, Offset: 1000}))
	}
}

// commitAll commits order times ten as offset on some partitions.
func commitAll(t testing.TB, e *Engine, c *Cluster, group, topic string, order int64, partitions ...int32) {
	t.Helper()
	for _, p := range partitions {
		require.Zero(t, e.Commit(c, group, &protocol.Commit{
			Topic: topic, Partition: p, Offset: 10 * order, Order: order, Timestamp: startTime,
		}), "partition %d", p)
	}
}

// remembered returns what is remembered of the only topic that group "group" lost.
func (e *Engine) remembered(c *Cluster) []departedPartition {
	x := e.shard(c.hash("group")).departures.byGroup[departedGroup{c, "group"}]
	if x == nil {
		return nil
	}
	return x.topics[0].partitions
}

// TestOneGreatPartitionIsSmall gives groups one partition each, the greatest possible. It counts allocated memory and so is
// not parallel.
func TestOneGreatPartitionIsSmall(t *testing.T) {
	const groups, most = 64, 4 << 10
	name := func(i int) string { return fmt.Sprint("group-", i) }
	record := func(i int) *snapshot.Group {
		return &snapshot.Group{
			Cluster: "local", Name: name(i), LastCommit: startTime, LastOwner: snapshot.Never,
			Topics: []snapshot.GroupTopic{{
				Name: "topic", PartitionCount: ends.MaxPartitions, LastCommit: startTime,
				Partitions: []snapshot.GroupPartition{{
					Number: greatest, Owner: "host", Commits: []protocol.StoredCommit{{Offset: 10, Order: 1, Timestamp: startTime}},
				}},
			}},
		}
	}
	for how, add := range map[string]func(e *Engine, c *Cluster, i int){
		"live": func(e *Engine, c *Cluster, i int) {
			commitAll(t, e, c, name(i), "topic", 1, greatest)
			require.Zero(t, e.SetOwner(c, name(i), &protocol.PartitionOwner{Topic: "topic", Partition: greatest, Owner: "host"}))
		},
		"restored": func(e *Engine, _ *Cluster, i int) { require.NoError(t, e.Loader().WriteGroup(record(i))) },
		"imported": func(e *Engine, _ *Cluster, i int) {
			im := e.Import()
			require.NoError(t, im.WriteGroup(record(i)))
			require.NoError(t, im.Apply(nil))
		},
	} {
		t.Run(how, func(t *testing.T) {
			e, c, _ := newTestEngine(1, 3)
			pollAll(t, e, c, "topic", greatest)
			allocatedBefore, countedBefore, heapBefore := allocated(), e.Stats().Bytes, int64(heap().HeapAlloc)
			for i := range groups {
				add(e, c, i)
			}
			require.LessOrEqual(t, allocated()-allocatedBefore, int64(4*groups*most), "bytes that were allocated meanwhile")
			require.LessOrEqual(t, int64(heap().HeapAlloc)-heapBefore, int64(groups*most), "bytes that live")
			require.LessOrEqual(t, e.Stats().Bytes-countedBefore, groups*most, "bytes that are counted")
			e.checkInvariants(t)
			requireCounted(t, e)
			for i := range groups {
				g := e.onlyGroup(t, name(i))
				w, slot := g.windowAt(&g.topics[0], greatest)
				require.EqualValues(t, 10, w.NewestOffset())
				require.Equal(t, member{owner: "host"}, g.owner(slot))
				require.EqualValues(t, ends.MaxPartitions, g.counted)
			}
		})
	}
}

// TestSparseTopicBecomesDense fills a topic from few distant partitions to all of them, in several orders, and checks
// everything in between.
func TestSparseTopicBecomesDense(t *testing.T) {
	t.Parallel()
	const partitions = 1500
	for name, order := range map[string]func(i int) int32{
		"ascending":  func(i int) int32 { return int32(i) },
		"descending": func(i int) int32 { return int32(partitions - 1 - i) },
		"mixed":      func(i int) int32 { return int32((i*577 + 1000) % partitions) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, c, _ := newTestEngine(1, 3)
			var sparse, last bool
			changes := 0
			for i := range partitions {
				p := order(i)
				pollAll(t, e, c, "topic", p)
				commitAll(t, e, c, "group", "topic", int64(p)+1, p)
				if i%4 == 0 {
					// Another topic keeps the first from growing in place.
					pollAll(t, e, c, "other", p)
					commitAll(t, e, c, "group", "other", int64(p)+1, p)
				}
				g := e.onlyGroup(t, "group")
				if now := g.topics[0].sparse; now != last {
					last = now
					changes++
				}
				sparse = sparse || last
				if i%100 == 0 {
					e.checkInvariants(t)
				}
			}
			e.checkInvariants(t)
			requireCounted(t, e)
			g := e.onlyGroup(t, "group")
			require.Equal(t, name != "ascending", sparse)
			require.LessOrEqual(t, changes, 2)
			require.False(t, g.topics[0].sparse)
			for p := range int32(partitions) {
				w, _ := g.windowAt(&g.topics[0], p)
				require.EqualValues(t, 10*(p+1), w.NewestOffset())
			}
		})
	}
}

// TestManyPartitionsFarApart takes a topic beyond the limit for sparse topics. The memory stays in proportion.
func TestManyPartitionsFarApart(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 1)
	const partitions = mostSparse + 100
	all := make([]int32, partitions)
	for i := range all {
		all[i] = int32(i) * (ends.MaxPartitions / partitions)
	}
	rand.Shuffle(partitions, func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, p := range all {
		pollAll(t, e, c, "topic", p)
		require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: "topic", Partition: p, Offset: int64(p), Timestamp: clock.now}))
		if i == mostSparse-1 {
			g := e.onlyGroup(t, "group")
			require.True(t, g.topics[0].sparse)
			require.Less(t, g.bytes(), 100*mostSparse)
			e.checkInvariants(t)
		}
	}
	g := e.onlyGroup(t, "group")
	require.False(t, g.topics[0].sparse)
	require.Less(t, g.bytes(), 500*mostSparse)
	require.Equal(t, partitions, g.memory.windows)
	e.checkInvariants(t)
	requireCounted(t, e)
}

// TestSparsePartitionsAreTold deletes partitions of a sparse topic, gives them owners and removes their orders: each is
// published, and remembered, with its own number.
func TestSparsePartitionsAreTold(t *testing.T) {
	t.Parallel()
	hub := new(feed.Hub[protocol.Event])
	e := New(Config{
		Clusters: []string{"local"}, Shards: 1, Intervals: 3, ExpireGroup: 1_000_000_000, ExpireTopic: 1_000_000_000, CurveSegments: 8,
		Remember: true, Clock: &stoppedClock{startTime}, Hub: hub,
	})
	c := e.Cluster("local")
	all := []int32{7, 900_000, 500, greatest, 70_000}
	pollAll(t, e, c, "topic", all...)
	commitAll(t, e, c, "group", "topic", 5, all...)
	require.True(t, e.onlyGroup(t, "group").topics[0].sparse)

	owners := []protocol.PartitionOwner{{Topic: "topic", Partition: 500, Owner: "a"}, {Topic: "topic", Partition: greatest, Owner: "b"}}
	told := map[int32]string{}
	watcher := hub.Watch(1, func(event protocol.Event) bool {
		if event.Kind == protocol.EventOwnerChanged {
			told[event.Partition] = event.Owner
		}
		return false
	}, nil)
	require.Zero(t, e.SetOwners(c, "group", owners, func(int, Reason) { t.Fatal("refused") }))
	watcher.Close()
	require.Equal(t, map[int32]string{500: "a", greatest: "b"}, told)
	requireOwner := func(partition int32, want string) {
		t.Helper()
		g := e.onlyGroup(t, "group")
		_, slot := g.windowAt(&g.topics[0], partition)
		require.Equal(t, want, g.owner(slot).owner)
	}
	requireOwner(500, "a")
	requireOwner(greatest, "b")

	// The partitions behind the deleted one move.
	require.Zero(t, e.DeletePartition(c, "group", "topic", 500, 0))
	require.Equal(t, UnknownPartition, e.DeletePartition(c, "group", "topic", 500, 0))
	require.Equal(t, UnknownPartition, e.DeletePartition(c, "group", "topic", 501, 0))
	e.checkInvariants(t)
	requireOwner(greatest, "b")
	again := func(partition int32, order int64) Reason {
		return e.Commit(c, "group", &protocol.Commit{Topic: "topic", Partition: partition, Offset: 1, Order: order, Timestamp: startTime})
	}
	require.Equal(t, []departedPartition{{partition: 500, order: 5}}, e.remembered(c))
	require.Zero(t, again(500, 6))
	require.Empty(t, e.remembered(c))
	requireOwner(500, "")

	require.Zero(t, e.ForgetOrders(c, nil))
	require.Zero(t, again(greatest, 1))

	var file bytes.Buffer
	w := snapshot.NewWriter(&file, snapshot.Header{TakenAt: startTime, Intervals: 3})
	require.NoError(t, e.Save(w.Blocks(), w.Blocks()))
	_, err := w.Close()
	require.NoError(t, err)
	r, err := snapshot.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	restored, _, _ := newTestEngine(1, 3)
	require.NoError(t, r.Read(t.Context(), restored.Loader(), restored.Loader()))
	restored.checkInvariants(t)
	g := restored.onlyGroup(t, "group")
	require.Equal(t, len(all), g.memory.windows)
	for _, p := range all {
		w, slot := g.windowAt(&g.topics[0], p)
		require.NotNil(t, w, "partition %d", p)
		require.True(t, g.knows(slot, w.NewestOrder()))
	}

	// Every partition with an order is remembered with the topic.
	require.Zero(t, again(70_000, 3))
	require.Zero(t, e.DeleteGroupTopic(c, "group", "topic"))
	require.Equal(t, []departedPartition{{partition: 70_000, order: 3}, {partition: greatest, order: 1}}, e.remembered(c))
}

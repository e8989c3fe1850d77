package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// walk counts the bytes of a group from its contents, without any running count.
func walk(g *group) int {
	bytes := int(unsafe.Sizeof(*g)) + len(g.name) + int(unsafe.Sizeof(g)) +
		cap(g.topics)*int(unsafe.Sizeof(groupTopic{})) + len(g.topics)*int(unsafe.Sizeof(g)) +
		cap(g.memory.slots)*int(unsafe.Sizeof(reference(0))) + (cap(g.owners)+cap(g.numbers))*4 + cap(g.known)*8 +
		cap(g.members.list)*int(unsafe.Sizeof(member{})) +
		indexBytes(len(g.members.numbers), int(unsafe.Sizeof(member{})+unsafe.Sizeof(uint64(0)))) +
		indexBytes(len(g.byName), int(unsafe.Sizeof("")+unsafe.Sizeof(int(0))))
	for i := range g.memory.blocks {
		bytes += cap(g.memory.bytes[i])
	}
	for i := range g.members.list {
		bytes += len(g.members.list[i].owner) + len(g.members.list[i].clientID)
	}
	return bytes
}

func requireCounted(t *testing.T, e *Engine) {
	t.Helper()
	groups := 0
	for i := range e.shards {
		for _, list := range e.shards[i].lists {
			for _, g := range list {
				require.Equal(t, walk(g), g.accounted, "group %q", g.name)
				groups += g.accounted
			}
		}
	}
	require.EqualValues(t, e.Stats().Bytes, e.Used())
	require.GreaterOrEqual(t, e.Used(), int64(groups))
}

// TestMemoryIsCountedAsItChanges compares the running count with a full count while groups and topics come, grow and go in
// every possible way.
func TestMemoryIsCountedAsItChanges(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	clock := &stoppedClock{startTime}
	e := New(Config{
		Clusters: []string{"a", "b"}, Shards: 3, Intervals: 20, ExpireGroup: 3_600_000, ExpireTopic: 1_800_000,
		CurveSegments: 16, Remember: true, Clock: clock, Hub: new(feed.Hub[protocol.Event]),
	})
	name := func(kind string, n int) string { return fmt.Sprintf("%s-%d", kind, random.IntN(n)) }
	var id protocol.TopicID
	for step := range 30_000 {
		clock.now += random.Int64N(4000)
		c := e.Cluster([]string{"a", "b"}[random.IntN(2)])
		topic, group := name("topic", 40), name("group", 30)
		partition := int32(random.IntN(12))
		if random.IntN(50) == 0 {
			partition = random.Int32N(3000)
		}
		switch choice := random.IntN(1000); {
		case choice < 400:
			id[0] = byte(random.IntN(50) / 49)
			e.SetEndOffset(c, topic, &protocol.EndOffset{
				Partition: partition, Offset: random.Int64N(1 << 40), Timestamp: clock.now - random.Int64N(2000), TopicID: id,
			})
		case choice < 850:
			e.Commit(c, group, &protocol.Commit{
				Topic: topic, Partition: partition, Offset: random.Int64N(1 << 40), Order: random.Int64N(1 << 30), Timestamp: clock.now,
			})
		case choice < 950:
			e.SetOwner(c, group, &protocol.PartitionOwner{Topic: topic, Partition: partition, Owner: name("host", 200), ClientID: name("c", 9)})
		case choice < 953:
			owners := make([]protocol.PartitionOwner, random.IntN(20))
			for i := range owners {
				owners[i] = protocol.PartitionOwner{Topic: topic, Partition: random.Int32N(12), Owner: name("host", 200)}
			}
			e.SetOwners(c, group, owners, func(int, Reason) {})
		case choice < 955:
			e.ClearOwners(c, group)
		case choice < 965:
			e.DeleteGroupTopic(c, group, topic)
		case choice < 975:
			e.DeletePartition(c, group, topic, partition, 0)
		case choice < 980:
			e.DeleteGroup(c, group)
		case choice < 985:
			e.DeleteTopic(c, topic)
		case choice < 990:
			e.Sweep()
		case choice < 992:
			e.ForgetOrders(c, nil)
		case choice == 992 && step%10 == 0:
			require.Zero(t, e.RemoveCluster("b"))
			require.NoError(t, e.AddCluster("b"))
		case choice < 993:
			clock.now += 2_000_000
		case choice < 995:
			require.NoError(t, e.Save(loading{e.Loader()}))
		}
		if step%500 == 0 {
			requireCounted(t, e)
		}
	}
	requireCounted(t, e)
	for _, cluster := range []string{"a", "b"} {
		require.Zero(t, e.SyncTopics(e.Cluster(cluster), nil))
	}
	requireCounted(t, e)
	require.Zero(t, e.Stats().Groups)
}

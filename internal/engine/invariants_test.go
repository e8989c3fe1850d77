package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// stoppedClock shows the time that it was set to.
type stoppedClock struct{ now int64 }

func (c *stoppedClock) Coarse() int64 { return c.now }
func (c *stoppedClock) Now() int64    { return c.now }

func (c *stoppedClock) Read() (now, elapsed int64) { return c.now, c.now }

// startTime is when a stoppedClock of newTestEngine begins.
const startTime = int64(1_700_000_000_000)

// newTestEngine makes an engine with one cluster, "local", and a clock that stands still.
func newTestEngine(shards, intervals int, change ...func(*Config)) (*Engine, *Cluster, *stoppedClock) {
	clock := &stoppedClock{startTime}
	config := Config{
		Clusters: []string{"local"}, Shards: shards, Intervals: intervals,
		ExpireGroup: 1_000_000_000, ExpireTopic: 1_000_000_000, CurveSegments: 8,
		Clock: clock, Hub: &feed.Hub[protocol.Event]{},
	}
	for _, c := range change {
		c(&config)
	}
	e := New(config)
	return e, e.Cluster("local"), clock
}

// onlyGroup returns a group that must be there.
func (e *Engine) onlyGroup(t testing.TB, name string) *group {
	t.Helper()
	c := e.Cluster("local")
	hash := c.hash(name)
	g := e.shard(hash).find(c, hash, name)
	require.NotNil(t, g, name)
	return g
}

// listed returns the groups of a shard.
func (s *shard) listed() (all []*group) {
	for _, list := range s.lists {
		all = append(all, list...)
	}
	return all
}

// checkInvariants checks everything that must hold between two requests.
func (e *Engine) checkInvariants(t testing.TB) {
	t.Helper()
	for i := range e.shards {
		s := &e.shards[i]
		holders := map[*ends.Topic]int{}
		groups := 0
		for hash, g := range s.groups {
			for ; g != nil; g = g.next {
				groups++
				require.Equal(t, hash, g.hash)
				require.Same(t, g, s.lists[g.cluster][g.position])
				require.NotEmpty(t, g.topics, "a group without a topic")
				g.checkInvariants(t)
				for i := range g.topics {
					gt := &g.topics[i]
					holders[gt.topic]++
					require.Same(t, g, s.byTopic[gt.topic][gt.position])
				}
			}
		}
		for _, list := range s.lists {
			groups -= len(list)
		}
		require.Zero(t, groups, "groups that are in no list, or in one only")
		for topic, list := range s.byTopic {
			require.NotEmpty(t, list)
			require.Len(t, list, holders[topic], topic.Name)
		}
		require.Len(t, s.byTopic, len(holders))
	}
}

func (g *group) checkInvariants(t testing.TB) {
	t.Helper()
	g.memory.checkInvariants(t)
	m := &g.memory
	taken := make([]bool, len(m.slots))
	held := 0
	for i := range g.topics {
		gt := &g.topics[i]
		require.Equal(t, i, g.find(gt.topic.Name))
		held += int(gt.length)
		for slot := gt.first; slot < gt.end(); slot++ {
			if taken[slot] {
				require.FailNow(t, "a slot belongs to two topics", "slot %d", slot)
			}
			taken[slot] = true
		}
		g.checkLayout(t, gt)
	}
	require.Equal(t, len(m.slots)-held, g.holes)
	if g.numbers != nil {
		require.Len(t, g.numbers, len(m.slots))
	}
	if g.owners != nil {
		require.Len(t, g.owners, len(m.slots))
	}
	if g.known != nil {
		require.Len(t, g.known, len(m.slots))
	}
	require.LessOrEqual(t, g.holes, len(m.slots)/2)
	for slot := range taken {
		if !taken[slot] && m.slots[slot] != 0 {
			require.FailNow(t, "a hole with a window", "slot %d", slot)
		}
	}
	if g.byName != nil {
		require.Len(t, g.byName, len(g.topics))
	}
	for i, member := range g.members.list {
		require.NotZero(t, member)
		if g.members.numbers != nil {
			require.EqualValues(t, i+1, g.members.numbers[member])
		}
	}
	if g.members.numbers != nil {
		require.Len(t, g.members.numbers, len(g.members.list))
	}
}

// checkLayout checks that each window of a topic is found by its partition, and that a sparse topic is in order.
func (g *group) checkLayout(t testing.TB, gt *groupTopic) {
	t.Helper()
	previous := int32(-1)
	for slot := gt.first; slot < gt.end(); slot++ {
		there := g.memory.slots[slot] != 0
		if gt.sparse {
			if number := g.numbers[slot]; there != (number != vacant) || number <= previous && previous != vacant || previous == vacant && there {
				require.FailNow(t, "a sparse topic out of order", "slot %d: window %v, partition %d after %d", slot, there, number, previous)
			}
			previous = g.numbers[slot]
		}
		if !there {
			continue
		}
		partition := gt.partition(g.numbers, slot)
		if at, ok := gt.at(g.numbers, partition); !ok || at != slot || partition >= gt.count {
			require.FailNow(t, "a window that is not found", "partition %d: slot %d, found %d (%v)", partition, slot, at, ok)
		}
	}
	if gt.sparse && gt.length > mostSparse+mostSparse/4 {
		require.FailNow(t, "too many slots of a sparse topic", "%d", gt.length)
	}
}

// checkInvariants walks every block: each living window belongs to the one slot that refers to it, and all other bytes are
// counted as dead.
func (m *memory) checkInvariants(t testing.TB) {
	t.Helper()
	live, empty := 0, 0
	require.Len(t, m.bytes, len(m.blocks))
	for index := range m.blocks {
		b, bytes := &m.blocks[index], m.bytes[index]
		if bytes == nil {
			require.Equal(t, block{}, *b)
			require.NotEqual(t, index, int(m.tail))
			empty++
			continue
		}
		require.LessOrEqual(t, int(b.used)+window.Padding, len(bytes))
		dead := 0
		at := blockStart
		for at < int(b.used) {
			w := window.Window(bytes[at:])
			size := w.Size()
			if size < window.HeaderSize || size < w.Used() || size%unit != 0 {
				require.FailNow(t, "a window of a wrong size", "%d bytes in block %d at %d, %d used", size, index, at, w.Used())
			}
			if slot := slotOf(w); slot == deadSlot {
				dead += size
			} else {
				live++
				if int(slot) >= len(m.slots) || m.slots[slot] != reference(index)<<unitBits|reference(at/unit) {
					require.FailNow(t, "a window that its slot does not refer to", "slot %d, block %d at %d", slot, index, at)
				}
			}
			at += size
		}
		require.EqualValues(t, b.used, at, "the last window of block %d does not end with it", index)
		require.EqualValues(t, dead, b.dead, "dead bytes of block %d", index)
	}
	require.EqualValues(t, empty, m.empty, "empty blocks")
	used := 0
	for _, r := range m.slots {
		if r != 0 {
			used++
		}
	}
	require.Equal(t, live, used, "windows and slots")
	require.Equal(t, m.windows, used)
}

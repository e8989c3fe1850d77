package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// growing lets windows grow by one commit at a time, as those of a group do that begins.
type growing struct {
	memory
	scratch window.Scratch
	// seen are the blocks that were made, and made is what they take.
	seen map[*byte]bool
	made int
}

func newGrowing(windows int) *growing {
	m := &growing{memory: memory{slots: make([]reference, windows)}, seen: map[*byte]bool{}}
	for slot := range windows {
		m.add(uint32(slot), window.HeaderSize)
		m.note()
	}
	return m
}

func (m *growing) note() {
	for i := range m.blocks {
		if b := m.bytes[i]; b != nil && !m.seen[&b[0]] {
			m.seen[&b[0]] = true
			m.made += len(b)
		}
	}
}

func (m *growing) grow(slot int) {
	const limit = 60
	w := m.window(m.slots[slot])
	n := int64(w.Len() + 1)
	c := protocol.StoredCommit{Offset: 1000*n + n*n%300, Order: 20 * n, Timestamp: startTime + 10_000*n, Lag: uint64(n * n % 500), LagKnown: true}
	c.ObservedTimestamp = c.Timestamp
	if needed := w.Append(&c, limit, &m.scratch); needed > 0 {
		m.resize(uint32(slot), needed, true, &m.scratch)
		m.note()
	}
}

func (m *growing) live() (n int) {
	for _, r := range m.slots {
		n += m.window(r).Size()
	}
	return n
}

// TestGrowthMakesLittleGarbage grows the windows of small and large groups in turn and at random. What is made on the way is little more
// than what is there in the end, and that little more than the windows.
func TestGrowthMakesLittleGarbage(t *testing.T) {
	t.Parallel()
	for _, windows := range []int{30, 100, 1_000, 5_000} {
		for _, atRandom := range []bool{false, true} {
			m := newGrowing(windows)
			chance := rand.New(rand.NewPCG(1, uint64(windows)))
			for range 12 {
				for i := range windows {
					if atRandom {
						i = chance.IntN(windows)
					}
					m.grow(i)
				}
			}
			m.checkInvariants(t)
			name := fmt.Sprint(windows, " windows, at random: ", atRandom)
			// Up to 1 KiB they are copied to grow, and at random some blocks keep gaps.
			require.LessOrEqual(t, float64(m.held), 1.3*float64(m.live()), name)
			require.LessOrEqual(t, m.made-m.held, 6<<10, name)

			for m.wasteful() {
				for from := 0; from < len(m.blocks); {
					from, _ = m.trim(from, trimBatch)
				}
			}
			m.checkInvariants(t)
			require.LessOrEqual(t, len(m.blocks)-int(m.empty), 2+m.held*2/blockTarget, name)
			if m.live() < blockTarget {
				require.Same(t, &m.first[0], &m.blocks[0], name)
				require.Same(t, &m.firstBytes[0], &m.bytes[0], name)
			}
			require.LessOrEqual(t, float64(m.held), 512+1.13*float64(m.live()), name) // the allocator's sizes are up to an eighth apart

			// It grows on from there, and shrinks to nothing.
			for i := range windows {
				m.grow(i)
			}
			m.checkInvariants(t)
			for slot := range windows {
				m.remove(uint32(slot))
			}
			for m.wasteful() {
				m.trim(0, len(m.blocks))
			}
			m.checkInvariants(t)
			require.LessOrEqual(t, m.held, 4<<10, name)
		}
	}
}

// TestASweepTrimsItsShare lets sweeps that may build little anew follow each other: each goes on in the shard in which there was nothing
// left to the one before.
func TestASweepTrimsItsShare(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(4, 10)
	const groups, partitions = 40, 100
	for round := range int64(10) {
		clock.now += 10_000
		for p := range int32(partitions) {
			e.SetEndOffset(c, "t", &protocol.EndOffset{Partition: p, TopicPartitionCount: partitions, Offset: 1000 * (round + 1)})
			for g := range groups {
				require.Zero(t, e.Commit(c, fmt.Sprint("g", g), &protocol.Commit{
					Topic: "t", Partition: p, Offset: 990 * round, Order: round + 1, Timestamp: clock.now,
				}))
			}
		}
	}
	wasteful := func(s *shard) (n int) {
		for _, g := range s.listed() {
			if g.memory.wasteful() {
				n++
			}
		}
		return n
	}
	all := func() (n int) {
		for i := range e.shards {
			n += wasteful(&e.shards[i])
		}
		return n
	}
	require.Equal(t, groups, all())
	for sweeps, left := 0, groups; left > 0; sweeps++ {
		require.Less(t, sweeps, 2*groups)
		from := int(e.trimFrom.Load())
		before := wasteful(&e.shards[from])
		e.sweepGroups(&trimming{left: 30_000, stopped: -1})
		require.GreaterOrEqual(t, left-all(), min(left, 2), "sweep %d", sweeps)
		require.LessOrEqual(t, left-all(), 5, "sweep %d", sweeps)
		if before > 0 {
			require.Less(t, wasteful(&e.shards[from]), before, "the shard that is first")
		}
		left = all()
		e.checkInvariants(t)
	}
	require.Equal(t, leastTrim, e.newTrimming().left)
	e.room.used.Store(1 << 30)
	require.Equal(t, 1<<26, e.newTrimming().left)
}

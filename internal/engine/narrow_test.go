package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestSweepNarrowsWindows lets a group pause once, which makes all of its windows wide: when the pause has left them, a sweep gives
// back what it took, in groups of one block and of many, and changes no commit.
func TestSweepNarrowsWindows(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 100, 3 * narrowBatch} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			e, c, clock := newTestEngine(1, 10)
			round := int64(0)
			commit := func(rounds int) {
				for range rounds {
					round++
					clock.now += 10_000
					for p := range partitions {
						jitter := (int64(p)*7919 + round*104_729) % 400
						require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Partition: int32(p), Offset: round*1000 + 500}))
						require.Zero(t, e.Commit(c, "group", &protocol.Commit{
							Topic: "topic", Partition: int32(p), Offset: round*1000 + jitter, Order: round*100_000 + int64(p), Timestamp: clock.now - jitter,
						}))
					}
				}
			}
			held := func() int {
				e.Sweep()
				g := e.onlyGroup(t, "group")
				g.memory.checkInvariants(t)
				require.False(t, g.memory.narrowable)
				bytes := 0
				for _, r := range g.memory.slots {
					if r != 0 {
						bytes += g.memory.window(r).Size()
					}
				}
				return bytes
			}
			commit(30)
			regular := held()
			clock.now += 3_600_000
			round += 1_000_000
			commit(10)
			wide := held()
			require.Greater(t, wide, regular+regular/8, "the pause made them no wider")
			commit(10)
			before := answer(t, e, c)
			narrow := held()
			require.LessOrEqual(t, narrow, regular+regular/16)
			require.Equal(t, before, answer(t, e, c))
		})
	}
}

func answer(t *testing.T, e *Engine, c *Cluster) protocol.ConsumerTopics {
	k, why := e.Capture(c, "group")
	require.Zero(t, why)
	defer k.Release()
	return k.ConsumerTopics()
}

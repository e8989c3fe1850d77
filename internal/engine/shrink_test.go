package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// After a mass deletion memory is given back, and the statistics show that.
func TestMemoryIsGivenBackAfterMassDeletion(t *testing.T) {
	const groups = 20_000
	for name, remove := range map[string]func(e *Engine, c *Cluster){
		"groups deleted": func(e *Engine, c *Cluster) {
			for i := 10; i < groups; i++ {
				require.Zero(t, e.DeleteGroup(c, fmt.Sprint("g", i)))
			}
			for i := 10; i < groups; i++ {
				require.Zero(t, e.DeleteTopic(c, fmt.Sprint("t", i)))
			}
		},
		"topics deleted": func(e *Engine, c *Cluster) {
			for i := 10; i < groups; i++ {
				require.Zero(t, e.DeleteTopic(c, fmt.Sprint("t", i)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, c, _ := newTestEngine(2, 2)
			fill := func(n int) {
				for i := range n {
					topic := fmt.Sprint("t", i)
					require.Zero(t, e.SetEndOffset(c, topic, &protocol.EndOffset{Offset: 1}))
					require.Zero(t, e.Commit(c, fmt.Sprint("g", i), &protocol.Commit{Topic: topic, Timestamp: startTime}))
				}
			}
			fill(10)
			few := e.Stats().Bytes
			fill(groups)
			many := e.Stats().Bytes
			remove(e, c)
			e.Sweep()
			require.Less(t, e.Stats().Bytes, few+10_000)
			require.Greater(t, many, 100*few)
			for i := range e.shards {
				require.Less(t, e.shards[i].mostGroups, 20)
				require.Less(t, e.shards[i].mostTopics, 20)
			}
			e.checkInvariants(t)
			fill(100)
			e.checkInvariants(t)
		})
	}
}

func TestGroupGivesBackTopics(t *testing.T) {
	const topics = 2000
	e, c, _ := newTestEngine(1, 2)
	for i := range topics {
		topic := fmt.Sprint("t", i)
		require.Zero(t, e.SetEndOffset(c, topic, &protocol.EndOffset{Offset: 1}))
		require.Zero(t, e.Commit(c, "g", &protocol.Commit{Topic: topic, Timestamp: startTime}))
	}
	for i := 3; i < topics; i++ {
		require.Zero(t, e.DeleteGroupTopic(c, "g", fmt.Sprint("t", i)))
		if i%97 == 0 {
			e.checkInvariants(t)
		}
	}
	require.LessOrEqual(t, cap(e.onlyGroup(t, "g").topics), 64)
	e.checkInvariants(t)
}

// The pieces of a batch form one batch: its commits are stored in their order, and refusals have the indexes of the batch.
func TestBatchInPieces(t *testing.T) {
	const n = 3*commitBatch + 7
	e, c, _ := newTestEngine(1, n)
	require.Zero(t, e.SetEndOffset(c, "t", &protocol.EndOffset{Offset: n}))
	batch := make([]protocol.Commit, n)
	for i := range batch {
		batch[i] = protocol.Commit{Topic: "t", Offset: int64(i), Order: int64(i + 1), Timestamp: startTime}
	}
	bad := []int{0, commitBatch - 1, commitBatch, 2*commitBatch + 1, n - 1}
	for _, i := range bad {
		batch[i].Offset = -1
	}
	var refused []int
	e.Commits(c, "g", batch, func(i int, why Reason) {
		require.Equal(t, Invalid, why)
		refused = append(refused, i)
	})
	require.Equal(t, bad, refused)
	k, why := e.Capture(c, "g")
	require.Zero(t, why)
	defer k.Release()
	var g protocol.Group
	k.Group(&g)
	commits := g.Topics[0].Partitions[0].Commits
	require.Len(t, commits, n-len(bad))
	for i := 1; i < len(commits); i++ {
		require.Greater(t, commits[i].Offset, commits[i-1].Offset)
	}
}

// A group that was deleted between two pieces of a batch is recreated by the second.
func TestGroupGoesBetweenPieces(t *testing.T) {
	e, c, _ := newTestEngine(1, 4)
	require.Zero(t, e.SetEndOffset(c, "t", &protocol.EndOffset{Offset: 9}))
	at := place{cluster: c, name: "g", hash: c.hash("g"), topic: -1}
	one := []protocol.Commit{{Topic: "t", Offset: 1, Timestamp: startTime}}
	none := func(i int, why Reason) { require.FailNow(t, "refused", "%d: %v", i, why) }
	e.commitSome(&at, one, 0, none)
	require.Zero(t, e.DeleteGroup(c, "g"))
	e.commitSome(&at, one, 1, none)
	e.checkInvariants(t)
	require.Zero(t, e.DeleteTopic(c, "t"))
	e.commitSome(&at, one, 2, func(_ int, why Reason) { require.Equal(t, UnknownTopic, why) })
	e.checkInvariants(t)
	require.Empty(t, e.shards[0].groups)
}

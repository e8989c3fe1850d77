package lagredis_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// TestWhatOneStoreWroteAnotherKnows has two stores share a state: each has copies that the other makes stale.
func TestWhatOneStoreWroteAnotherKnows(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	one, other := open(t, servers, prefix), open(t, servers, prefix)

	setEnd(t, one, "topic", 0, 100)
	require.NoError(t, other.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	require.NoError(t, one.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
	setEnd(t, one, "topic", 0, 200)
	require.NoError(t, other.Commit(ctx, "local", "group", commit("topic", 0, 30, 3)))
	require.NoError(t, one.Commit(ctx, "local", "group", commit("topic", 0, 40, 4)))
	for _, db := range []storage.Store{one, other} {
		var group protocol.Group
		require.NoError(t, db.Group(ctx, "local", "group", &group))
		require.Equal(t, []uint64{80, 170, 160}, lags(group.Topics[0].Partitions[0].Commits),
			"the lag of each commit is that of the end offset known when it came, by whomever")
		require.Equal(t, []int64{100, 200}, group.Topics[0].Partitions[0].EndOffsets)
	}
	require.ErrorIs(t, other.Commit(ctx, "local", "group", commit("topic", 0, 40, 4)), storage.ErrDuplicate)

	require.NoError(t, one.DeleteTopic(ctx, "local", "topic"))
	require.ErrorIs(t, other.Commit(ctx, "local", "group", commit("topic", 0, 50, 5)), storage.ErrUnknownTopic)
	require.Nil(t, groupOf(t, other, "group"))
	setEnd(t, other, "topic", 0, 50)
	require.NoError(t, one.Commit(ctx, "local", "group", commit("topic", 0, 50, 1)))
	require.NoError(t, other.DeleteGroup(ctx, "local", "group"))
	require.ErrorIs(t, one.DeleteGroup(ctx, "local", "group"), storage.ErrUnknownGroup)
}

// TestBatchSeesEndOffsetsOfAnother covers a batch that was written before its topics turned out to have changed.
func TestBatchSeesEndOffsetsOfAnother(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	one, other := open(t, servers, prefix), open(t, servers, prefix)
	setEnd(t, one, "topic", 0, 100)
	require.NoError(t, one.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	// The end offset goes back, so the commits belong to another incarnation.
	setEnd(t, other, "topic", 0, 50)
	require.NoError(t, one.CommitBatch(ctx, "local", "group", []protocol.Commit{commit("topic", 0, 20, 2), commit("topic", 0, 30, 3)}))
	p := groupOf(t, one, "group").Topics[0].Partitions[0]
	require.Equal(t, []uint64{90, 30, 20}, lags(p.Commits))
	require.Equal(t, protocol.PartitionBehind, p.State)
	require.EqualValues(t, 20, p.CurrentLag)
}

// TestManyWritersOfOneGroup has two stores write the same group from many goroutines: no commit is lost.
func TestManyWritersOfOneGroup(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	stores := []storage.Store{open(t, servers, prefix), open(t, servers, prefix)}
	const partitions = 40
	for p := range int32(partitions) {
		require.NoError(t, stores[0].SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Partition: p, Offset: 100}))
	}
	var writers sync.WaitGroup
	for p := range int32(partitions) {
		writers.Go(func() {
			for order := range int64(5) {
				if err := stores[p%2].Commit(ctx, "local", "group", commit("topic", p, order+10, order+1)); err != nil {
					t.Errorf("commit %d of partition %d: %v", order, p, err)
				}
			}
		})
	}
	writers.Wait()
	var group protocol.Group
	require.NoError(t, stores[0].Group(ctx, "local", "group", &group))
	require.Len(t, group.Topics, 1)
	for _, p := range group.Topics[0].Partitions {
		require.Equal(t, []uint64{88, 87, 86}, lags(p.Commits))
	}
	names, err := stores[1].GroupsOfTopic(ctx, "local", "topic")
	require.NoError(t, err)
	require.Equal(t, []string{"group"}, slices.Collect(names))
}

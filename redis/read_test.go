package lagredis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// A rate is computed from the times at which end offsets were measured, so a group must have them as one in memory does.
func TestGroupSaysWhenEndOffsetsWereMeasured(t *testing.T) {
	ctx := context.Background()
	memory, err := storage.Open(storage.Options{Clusters: []string{"local"}, Intervals: 3})
	require.NoError(t, err)
	defer memory.Close()
	now := time.Now().UnixMilli()
	var measured [2][]protocol.TimedEndOffset
	for i, db := range []storage.Store{memory, open(t, redistest.Single(t), freshPrefix())} {
		for n := range int64(5) {
			end := protocol.EndOffset{Offset: 1000 * (n + 1), Timestamp: now - 60_000 + 10_000*n}
			require.NoError(t, db.SetEndOffset(ctx, "local", "topic", end))
		}
		require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 1500, 1)))
		var group protocol.Group
		require.NoError(t, db.Group(ctx, "local", "group", &group))
		measured[i] = group.Topics[0].Partitions[0].TimedEndOffsets
	}
	require.Greater(t, len(measured[0]), 1)
	require.Equal(t, measured[0], measured[1])
}

package lagredis_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// An added cluster has what the state holds of it, and a removed cluster leaves nothing in the state.
func TestClustersComeAndGo(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	db, other := open(t, servers, prefix), open(t, servers, prefix)
	require.ErrorIs(t, db.SetEndOffset(ctx, "second", "topic", protocol.EndOffset{Offset: 100}), storage.ErrUnknownCluster)
	for range 2 {
		require.NoError(t, db.AddCluster("second"))
	}
	require.ErrorIs(t, db.AddCluster("SECOND"), storage.ErrInvalid)
	for _, topic := range []string{"topic", "gone"} {
		require.NoError(t, db.SetEndOffset(ctx, "second", topic, protocol.EndOffset{Offset: 100}))
		require.NoError(t, db.Commit(ctx, "second", "group", commit(topic, 0, 10, 1)))
	}
	require.NoError(t, db.SetPosition(ctx, "second", protocol.Position{Partition: 3, Offset: 7}))
	require.NoError(t, db.DeleteTopic(ctx, "second", "gone"))
	setEnd(t, db, "topic", 0, 100)
	require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))

	require.NoError(t, other.AddCluster("second"))
	clusters, err := other.Clusters(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"local", "second"}, clusters)
	var group protocol.Group
	require.NoError(t, other.Group(ctx, "second", "group", &group))

	require.NoError(t, other.RemoveCluster("second"))
	require.ErrorIs(t, other.RemoveCluster("second"), storage.ErrUnknownCluster)
	require.ErrorIs(t, other.Group(ctx, "second", "group", &group), storage.ErrUnknownCluster)
	require.ErrorIs(t, db.Group(ctx, "second", "group", &group), storage.ErrUnknownGroup, "the other process still has the cluster")
	positions, err := db.Positions(ctx, "second")
	require.NoError(t, err)
	require.Empty(t, positions)
	for key := range strings.Lines(servers.Do(0, "KEYS", prefix+"*")) {
		require.NotContains(t, key, "6:second")
	}
	require.NotNil(t, groupOf(t, other, "group"), "that of the cluster that stays")

	require.NoError(t, db.Close())
	require.ErrorIs(t, db.AddCluster("third"), storage.ErrStopped)
	require.ErrorIs(t, db.RemoveCluster("second"), storage.ErrStopped)
}

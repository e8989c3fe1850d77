package snapshots_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestEveryChangeIsSaved makes one change through the typed API after a snapshot: the next snapshot must not take the state for
// unchanged.
func TestEveryChangeIsSaved(t *testing.T) {
	t.Parallel()
	const cluster = testkit.Cluster
	for name, change := range map[string]func(context.Context, *storage.DB) error{
		"SetEndOffset": func(ctx context.Context, db *storage.DB) error {
			return db.SetEndOffset(ctx, cluster, "topic", protocol.EndOffset{Offset: 101})
		},
		"SetEndOffsetBatch": func(ctx context.Context, db *storage.DB) error {
			return db.SetEndOffsetBatch(ctx, cluster, "topic", []protocol.EndOffset{{Offset: 101}})
		},
		"SeedEndOffsets": func(ctx context.Context, db *storage.DB) error {
			return db.SeedEndOffsets(ctx, cluster, "topic", 0, []protocol.EndOffsetAt{
				{Offset: 50, Time: time.Now().Add(-time.Hour), Source: protocol.TimeSourceBroker},
			})
		},
		"Commit": func(ctx context.Context, db *storage.DB) error {
			return db.Commit(ctx, cluster, "group", commitOf("topic", 60, 20))
		},
		"CommitBatch": func(ctx context.Context, db *storage.DB) error {
			return db.CommitBatch(ctx, cluster, "group", []protocol.Commit{commitOf("topic", 60, 20)})
		},
		"ReplaceCommits": func(ctx context.Context, db *storage.DB) error {
			return db.ReplaceCommits(ctx, cluster, "group", []protocol.Commit{commitOf("topic", 60, 5)})
		},
		"SetOwner": func(ctx context.Context, db *storage.DB) error {
			return db.SetOwner(ctx, cluster, "group", protocol.PartitionOwner{Topic: "topic", Owner: "other"})
		},
		"SetOwners": func(ctx context.Context, db *storage.DB) error {
			return db.SetOwners(ctx, cluster, "group", nil)
		},
		"ClearOwners": func(ctx context.Context, db *storage.DB) error { return db.ClearOwners(ctx, cluster, "group") },
		"DeleteTopic": func(ctx context.Context, db *storage.DB) error { return db.DeleteTopic(ctx, cluster, "topic") },
		"DeleteGroup": func(ctx context.Context, db *storage.DB) error { return db.DeleteGroup(ctx, cluster, "group") },
		"DeleteGroupTopic": func(ctx context.Context, db *storage.DB) error {
			return db.DeleteGroupTopic(ctx, cluster, "group", "topic")
		},
		"DeletePartition": func(ctx context.Context, db *storage.DB) error {
			return db.DeletePartition(ctx, cluster, "group", "topic", 0, 0)
		},
		"SyncTopics": func(ctx context.Context, db *storage.DB) error {
			return db.SyncTopics(ctx, cluster, []string{"other"})
		},
		"SyncGroups":   func(ctx context.Context, db *storage.DB) error { return db.SyncGroups(ctx, cluster, nil) },
		"ForgetOrders": func(ctx context.Context, db *storage.DB) error { return db.ForgetOrders(ctx, cluster) },
		"SetPosition": func(ctx context.Context, db *storage.DB) error {
			return db.SetPosition(ctx, cluster, protocol.Position{Partition: 3, Offset: 9})
		},
		"RemoveCluster": func(_ context.Context, db *storage.DB) error { return db.RemoveCluster(cluster) },
		"ReplayDone":    func(_ context.Context, db *storage.DB) error { db.ReplayDone(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "snapshot")
			db := testkit.Open(t, func(o *storage.Options) { o.SnapshotPath = path })
			ctx := t.Context()
			for _, topic := range []string{"topic", "other"} {
				require.NoError(t, db.SetEndOffset(ctx, cluster, topic, protocol.EndOffset{Offset: 100}))
				require.NoError(t, db.Commit(ctx, cluster, "group", commitOf(topic, 50, 10)))
			}
			require.NoError(t, db.SetOwner(ctx, cluster, "group", protocol.PartitionOwner{Topic: "topic", Owner: "host"}))
			saves := func(want uint64) {
				t.Helper()
				require.NoError(t, db.Snapshot(ctx))
				stats, err := db.Stats()
				require.NoError(t, err)
				require.Equal(t, want, stats.Snapshots.Saved)
			}
			saves(1)
			saves(1)
			require.NoError(t, change(ctx, db))
			saves(2)
		})
	}
}

func commitOf(topic string, offset, order int64) protocol.Commit {
	return protocol.Commit{Topic: topic, Offset: offset, Order: order, Timestamp: time.Now().UnixMilli()}
}

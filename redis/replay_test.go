package lagredis_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// A feed that reads the same records again changes nothing, although it had not stored its position: no commit returns that a
// tombstone had deleted before the group committed again, nor one that another had replaced. This holds for the process that fed
// before and for another.
func TestReplayOfWhatIsThere(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), t.Context()
	openFed := func(t *testing.T) *lagredis.DB {
		db := open(t, servers, prefix, func(o *lagredis.Options) { o.Store.MinDistance = time.Second })
		positions, err := db.Positions(ctx, "local")
		require.NoError(t, err)
		require.Empty(t, positions)
		return db
	}
	began := time.Now().Add(-time.Minute).UnixMilli()
	at := func(partition int32, order, milliseconds int64) protocol.Commit {
		return protocol.Commit{Topic: "topic", Partition: partition, Offset: order, Order: order, Timestamp: began + milliseconds}
	}
	db := openFed(t)
	setEnd(t, db, "topic", 0, 100)
	setEnd(t, db, "topic", 1, 100)
	// Partition 0 is deleted and committed again; on partition 1 order 5 replaces order 4.
	read := func(db *lagredis.DB) (refused []int64) {
		for _, c := range []protocol.Commit{at(0, 1, 0), {Order: 2}, at(0, 3, 5000), at(1, 4, 6000), at(1, 5, 6500), at(1, 6, 9000)} {
			var err error
			if c.Topic == "" {
				err = db.DeletePartition(ctx, "local", "group", "topic", 0, c.Order)
			} else {
				err = db.Commit(ctx, "local", "group", c)
			}
			if err != nil {
				require.ErrorIs(t, err, storage.ErrDuplicate)
				refused = append(refused, c.Order)
			}
		}
		return refused
	}
	require.Empty(t, read(db))
	windows := func(db *lagredis.DB) (all [][]protocol.StoredCommit) {
		for _, p := range groupOf(t, db, "group").Topics[0].Partitions {
			all = append(all, p.Commits)
		}
		return all
	}
	want := windows(db)
	require.Len(t, want[0], 1)
	require.Len(t, want[1], 2)
	all := []int64{1, 2, 3, 4, 5, 6}

	t.Run("by the same process", func(t *testing.T) {
		_, err := db.Positions(ctx, "local")
		require.NoError(t, err)
		require.Equal(t, all, read(db))
		require.Equal(t, want, windows(db))
	})
	t.Run("by another process", func(t *testing.T) {
		other := openFed(t)
		require.Equal(t, all, read(other))
		require.Equal(t, want, windows(other))
	})
	t.Run("but who has no positions may come late", func(t *testing.T) {
		late := open(t, servers, prefix, func(o *lagredis.Options) { o.Store.MinDistance = time.Second })
		require.NoError(t, late.Commit(ctx, "local", "group", at(0, 1, 0)))
	})
}

// A group of a feed that is about to read the log again expires with an event, like any other group.
func TestGroupExpiresWhileTheLogIsReadAgain(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		db := open(t, servers, prefix, inBubble, func(o *lagredis.Options) { o.Store.ExpireGroup = 10 * time.Minute })
		setEnd(t, db, "topic", 0, 100)
		now := time.Now().UnixMilli()
		require.NoError(t, db.Commit(ctx, "local", "group", protocol.Commit{Topic: "topic", Offset: 10, Order: 1, Timestamp: now}))
		_, err := db.Positions(ctx, "local")
		require.NoError(t, err)
		events, err := db.Watch(ctx, storage.WatchFilter{})
		require.NoError(t, err)
		for event := range events {
			if event.Kind == protocol.EventGroupExpired {
				require.Equal(t, "group", event.Group)
				return
			}
		}
		require.Fail(t, "the group has gone without an event")
	})
}

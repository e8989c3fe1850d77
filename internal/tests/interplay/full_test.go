package interplay_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestFullStoreGoesOn restarts a store that has reached its limit, and updates what it knows: windows that fill, an id that
// changes, a log that begins anew, an import of its own export.
func TestFullStoreGoesOn(t *testing.T) {
	bubble(t, nil, func(w *world) {
		ctx := w.Context()
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, TopicID: firstID}, protocol.EndOffset{Partition: 1, Offset: 1000, TopicID: firstID}))
		require.NoError(w, w.commit(0, 900, 5))
		require.NoError(w, w.db.Close())
		w.open()
		used := int64(statsOf(w, w.db).Bytes)
		require.NoError(w, w.db.Close())
		w.options.MaxMemory = used
		w.open()
		require.Zero(w, w.db.Restored().Full)
		for order := int64(6); order < 40; order++ {
			time.Sleep(time.Second)
			require.NoError(w, w.commit(0, 900+order, order))
		}
		require.ErrorIs(w, w.commit(1, 1, 40), storage.ErrFull)
		require.ErrorIs(w, w.db.Commit(ctx, testkit.Cluster, "new", protocol.Commit{Topic: "topic", Timestamp: time.Now().UnixMilli()}), storage.ErrFull)
		require.ErrorIs(w, w.db.SetOwner(ctx, testkit.Cluster, "new", protocol.PartitionOwner{Topic: "topic", Owner: "o"}), storage.ErrFull)
		require.ErrorIs(w, w.db.SetEndOffset(ctx, testkit.Cluster, "new", protocol.EndOffset{}), storage.ErrFull)
		require.NoError(w, w.db.SetOwner(ctx, testkit.Cluster, "group", protocol.PartitionOwner{Topic: "topic", Owner: "o"}))
		require.Len(w, w.look(0).Commits, 10)
		require.Equal(w, "o", w.look(0).Owner)
		require.NoError(w, w.db.ForgetOrders(ctx, testkit.Cluster))
		require.NoError(w, w.commit(0, 950, 0))
		require.NoError(w, w.commit(0, 960, 1))
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(ctx, &lines))
		require.NoError(w, w.db.Import(ctx, &lines))
		require.EqualValues(w, 40, w.look(0).CurrentLag)
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 7, TopicID: secondID, TopicPartitionCount: 1}))
		w.gone()
	})
}

package bounds_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// full opens a store and fills it up to its limit: one topic "orders" of two partitions, and groups "group-0" and so on that
// commit its partition 0. It returns the number of groups.
func full(t *testing.T, options storage.Options) (*storage.DB, int) {
	t.Helper()
	options.MaxMemory = 64 << 10
	db := testkit.OpenWith(t, options)
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: 100, TopicPartitionCount: 2}))
	for n := 0; ; n++ {
		err := db.Commit(t.Context(), "local", fmt.Sprint("group-", n), commitAt(10))
		if err != nil {
			require.ErrorIs(t, err, storage.ErrFull)
			require.Equal(t, storage.ReasonFull, storage.ReasonOf(err))
			require.Greater(t, n, 10)
			return db, n
		}
		require.Less(t, n, 10_000, "the limit is exceeded")
	}
}

func commitAt(offset int64) protocol.Commit {
	return protocol.Commit{Topic: "orders", Offset: offset, Timestamp: time.Now().UnixMilli()}
}

func stats(t *testing.T, db *storage.DB) storage.Stats {
	t.Helper()
	s, err := db.Stats()
	require.NoError(t, err)
	return s
}

func TestAFullStoreRefusesWhatIsNew(t *testing.T) {
	t.Parallel()
	db, groups := full(t, storage.Options{})
	ctx := t.Context()
	before := stats(t, db)
	require.GreaterOrEqual(t, before.Bytes, 64<<10)
	require.Less(t, before.Bytes, 66<<10)

	require.ErrorIs(t, db.SetEndOffset(ctx, "local", "payments", protocol.EndOffset{Offset: 1}), storage.ErrFull, "a topic")
	require.ErrorIs(t, db.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{Partition: 1, Offset: 1}), storage.ErrFull,
		"a partition of a topic")
	require.ErrorIs(t, db.Commit(ctx, "local", "new", commitAt(10)), storage.ErrFull, "a group")
	owner := protocol.PartitionOwner{Topic: "orders", Owner: "host"}
	require.ErrorIs(t, db.SetOwner(ctx, "local", "new", owner), storage.ErrFull, "a group, by its owner")

	// A batch is refused element by element.
	err := db.SetEndOffsetBatch(ctx, "local", "orders", []protocol.EndOffset{{Offset: 101}, {Partition: 1, Offset: 5}, {Offset: 102}})
	var batch *storage.BatchError
	require.ErrorAs(t, err, &batch)
	require.Equal(t, []storage.Refusal{{Index: 1, Err: storage.ErrFull}}, batch.Refused)

	after := stats(t, db)
	require.Equal(t, groups, after.Groups)
	require.Equal(t, 1, after.Topics)
	require.Equal(t, 1, after.Partitions)
	require.EqualValues(t, 3, after.Requests.SetEndOffset.Dropped[storage.ReasonFull])
	require.EqualValues(t, 2, after.Requests.Commit.Dropped[storage.ReasonFull])
	require.EqualValues(t, 1, after.Requests.SetOwner.Dropped[storage.ReasonFull])

	// Known groups and topics are still updated.
	for n := range groups {
		require.NoError(t, db.CommitBatch(ctx, "local", fmt.Sprint("group-", n), []protocol.Commit{commitAt(20), commitAt(30)}))
	}
	require.NoError(t, db.SetOwner(ctx, "local", "group-0", owner))
	offsets, err := db.EndOffsets(ctx, "local", "orders", nil)
	require.NoError(t, err)
	require.Equal(t, []int64{102, -1}, offsets)
}

func TestAFullStoreRefusesNewTopicsAndPartitionsOfKnownGroups(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := testkit.OpenWith(t, storage.Options{MaxMemory: 64 << 10})
	for partition := range int32(2) {
		require.NoError(t, db.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{Partition: partition, Offset: 100}))
	}
	require.NoError(t, db.SetEndOffset(ctx, "local", "payments", protocol.EndOffset{Offset: 100}))
	require.NoError(t, db.Commit(ctx, "local", "billing", commitAt(10)))
	for n := 0; db.Commit(ctx, "local", fmt.Sprint("group-", n), commitAt(10)) == nil; n++ {
		require.Less(t, n, 10_000)
	}
	now := time.Now().UnixMilli()
	err := db.CommitBatch(ctx, "local", "billing", []protocol.Commit{
		{Topic: "orders", Partition: 1, Offset: 1, Timestamp: now}, {Topic: "payments", Offset: 1, Timestamp: now}, commitAt(11),
	})
	var batch *storage.BatchError
	require.ErrorAs(t, err, &batch)
	require.Equal(t, []storage.Refusal{{Index: 0, Err: storage.ErrFull}, {Index: 1, Err: storage.ErrFull}}, batch.Refused)
	require.ErrorIs(t, db.SetOwner(ctx, "local", "billing", protocol.PartitionOwner{Topic: "payments", Owner: "host"}), storage.ErrFull)
	var group protocol.Group
	require.NoError(t, db.Group(ctx, "local", "billing", &group))
	require.Len(t, group.Topics, 1)
	require.Len(t, group.Topics[0].Partitions[0].Commits, 2)
	require.Empty(t, group.Topics[0].Partitions[1].Commits)

	// If a request is invalid anyway, that reason comes first.
	require.ErrorIs(t, db.Commit(ctx, "local", "new", protocol.Commit{Topic: "unknown", Timestamp: now}), storage.ErrUnknownTopic)
	require.ErrorIs(t, db.Commit(ctx, "local", "new", commitAt(-1)), storage.ErrInvalid)
}

func TestThereIsRoomAgainWhenSomethingGoes(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zapcore.WarnLevel)
	db := testkit.OpenWith(t, storage.Options{MaxMemory: 64 << 10, Logger: zap.New(core)})
	ctx, cancel := context.WithCancel(t.Context())
	events, err := db.Watch(ctx, storage.WatchFilter{Groups: []string{"none"}, Topics: []string{"none"}})
	require.NoError(t, err)
	fill := func(n int) int {
		require.NoError(t, db.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{Offset: 100}))
		for ; db.Commit(ctx, "local", fmt.Sprint("group-", n), commitAt(10)) == nil; n++ {
			require.Less(t, n, 10_000)
		}
		return n
	}
	n := fill(0)
	for range 20 {
		require.ErrorIs(t, db.Commit(ctx, "local", "new", commitAt(10)), storage.ErrFull)
	}
	// The last group may have made a map grow, which does not shrink when it goes: two make room for one.
	for _, group := range []string{"group-0", "group-1"} {
		require.NoError(t, db.DeleteGroup(ctx, "local", group))
	}
	require.Greater(t, fill(n), n)
	require.NoError(t, db.DeleteTopic(ctx, "local", "orders"))
	fill(0)

	full := 0
	for event := range events {
		require.Equal(t, protocol.Event{Kind: protocol.EventStoreFull, Time: event.Time}, event)
		if full++; full == 3 {
			break // once for each time that it became full
		}
	}
	cancel()
	require.Equal(t, 3, full)
	require.NoError(t, db.Close()) // so that every line is written
	lines := logged.FilterMessageSnippet("store full").All()
	require.Len(t, lines, 2, "the first and the tenth of some twenty refusals")
	require.EqualValues(t, 64<<10, lines[0].ContextMap()["max_memory"])
	require.EqualValues(t, 10, lines[1].ContextMap()["count"])
}

func TestWithoutALimitNothingIsRefused(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{})
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: math.MaxInt64}))
	for n := range 2000 {
		require.NoError(t, db.Commit(t.Context(), "local", fmt.Sprint("group-", n), commitAt(10)))
	}
	require.Empty(t, stats(t, db).Requests.Commit.Dropped)
}

func TestAnImportThatDoesNotFitIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	from, _ := full(t, storage.Options{})
	var exported bytes.Buffer
	require.NoError(t, from.Export(t.Context(), &exported))
	roomy := testkit.OpenWith(t, storage.Options{MaxMemory: 96 << 10})
	for range 3 {
		// The import replaces what is there, and takes no more room.
		require.NoError(t, roomy.Import(t.Context(), bytes.NewReader(exported.Bytes())))
	}

	to := testkit.OpenWith(t, storage.Options{MaxMemory: 48 << 10})
	require.NoError(t, to.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: 7}))
	require.NoError(t, to.Commit(t.Context(), "local", "group-0", commitAt(7)))
	before := stats(t, to)
	require.ErrorIs(t, to.Import(t.Context(), bytes.NewReader(exported.Bytes())), storage.ErrFull)
	after := stats(t, to)
	require.Equal(t, before.Bytes, after.Bytes)
	require.Equal(t, 1, after.Groups)
	offsets, err := to.EndOffsets(t.Context(), "local", "orders", nil)
	require.NoError(t, err)
	require.Equal(t, []int64{7}, offsets)
	require.NoError(t, to.Commit(t.Context(), "local", "new", commitAt(7)), "there is room as before")
}

func TestWhatFitsIsRestored(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	large, err := storage.Open(storage.Options{Clusters: []string{"local"}, SnapshotPath: path})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, large.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{Offset: 100}))
	const groups = 1000
	for n := range groups {
		require.NoError(t, large.Commit(ctx, "local", fmt.Sprint("group-", n), commitAt(10)))
	}
	require.NoError(t, large.Close())

	core, logged := observer.New(zapcore.WarnLevel)
	small := testkit.OpenWith(t, storage.Options{SnapshotPath: path, MaxMemory: 64 << 10, Logger: zap.New(core)})
	loaded := stats(t, small)
	require.LessOrEqual(t, loaded.Bytes, 64<<10)
	require.Greater(t, loaded.Bytes, 60<<10)
	restored := small.Restored()
	require.Positive(t, loaded.Groups)
	require.Equal(t, groups-loaded.Groups, restored.Full)
	require.Equal(t, restored.Full, restored.Skipped)
	require.NoError(t, small.Close())
	lines := logged.FilterMessageSnippet("store full").All()
	require.Len(t, lines, 1)
	require.EqualValues(t, restored.Full, lines[0].ContextMap()["left_out"])
}

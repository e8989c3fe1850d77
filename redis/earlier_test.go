package lagredis_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// state returns a function that restores the keys of a prefix to what they are now, like a failover that loses all later writes.
func state(t *testing.T, servers *redistest.Servers, prefix string) (back func()) {
	t.Helper()
	keys := func() []string { return strings.Fields(servers.Do(0, "KEYS", prefix+"*")) }
	before := map[string]string{}
	for _, key := range keys() {
		before[key] = servers.Do(0, "DUMP", key)
	}
	require.NotEmpty(t, before)
	return func() {
		for _, key := range keys() {
			servers.Do(0, "DEL", key)
		}
		for key, dump := range before {
			servers.Do(0, "RESTORE", key, "0", dump)
		}
	}
}

// A deletion that a failover has lost is repeated: one from the log by the replay, any other by the next complete list. The feed gets
// an error at its next change.
func TestDeletionsThatWereLost(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), t.Context()
	db := open(t, servers, prefix)
	setEnd(t, db, "topic", 0, 100)
	setEnd(t, db, "other", 0, 100)
	// One group is read from the log; the other two are only listed.
	feed := func(order int64) error {
		var err error
		if order == 2 {
			err = db.DeletePartition(ctx, "local", "fed", "topic", 0, order)
		} else {
			err = db.Commit(ctx, "local", "fed", commit("topic", 0, 10*order, order))
		}
		if errors.Is(err, storage.ErrDuplicate) || errors.Is(err, storage.ErrUnknownGroup) {
			return nil
		}
		return err
	}
	position := protocol.Position{Partition: protocol.LogPartitionOf("fed", 4), Offset: 2}
	positions, err := db.Positions(ctx, "local")
	require.NoError(t, err)
	require.Empty(t, positions)
	require.NoError(t, feed(1))
	require.NoError(t, db.SetPosition(ctx, "local", position))
	require.NoError(t, db.Commit(ctx, "local", "deleted", commit("topic", 0, 10, 1)))
	require.NoError(t, db.Commit(ctx, "local", "bereft", commit("other", 0, 10, 1)))
	back := state(t, servers, prefix)
	end := func() string {
		groups, err := db.Groups(ctx, "local")
		require.NoError(t, err)
		topics, err := db.Topics(ctx, "local")
		require.NoError(t, err)
		text := strings.Join(slices.Sorted(groups), " ") + "; " + strings.Join(slices.Sorted(topics), " ")
		if group := groupOf(t, db, "fed"); group != nil {
			for _, c := range group.Topics[0].Partitions[0].Commits {
				text += "; " + strings.Repeat("I", int(c.Order))
			}
		}
		return text
	}
	deleteAll := func() {
		require.NoError(t, db.SyncGroups(ctx, "local", []string{"fed", "bereft"}))
		require.NoError(t, db.SyncTopics(ctx, "local", []string{"topic"}))
	}
	require.NoError(t, feed(2))
	require.NoError(t, feed(3))
	deleteAll()
	want := end()
	require.Equal(t, "fed; topic; III", want)

	back()
	require.Equal(t, "bereft deleted fed; other topic; I", end(), "unchanged")
	require.ErrorIs(t, feed(4), storage.ErrUnavailable, "the feed gets the error")
	positions, err = db.Positions(ctx, "local")
	require.NoError(t, err)
	require.Equal(t, []protocol.Position{position}, positions)
	require.NoError(t, feed(2))
	require.NoError(t, feed(3))
	deleteAll()
	require.Equal(t, want, end())
}

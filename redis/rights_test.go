package lagredis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// TestLeastRights shows that a user with exactly the documented rights can do everything.
func TestLeastRights(t *testing.T) {
	ctx := context.Background()
	servers := redistest.Single(t)
	servers.Do(0, documentedUser(t)...)

	db := open(t, servers, lagredis.DefaultKeyPrefix, func(o *lagredis.Options) {
		o.Username, o.Password, o.ReplicaMaxAge, o.ReplicaAddress = "monitor", "secret", time.Hour, servers.Addresses()[0]
	})
	watching, stop := context.WithCancel(ctx)
	defer stop()
	events, err := db.Watch(watching, storage.WatchFilter{})
	require.NoError(t, err)
	setEnd(t, db, "topic", 0, 100)
	setEnd(t, db, "other", 0, 100)
	require.NoError(t, db.CommitBatch(ctx, "local", "group", []protocol.Commit{commit("topic", 0, 10, 1), commit("other", 0, 10, 2)}))
	require.NoError(t, db.SetOwner(ctx, "local", "group", protocol.PartitionOwner{Topic: "topic", Owner: "host"}))
	require.NoError(t, db.ClearOwners(ctx, "local", "group"))
	require.NotNil(t, groupOf(t, db, "group"))
	until(t, func() bool {
		_, fromReplica := read(t, db, "group")
		return fromReplica
	})
	require.NoError(t, db.SetPosition(ctx, "local", protocol.Position{Partition: 20_000, Offset: 3}))
	positions, err := db.Positions(ctx, "local")
	require.NoError(t, err)
	require.Equal(t, []protocol.Position{{Partition: 20_000, Offset: 3}}, positions)
	for _, list := range []func() error{
		func() error { _, err := db.Groups(ctx, "local"); return err },
		func() error { _, err := db.Topics(ctx, "local"); return err },
		func() error { _, err := db.GroupsOfTopic(ctx, "local", "topic"); return err },
		func() error { _, err := db.EndOffsets(ctx, "local", "topic", nil); return err },
		func() error { return db.DeletePartition(ctx, "local", "group", "topic", 0, 0) },
		func() error { return db.ForgetOrders(ctx, "local") },
		func() error { return db.Sweep(ctx) },
		func() error { return db.DeleteTopic(ctx, "local", "topic") },
		func() error { return db.SyncGroups(ctx, "local", nil) },
		func() error { return db.TakeOver(ctx, 0) },
		func() error { return db.GiveUp(ctx, 0) },
		func() error { return shareOnce(ctx, db) },
	} {
		require.NoError(t, list())
	}
	var kinds []protocol.EventKind
	for event := range events {
		if kinds = append(kinds, event.Kind); event.Kind == protocol.EventGroupDeleted {
			break
		}
	}
	require.Contains(t, kinds, protocol.EventOwnerChanged)
	require.Contains(t, kinds, protocol.EventTopicCreated)

	_, err = lagredis.Open(ctx, lagredis.Options{
		Addresses: servers.Addresses(), KeyPrefix: "other:", Username: "monitor", Password: "secret",
	})
	require.ErrorContains(t, err, "permissions", "the keys of another prefix are forbidden")
	require.NotErrorIs(t, err, storage.ErrUnavailable)
	_, err = lagredis.Open(ctx, lagredis.Options{Addresses: servers.Addresses(), Username: "monitor", Password: "wrong"})
	require.ErrorContains(t, err, "WRONGPASS")
}

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
	"github.com/lagkeeper/storage/storagetest"
)

func statsOf(t testing.TB, source storage.StatsSource) storage.Stats {
	t.Helper()
	stats, err := source.Stats()
	require.NoError(t, err)
	return stats
}

// Each request counts once, with its outcome, however often it was repeated.
func TestStatsCountRequests(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	db, other := open(t, servers, prefix), open(t, servers, prefix)
	setEnd(t, db, "topic", 0, 100)
	require.ErrorIs(t, db.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Partition: -1}), storage.ErrInvalid)
	require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	// The copies are out of date now, so the next calls are tried, refused and repeated.
	require.NoError(t, other.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
	require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 30, 3)))
	require.Error(t, db.CommitBatch(ctx, "local", "group", []protocol.Commit{
		commit("topic", 0, 40, 4), commit("topic", 0, 40, 4), commit("unknown", 0, 1, 5), commit("topic", 7, 1, 6),
	}))
	require.ErrorIs(t, db.DeleteGroup(ctx, "local", "nobody"), storage.ErrUnknownGroup)
	require.ErrorIs(t, db.DeleteGroup(ctx, "elsewhere", "group"), storage.ErrUnknownCluster)
	require.NoError(t, db.SetOwner(ctx, "local", "group", protocol.PartitionOwner{Topic: "topic", Owner: "host"}))
	require.NoError(t, db.ClearOwners(ctx, "local", "group"))
	require.NotNil(t, groupOf(t, db, "group"))
	require.Nil(t, groupOf(t, db, "nobody"))
	_, err := db.Groups(storage.Uncounted(ctx), "local")
	require.NoError(t, err)
	_, err = db.Topics(ctx, "local")
	require.NoError(t, err)

	stats := statsOf(t, db)
	require.Equal(t, storage.RequestStats{
		SetEndOffset: storage.RequestCount{Done: 1, Dropped: map[storage.Reason]uint64{storage.ReasonInvalid: 1}},
		Commit: storage.RequestCount{Done: 3, Dropped: map[storage.Reason]uint64{
			storage.ReasonDuplicate: 1, storage.ReasonUnknownTopic: 1, storage.ReasonUnknownPartition: 1,
		}},
		DeleteGroup: storage.RequestCount{Dropped: map[storage.Reason]uint64{
			storage.ReasonUnknownGroup: 1, storage.ReasonUnknownCluster: 1,
		}},
		SetOwner: storage.RequestCount{Done: 1}, ClearOwners: storage.RequestCount{Done: 1},
		FetchGroup:  storage.RequestCount{Done: 1, Dropped: map[storage.Reason]uint64{storage.ReasonUnknownGroup: 1}},
		FetchTopics: storage.RequestCount{Done: 1},
	}, stats.Requests)
	require.Equal(t, []int{1, 1, 1, 1}, []int{stats.Clusters, stats.Groups, stats.Topics, stats.GroupPartitions}, "the copies")
	require.Positive(t, stats.Bytes)
}

// The exchange with the servers is counted too.
func TestStatsOfServers(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	db := open(t, servers, prefix)
	setEnd(t, db, "topic", 0, 100)
	require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	before := statsOf(t, db).Remote
	require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
	after := statsOf(t, db).Remote
	require.EqualValues(t, 1, after.RoundTrips-before.RoundTrips, "a commit of a cached group takes one round trip")
	require.Zero(t, after.Conflicts+after.Retries+after.Unavailable+after.EarlierStates)
	require.Positive(t, after.Connections)
	require.Zero(t, after.Calls)
	require.Equal(t, 16_384, after.MostCalls)

	require.NoError(t, open(t, servers, prefix).Commit(ctx, "local", "group", commit("topic", 0, 30, 3)))
	require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 40, 4)))
	require.EqualValues(t, 1, statsOf(t, db).Remote.Conflicts)

	require.NoError(t, db.TakeOver(ctx, 0, 2))
	require.Equal(t, 2, statsOf(t, db).Remote.HeldBuckets)
	require.NoError(t, db.GiveUp(ctx, 0))
	require.Equal(t, 1, statsOf(t, db).Remote.HeldBuckets)

	hasty := open(t, servers, prefix, func(o *lagredis.Options) { o.Timeout = 500 * time.Millisecond })
	before = statsOf(t, hasty).Remote
	servers.Kill(0)
	require.ErrorIs(t, hasty.Commit(ctx, "local", "group", commit("topic", 0, 50, 5)), storage.ErrUnavailable)
	lost := statsOf(t, hasty).Remote
	require.Greater(t, lost.Retries, before.Retries)
	require.EqualValues(t, 1, lost.Unavailable-before.Unavailable)
	servers.Restart(0)
	servers.Await()
	until(t, func() bool {
		_, err := hasty.Groups(ctx, "local")
		return err == nil
	})
	require.Greater(t, statsOf(t, hasty).Remote.Connections, lost.Connections)

	require.NoError(t, db.Close())
	_, err := db.Stats()
	require.ErrorIs(t, err, storage.ErrStopped)
}

// The bucket of a group returns to an earlier state without the feeding process, as after a failover.
func TestStatsCountEarlierStates(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Single(t), freshPrefix()
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Buckets = 1 })
	require.NoError(t, db.SetPosition(ctx, "local", protocol.Position{Offset: 1}))
	servers.Do(0, "DEL", prefix+"{g0}:writers")
	require.ErrorIs(t, db.SetPosition(ctx, "local", protocol.Position{Offset: 2}), storage.ErrUnavailable)
	require.EqualValues(t, 1, statsOf(t, db).Remote.EarlierStates)
}

// The module adds the statistics of its channel.
func TestStatsOfModule(t *testing.T) {
	module := factory(redistest.Single(t), nil)(t, storagetest.Config{Clusters: []string{"local"}}).(*lagredis.Module)
	_, err := module.Stats()
	require.ErrorIs(t, err, storage.ErrStopped)
	require.NoError(t, module.Start())
	defer func() { require.NoError(t, module.Stop()) }()
	module.GetCommunicationChannel() <- nil
	module.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: protocol.StorageSetDeleteGroup, Cluster: "local", Group: "nobody"}
	reply := make(chan any)
	module.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}
	require.Equal(t, []string{"local"}, <-reply)
	stats := statsOf(t, module)
	require.EqualValues(t, 1, stats.Relay.NilRequests)
	require.EqualValues(t, 1, stats.Requests.FetchClusters.Done)
}

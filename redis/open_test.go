package lagredis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

func TestOpenRefusesAnotherState(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	open(t, servers, prefix)
	options := lagredis.Options{
		Store:     storage.Options{Intervals: 4, MinDistance: time.Second, ExpireGroup: time.Hour},
		Addresses: servers.Addresses(), KeyPrefix: prefix, Buckets: 5,
	}
	_, err := lagredis.Open(context.Background(), options)
	require.NotErrorIs(t, err, storage.ErrUnavailable, "a retry cannot help")
	for _, fault := range []string{
		"invalid buckets 5: the state under \"" + prefix + "\" was written with 4", "invalid intervals 4", "invalid min-distance 1s",
		"invalid expire-group 1h0m0s: the state under \"" + prefix + "\" was written with 168h0m0s",
	} {
		require.ErrorContains(t, err, fault)
	}
}

func TestOpenRefusesServersThatDropKeys(t *testing.T) {
	servers := redistest.Single(t)
	servers.Do(0, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	_, err := lagredis.Open(context.Background(), lagredis.Options{Addresses: servers.Addresses()})
	require.ErrorContains(t, err, "invalid maxmemory-policy allkeys-lru")
	require.NotErrorIs(t, err, storage.ErrUnavailable, "a retry cannot help")
	servers.Do(0, "CONFIG", "SET", "maxmemory-policy", "volatile-lru")
	open(t, servers, freshPrefix())
}

func TestOpenNamesEveryFault(t *testing.T) {
	_, err := lagredis.Open(context.Background(), lagredis.Options{
		Store: storage.Options{Intervals: -1}, Addresses: []string{"redis1", "redis2:6379", "redis3:port"}, ReplicaAddress: ":1",
		KeyPrefix: "a{b", Buckets: 1025, Timeout: -1, CacheBytes: -1,
	})
	require.ErrorContains(t, lagredis.Options{}.Validate(), "invalid Addresses: there are none")
	require.NotContains(t, err.Error(), "redis2")
	for _, fault := range []string{
		"invalid Intervals -1", `invalid Addresses "redis1": must be host:port`, `invalid Addresses "redis3:port"`,
		`invalid ReplicaAddress ":1"`, `invalid KeyPrefix "a{b"`, "invalid Buckets 1025", "invalid Timeout -1ns", "invalid CacheBytes -1",
	} {
		require.ErrorContains(t, err, fault)
	}
}

func TestUnavailable(t *testing.T) {
	ctx := context.Background()
	servers := redistest.Single(t)
	prefix := freshPrefix()
	setEnd(t, open(t, servers, prefix), "topic", 0, 100)
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Timeout = time.Second })
	servers.Kill(0)
	require.ErrorIs(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)), storage.ErrUnavailable)
	_, err := db.Groups(ctx, "local")
	require.ErrorIs(t, err, storage.ErrUnavailable)
	done, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, db.Commit(done, "local", "group", commit("topic", 0, 10, 1)), context.Canceled)
	servers.Restart(0)
	servers.Await()
	until(t, func() bool {
		err := db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2))
		if !errors.Is(err, storage.ErrDuplicate) && !errors.Is(err, storage.ErrUnavailable) { // that of a call that was given up may be stored
			require.NoError(t, err)
		}
		return !errors.Is(err, storage.ErrUnavailable)
	})
	require.Len(t, groupOf(t, open(t, servers, prefix), "group").Topics[0].Partitions[0].Commits, 1)
}

func TestClosed(t *testing.T) {
	ctx := context.Background()
	servers := redistest.Single(t)
	db := open(t, servers, freshPrefix())
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)), storage.ErrStopped)
	require.NoError(t, db.Close())
}

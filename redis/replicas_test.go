package lagredis_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// openReader opens a store on a server and its replica; answers may have the given age.
func openReader(t testing.TB, servers *redistest.Servers, prefix string, age time.Duration) *lagredis.DB {
	return open(t, servers, prefix, func(o *lagredis.Options) {
		o.Addresses, o.ReplicaMaxAge, o.ReplicaAddress = servers.Addresses()[:1], age, servers.Addresses()[1]
	})
}

func openMaster(t testing.TB, servers *redistest.Servers, prefix string) *lagredis.DB {
	return open(t, servers, prefix, func(o *lagredis.Options) { o.Addresses = servers.Addresses()[:1] })
}

// cut separates a replica from its master; the replica keeps its data.
func cut(servers *redistest.Servers) { servers.Do(1, "REPLICAOF", "127.0.0.1", "1") }

// until calls a condition until it holds.
func until(t testing.TB, holds func() bool) {
	t.Helper()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for !holds() {
		select {
		case <-pause.C:
		case <-t.Context().Done():
			require.FailNow(t, "the test is over before the condition holds")
		}
	}
}

// fromReplica makes a call until a replica has answered it: a replica that does not answer within a second is not waited for.
func fromReplica[T any](t testing.TB, db *lagredis.DB, call func() (T, error)) (answer T) {
	t.Helper()
	until(t, func() (ok bool) {
		before := statsOf(t, db).Remote.ReplicaReads
		var err error
		if answer, err = call(); !errors.Is(err, storage.ErrUnavailable) {
			require.NoError(t, err)
		}
		return statsOf(t, db).Remote.ReplicaReads > before
	})
	return answer
}

// readReplica returns a group as a replica has it, nil if there is none.
func readReplica(t testing.TB, db *lagredis.DB, name string) *protocol.Group {
	t.Helper()
	return fromReplica(t, db, func() (*protocol.Group, error) {
		group := new(protocol.Group)
		err := db.Group(context.Background(), "local", name, group)
		if errors.Is(err, storage.ErrUnknownGroup) {
			return nil, nil
		}
		return group, err
	})
}

// read returns a group, and reports whether a replica has answered.
func read(t testing.TB, db *lagredis.DB, name string) (group *protocol.Group, fromReplica bool) {
	t.Helper()
	before := statsOf(t, db).Remote.ReplicaReads
	group = groupOf(t, db, name)
	return group, statsOf(t, db).Remote.ReplicaReads > before
}

// A replica that has lost its master answers with its old data, and the answer gives its age.
func TestReplicaThatIsBehindSaysSo(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Replicated(t), freshPrefix()
	writer, reader := openMaster(t, servers, prefix), openReader(t, servers, prefix, time.Hour)
	setEnd(t, writer, "topic", 0, 100)
	require.NoError(t, writer.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	var early *protocol.Group
	until(t, func() bool {
		early = readReplica(t, reader, "group")
		return early != nil
	})
	cut(servers)
	lost := time.Now()
	setEnd(t, writer, "topic", 0, 200)
	setEnd(t, writer, "new", 0, 1)
	require.NoError(t, writer.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
	require.NoError(t, writer.Commit(ctx, "local", "other", commit("topic", 0, 20, 3)))

	group := readReplica(t, reader, "group")
	require.Len(t, group.Topics[0].Partitions[0].Commits, 1)
	require.EqualValues(t, 90, group.Topics[0].Partitions[0].CurrentLag)
	require.Falsef(t, group.TakenAt.After(lost), "taken at %v, the link was lost at %v", group.TakenAt, lost)
	require.Falsef(t, group.TakenAt.Before(early.TakenAt), "taken at %v, and before at %v", group.TakenAt, early.TakenAt)
	require.Positive(t, statsOf(t, reader).Groups, "a copy of what the replica holds")
	ends := fromReplica(t, reader, func() ([]int64, error) { return reader.EndOffsets(ctx, "local", "topic", nil) })
	require.Equal(t, []int64{100}, ends)
	groups := fromReplica(t, reader, func() (iter.Seq[string], error) { return reader.Groups(ctx, "local") })
	require.Equal(t, []string{"group"}, slices.Collect(groups))
	topics := fromReplica(t, reader, func() (iter.Seq[string], error) { return reader.Topics(ctx, "local") })
	require.Equal(t, []string{"topic"}, slices.Collect(topics))
	holders := fromReplica(t, reader, func() (iter.Seq[string], error) { return reader.GroupsOfTopic(ctx, "local", "topic") })
	require.Equal(t, []string{"group"}, slices.Collect(holders))

	// Writes never depend on the data of a replica.
	require.ErrorIs(t, reader.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)), storage.ErrDuplicate)
	require.NoError(t, reader.Commit(ctx, "local", "group", commit("topic", 0, 30, 4)))
	servers.Follow(1, 0)
	until(t, func() bool {
		group, fromReplica := read(t, reader, "group")
		return fromReplica && len(group.Topics[0].Partitions[0].Commits) == 3 && group.Topics[0].Partitions[0].CurrentLag == 170
	})
}

// Beyond the allowed age the master answers.
func TestReplicaThatIsTooFarBehindIsNotRead(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Replicated(t), freshPrefix()
	const age = time.Second
	writer, reader := openMaster(t, servers, prefix), openReader(t, servers, prefix, age)
	setEnd(t, writer, "topic", 0, 100)
	require.NoError(t, writer.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	until(t, func() bool {
		group, fromReplica := read(t, reader, "group")
		return fromReplica && group != nil
	})
	cut(servers)
	require.NoError(t, writer.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
	misses := statsOf(t, reader).Remote.ReplicaMisses
	until(t, func() bool {
		before := time.Now().Truncate(time.Millisecond)
		group, fromReplica := read(t, reader, "group")
		require.Falsef(t, group.TakenAt.Before(before.Add(-age)), "taken at %v, %v before", group.TakenAt, before.Sub(group.TakenAt))
		return !fromReplica && len(group.Topics[0].Partitions[0].Commits) == 2
	})
	require.Greater(t, statsOf(t, reader).Remote.ReplicaMisses, misses)
	ends, err := reader.EndOffsets(ctx, "local", "topic", nil)
	require.NoError(t, err)
	require.Equal(t, []int64{100}, ends)
}

// If a replica does not answer, or is gone, the master answers reads.
func TestReplicaThatDoesNotAnswer(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Replicated(t), freshPrefix()
	reader := openReader(t, servers, prefix, time.Hour)
	setEnd(t, reader, "topic", 0, 100)
	require.NoError(t, reader.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	answered := func() bool {
		group, fromReplica := read(t, reader, "group")
		return fromReplica && group != nil
	}
	until(t, answered)
	servers.Pause(1)
	group, fromReplica := read(t, reader, "group")
	require.NotNil(t, group)
	require.False(t, fromReplica)
	servers.Continue(1)
	until(t, answered)
	servers.Kill(1)
	group, fromReplica = read(t, reader, "group")
	require.NotNil(t, group)
	require.False(t, fromReplica)
	servers.Restart(1)
	servers.Await()
	servers.Follow(1, 0)
	until(t, answered)
}

// While there is no master, reads that may be old are still answered.
func TestReplicaAnswersWhileThereIsNoMaster(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Replicated(t), freshPrefix()
	writer := openMaster(t, servers, prefix)
	reader := open(t, servers, prefix, func(o *lagredis.Options) {
		o.Addresses, o.ReplicaMaxAge, o.ReplicaAddress, o.Timeout = servers.Addresses()[:1], time.Hour, servers.Addresses()[1], time.Second
	})
	setEnd(t, writer, "topic", 0, 100)
	require.NoError(t, writer.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	until(t, func() bool { return readReplica(t, reader, "group") != nil })
	servers.Kill(0)
	require.Len(t, readReplica(t, reader, "group").Topics[0].Partitions[0].Commits, 1)
}

// In a cluster the replicas are found without an address.
func TestReplicasOfCluster(t *testing.T) {
	ctx := context.Background()
	servers, prefix := redistest.Cluster(t, 1, 1), freshPrefix()
	reader := open(t, servers, prefix, func(o *lagredis.Options) { o.ReplicaMaxAge = time.Hour })
	require.NoError(t, reader.AddCluster("second"))
	setEnd(t, reader, "topic", 0, 100)
	require.NoError(t, reader.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	until(t, func() bool {
		group, fromReplica := read(t, reader, "group")
		return fromReplica && group != nil
	})
	// The cluster lists a replica only once it has its data, so the master may answer at first.
	until(t, func() bool {
		require.NotNil(t, groupOf(t, reader, "group"))
		return strings.Contains(servers.Do(1, "INFO", "commandstats"), "cmdstat_hget:")
	})
	groups, err := reader.Groups(ctx, "second")
	require.NoError(t, err)
	require.Empty(t, slices.Collect(groups))
	require.NoError(t, reader.RemoveCluster("second"))
	_, err = reader.Groups(ctx, "second")
	require.ErrorIs(t, err, storage.ErrUnknownCluster)
}

func TestOptionsOfReplicas(t *testing.T) {
	servers := redistest.Single(t)
	options := lagredis.Options{Addresses: servers.Addresses(), KeyPrefix: freshPrefix(), ReplicaMaxAge: time.Millisecond}
	_, err := lagredis.Open(context.Background(), options)
	require.ErrorContains(t, err, "invalid ReplicaMaxAge 1ms")
	options.ReplicaMaxAge = time.Second
	_, err = lagredis.Open(context.Background(), options)
	require.ErrorContains(t, err, "invalid ReplicaAddress: must be given for servers without cluster mode")
	// A store starts even if its replica cannot be reached yet.
	db := open(t, servers, freshPrefix(), func(o *lagredis.Options) {
		o.ReplicaMaxAge, o.ReplicaAddress = time.Second, "127.0.0.1:1"
	})
	setEnd(t, db, "topic", 0, 100)
	ends, err := db.EndOffsets(context.Background(), "local", "topic", nil)
	require.NoError(t, err)
	require.Equal(t, []int64{100}, ends)
}

// While commits arrive and the replica loses and regains its master, every answer holds all that had been stored at the time it gives.
func TestReplicaAnswersAreNoOlderThanTheySay(t *testing.T) {
	servers, prefix := redistest.Replicated(t), freshPrefix()
	writer, reader := openMaster(t, servers, prefix), openReader(t, servers, prefix, time.Hour)
	setEnd(t, writer, "topic", 0, 1<<40)
	var mu sync.Mutex
	var stored []time.Time // when each commit was known to be stored; guarded by mu
	ctx, stop := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	writing.Go(func() {
		for n := int64(1); ctx.Err() == nil; n++ {
			if writer.Commit(ctx, "local", "group", commit("topic", 0, n, n)) == nil {
				mu.Lock()
				stored = append(stored, time.Now())
				mu.Unlock()
			}
		}
	})
	following, late := true, 0
	for reads := 0; reads < 2000; {
		group, fromReplica := read(t, reader, "group")
		if !fromReplica || group == nil {
			continue
		}
		if reads++; reads%100 == 0 {
			if following {
				cut(servers)
			} else {
				servers.Follow(1, 0)
			}
			following = !following
		}
		commits := group.Topics[0].Partitions[0].Commits
		newest := commits[len(commits)-1].Offset
		mu.Lock()
		known := int64(len(stored))
		before, _ := slices.BinarySearchFunc(stored, group.TakenAt, time.Time.Compare)
		mu.Unlock()
		require.GreaterOrEqual(t, newest, int64(before), "the commits that had been stored at %v", group.TakenAt)
		if newest < known {
			late++
		}
	}
	require.Positive(t, late, "no answer was behind: nothing was tested")
}

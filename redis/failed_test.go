package lagredis_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// A server without the script, after SCRIPT FLUSH or a restart, gets it again with the next change of any kind.
func TestScriptsAreFlushed(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), t.Context()
	db := open(t, servers, prefix)
	_, err := db.Positions(ctx, "local")
	require.NoError(t, err)
	for i, change := range []func() error{
		func() error { return db.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Offset: 100}) },
		func() error { return db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)) },
		func() error { return db.SetPosition(ctx, "local", protocol.Position{Offset: 1}) },
		func() error { return db.TakeOver(ctx, 0, 1, 2, 3) },
		func() error {
			_, err := db.Positions(ctx, "local")
			return err
		},
		func() error { return db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)) },
		func() error { return db.GiveUp(ctx, 0, 1, 2, 3) },
		func() error { return db.Sweep(ctx) },
		func() error { return shareOnce(ctx, db) },
	} {
		servers.FlushScripts()
		require.NoError(t, change(), i)
	}
	require.Len(t, groupOf(t, db, "group").Topics[0].Partitions[0].Commits, 2)
	require.Zero(t, statsOf(t, db).Remote.Retries)
}

// After its server has restarted without data, the feed is sent back to the start, the next poll stores the end offsets again, and all
// that the log has is there again. A group does not lose a topic whose end offsets are lost: they are not deleted.
func TestServerRestartsEmpty(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), t.Context()
	db := open(t, servers, prefix)
	poll := func() {
		setEnd(t, db, "topic", 0, 100)
		setEnd(t, db, "other", 0, 100)
	}
	// feed reads records 1 to n, each a commit.
	feed := func(n int64) error {
		for order := int64(1); order <= n; order++ {
			c := commit([]string{"topic", "other"}[order%2], 0, 10*order, order)
			if err := db.Commit(ctx, "local", "group", c); err != nil && !errors.Is(err, storage.ErrDuplicate) {
				return err
			}
		}
		return db.SetPosition(ctx, "local", protocol.Position{Partition: protocol.LogPartitionOf("group", 4), Offset: n})
	}
	positions := func() []protocol.Position {
		all, err := db.Positions(ctx, "local")
		require.NoError(t, err)
		return all
	}
	state := func() (all []string) {
		for _, topic := range groupOf(t, db, "group").Topics {
			for _, p := range topic.Partitions {
				all = append(all, fmt.Sprint(topic.Name, p.State, p.CurrentLag, lags(p.Commits)))
			}
		}
		slices.Sort(all)
		return all
	}
	require.Empty(t, positions())
	poll()
	require.NoError(t, feed(4))
	want := state()
	require.Len(t, want, 2)
	require.Len(t, positions(), 1)

	servers.Kill(0)
	servers.RestartEmpty(0)
	servers.Await()
	require.ErrorIs(t, feed(5), storage.ErrUnavailable, "nothing is fed until the feed has asked where to continue")
	require.Empty(t, positions())
	poll()
	require.NoError(t, feed(4))
	require.Equal(t, want, state())
	// The rules are written again too, so that no process with others can join.
	require.NoError(t, db.Sweep(ctx))
	_, err := lagredis.Open(ctx, lagredis.Options{
		Store: storage.Options{Clusters: []string{"local"}, Intervals: 4}, Addresses: servers.Addresses(), KeyPrefix: prefix, Buckets: 4,
	})
	require.ErrorContains(t, err, "invalid intervals 4")
}

// While a server is a replica, as after a failover that the client has not noticed, a change waits until there is a master, and happens
// once.
func TestServerIsAReplicaForAWhile(t *testing.T) {
	servers, ctx := redistest.Single(t), t.Context()
	for name, fed := range map[string]bool{"fed": true, "not fed": false} {
		t.Run(name, func(t *testing.T) {
			db := open(t, servers, freshPrefix())
			setEnd(t, db, "topic", 0, 100)
			if fed {
				_, err := db.Positions(ctx, "local")
				require.NoError(t, err)
			}
			require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
			servers.Do(0, "REPLICAOF", "127.0.0.1", "1")
			ended := make(chan error, 1)
			go func() { ended <- db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)) }()
			until(t, func() bool { return statsOf(t, db).Remote.Retries > 0 })
			servers.Do(0, "REPLICAOF", "NO", "ONE")
			require.NoError(t, <-ended)
			require.Len(t, groupOf(t, db, "group").Topics[0].Partitions[0].Commits, 2)
			require.Zero(t, statsOf(t, db).Remote.EarlierStates)
		})
	}
}

// Slots move to other masters while commits and end offsets are stored: none fails, none is lost.
func TestSlotsMove(t *testing.T) {
	servers, prefix, ctx := redistest.Cluster(t, 3, 0), freshPrefix(), t.Context()
	servers.Await()
	db := open(t, servers, prefix)
	_, err := db.Positions(ctx, "local")
	require.NoError(t, err)
	setEnd(t, db, "topic", 0, 1_000_000)
	stop := make(chan struct{})
	last := int64(0)
	var failure error
	var writer sync.WaitGroup
	writer.Go(func() {
		for failure == nil {
			select {
			case <-stop:
				return
			default:
			}
			last++
			failure = errors.Join(db.Commit(ctx, "local", "group", commit("topic", 0, last, last)),
				db.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Offset: 1_000_000 + last}))
		}
	})
	for _, tag := range []string{fmt.Sprintf("{g%d}", protocol.LogPartitionOf("group", 4)), "{t0}", "{t1}", "{t2}", "{t3}"} {
		slot, err := strconv.Atoi(servers.Do(0, "CLUSTER", "KEYSLOT", tag))
		require.NoError(t, err)
		servers.MoveSlot(slot, (servers.Master(slot)+1)%3)
	}
	close(stop)
	writer.Wait()
	require.NoError(t, failure)
	p := groupOf(t, db, "group").Topics[0].Partitions[0]
	var orders []int64
	for _, c := range p.Commits {
		orders = append(orders, c.Order)
	}
	require.Equal(t, []int64{last - 2, last - 1, last}, orders)
	require.EqualValues(t, 1_000_000, p.CurrentLag)
	require.Zero(t, statsOf(t, db).Remote.EarlierStates)
}

// Batches that name topics in any order, while other processes change these topics, wait for each other in one order.
func TestBatchesLockTopicsInOneOrder(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), t.Context()
	db, other := open(t, servers, prefix), open(t, servers, prefix)
	topics := []string{"a", "b", "c", "d"}
	for _, topic := range topics {
		setEnd(t, db, topic, 0, 1000)
	}
	var writers sync.WaitGroup
	for i, reverse := range []bool{false, true, false, true} {
		writers.Go(func() {
			for order := range int64(50) {
				var batch []protocol.Commit
				for _, topic := range topics {
					batch = append(batch, commit(topic, 0, order+1, order+1))
				}
				if reverse {
					slices.Reverse(batch)
				}
				if err := db.CommitBatch(ctx, "local", fmt.Sprint("group-", i), batch); err != nil {
					t.Errorf("batch %d of group %d: %v", order, i, err)
				}
			}
		})
	}
	for round := range int64(50) {
		for _, topic := range topics {
			setEnd(t, other, topic, 0, 1001+round) // what the others have copies of is stale
		}
	}
	writers.Wait()
	for i := range 4 {
		for _, topic := range groupOf(t, db, fmt.Sprint("group-", i)).Topics {
			require.EqualValues(t, 1000, topic.Partitions[0].CurrentLag, topic.Name)
		}
	}
}

package lagredis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

func inBubble(options *lagredis.Options) { options.Dial = redistest.DialInBubble }

// A process that was paused while another took over changes nothing after it resumes, and must take over again itself.
func TestTakeOverFencesWhoFedBefore(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), context.Background()
	before, after := open(t, servers, prefix), open(t, servers, prefix)
	all := []int32{0, 1, 2, 3}
	setEnd(t, before, "topic", 0, 100)
	require.NoError(t, before.TakeOver(ctx, all...))
	require.NoError(t, before.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
	require.NoError(t, before.SetPosition(ctx, "local", protocol.Position{Partition: 1, Offset: 7}))

	require.NoError(t, after.TakeOver(ctx, all...))
	require.ErrorIs(t, before.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)), storage.ErrUnavailable)
	require.ErrorIs(t, before.SetPosition(ctx, "local", protocol.Position{Partition: 1, Offset: 8}), storage.ErrUnavailable)
	require.ErrorIs(t, before.DeleteGroup(ctx, "local", "group"), storage.ErrUnavailable)
	positions, err := after.Positions(ctx, "local")
	require.NoError(t, err)
	require.Equal(t, []protocol.Position{{Partition: 1, Offset: 7}}, positions)
	require.NoError(t, after.Commit(ctx, "local", "group", commit("topic", 0, 30, 3)))
	require.Len(t, groupOf(t, before, "group").Topics[0].Partitions[0].Commits, 2, "10 and 30")

	require.NoError(t, after.GiveUp(ctx, all...))
	require.ErrorIs(t, after.Commit(ctx, "local", "group", commit("topic", 0, 40, 4)), storage.ErrUnavailable)
	require.NoError(t, before.TakeOver(ctx, all...))
	_, err = before.Positions(ctx, "local")
	require.NoError(t, err)
	require.NoError(t, before.Commit(ctx, "local", "group", commit("topic", 0, 50, 5)))
	require.ErrorIs(t, before.TakeOver(ctx, 4), storage.ErrInvalid)
	require.ErrorIs(t, before.GiveUp(ctx, -1), storage.ErrInvalid)
}

// shares is what processes were given to feed.
type shares struct {
	mu   sync.Mutex
	held map[string][]int32 // guarded by mu
}

func (s *shares) tell(name string) func([]int32) {
	return func(buckets []int32) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held[name] = buckets
	}
}

// all returns the number of buckets of each process, and all buckets, ascending.
func (s *shares) all() (counts, all []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, held := range s.held {
		counts = append(counts, len(held))
		for _, bucket := range held {
			all = append(all, int(bucket))
		}
	}
	slices.Sort(counts)
	slices.Sort(all)
	return counts, all
}

// Every bucket is fed by one process, and all have about the same number, whichever processes start and end.
func TestShare(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	synctest.Test(t, func(t *testing.T) {
		s := &shares{held: map[string][]int32{}}
		join := func(name string) (leave func()) {
			db := open(t, servers, prefix, inBubble)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = db.Share(ctx, s.tell(name))
			}()
			return func() {
				cancel()
				<-ended
			}
		}
		settled := func(counts ...int) {
			t.Helper()
			time.Sleep(3 * lagredis.DefaultLease)
			synctest.Wait()
			got, all := s.all()
			require.Equal(t, counts, got)
			require.Equal(t, []int{0, 1, 2, 3}, all)
		}
		leaveA := join("a")
		settled(4)
		leaveB := join("b")
		settled(2, 2)
		leaveC := join("c")
		_, all := s.all()
		require.Len(t, slices.Compact(all), len(all), "no bucket is fed twice")
		time.Sleep(3 * lagredis.DefaultLease)
		leaveA()
		settled(0, 2, 2)
		leaveB()
		settled(0, 0, 4)
		leaveC()
		require.Empty(t, s.held["c"])
	})
}

// The feeds of several clusters in one process get the same buckets, which stay when one of the feeds ends. A feed that gets a bucket
// and asks for its position can feed it at once, even if it asked for positions before.
func TestShareOfSeveralFeeds(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	synctest.Test(t, func(t *testing.T) {
		s := &shares{held: map[string][]int32{}}
		share := func(db *lagredis.DB, name string) (leave func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- db.Share(ctx, s.tell(name)) }()
			return func() {
				cancel()
				require.ErrorIs(t, <-ended, context.Canceled)
			}
		}
		settled := func(want map[string][]int32) {
			t.Helper()
			time.Sleep(3 * lagredis.DefaultLease)
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			require.Equal(t, want, s.held)
		}
		ctx := context.Background()
		db, other := open(t, servers, prefix, inBubble), open(t, servers, prefix, inBubble)
		require.Equal(t, 4, db.LogPartitions())
		setEnd(t, db, "topic", 0, 100)
		for _, feeder := range []*lagredis.DB{db, other} {
			_, err := feeder.Positions(ctx, "local")
			require.NoError(t, err)
		}
		leaveOther := share(other, "other")
		settled(map[string][]int32{"other": {0, 1, 2, 3}})
		leaveA := share(db, "a")
		leaveB := share(db, "b")
		settled(map[string][]int32{"other": {0, 1}, "a": {2, 3}, "b": {2, 3}})
		leaveOther()
		settled(map[string][]int32{"other": nil, "a": {0, 1, 2, 3}, "b": {0, 1, 2, 3}})
		_, err := db.Positions(ctx, "local")
		require.NoError(t, err)
		require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 10, 1)))
		leaveA()
		settled(map[string][]int32{"other": nil, "a": nil, "b": {0, 1, 2, 3}})
		require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
		leaveB()
		require.ErrorIs(t, db.Commit(ctx, "local", "group", commit("topic", 0, 30, 3)), storage.ErrUnavailable)
		require.NoError(t, errors.Join(db.Close(), other.Close()))
		require.Zero(t, db.LogPartitions())
	})
}

// shareOnce shares the buckets until it has some.
func shareOnce(ctx context.Context, db *lagredis.DB) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := db.Share(ctx, func([]int32) { cancel() })
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// The counts that ended processes leave behind are bounded, and a feed whose count is dropped continues from its position.
func TestCountsOfFeedsAreBounded(t *testing.T) {
	servers, prefix, ctx := redistest.Single(t), freshPrefix(), context.Background()
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Buckets = 1 })
	position := protocol.Position{Partition: 0, Offset: 1}
	require.NoError(t, db.SetPosition(ctx, "local", position))
	key := prefix + "{g0}:writers"
	require.Equal(t, "1", servers.Do(0, "HLEN", key))
	for i := range 100 {
		servers.Do(0, "HSET", key, fmt.Sprint("process ", i), "1")
	}
	require.NoError(t, db.Sweep(ctx))
	require.Equal(t, "0", servers.Do(0, "EXISTS", key))
	require.ErrorIs(t, db.SetPosition(ctx, "local", position), storage.ErrUnavailable)
	_, err := db.Positions(ctx, "local")
	require.NoError(t, err)
	require.NoError(t, db.SetPosition(ctx, "local", position))
}

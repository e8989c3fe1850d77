package kafkafeed

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// hub assigns shares of a log to stores as a test directs.
type hub struct {
	busy sync.Mutex // held while shares are assigned
	told sync.Map   // stores to the functions that assign their feed's share
}

// sharing is the access of one process to a store that several processes fill.
type sharing struct {
	*storage.DB
	hub  *hub
	dead atomic.Bool // the process was killed, or no longer holds the lease for its writes
}

func (s *sharing) LogPartitions() int { return shardLogs }

func (s *sharing) Share(ctx context.Context, changed func([]int32)) error {
	s.hub.told.Store(s, changed)
	<-ctx.Done()
	s.hub.told.Delete(s)
	if !s.dead.Load() {
		changed(nil)
	}
	return ctx.Err()
}

// give assigns a share to the feed of a store.
func (h *hub) give(t *testing.T, s *sharing, partitions ...int32) {
	h.busy.Lock()
	defer h.busy.Unlock()
	var tell any
	eventually(t, "the feed wants to know", func() (ok bool) {
		tell, ok = h.told.Load(s)
		return ok
	})
	tell.(func([]int32))(partitions)
}

func (s *sharing) alive() error {
	if s.dead.Load() {
		return fmt.Errorf("%w: another process feeds it", storage.ErrUnavailable)
	}
	return nil
}

func (s *sharing) CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.DB.CommitBatch(ctx, cluster, group, commits)
}

func (s *sharing) ReplaceCommits(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.DB.ReplaceCommits(ctx, cluster, group, commits)
}

func (s *sharing) DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.DB.DeletePartition(ctx, cluster, group, topic, partition, order)
}

func (s *sharing) SetPosition(ctx context.Context, cluster string, log protocol.Position) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.DB.SetPosition(ctx, cluster, log)
}

// commitAll makes forty groups commit once more.
func (s *simulated) commitAll(offset int64) {
	for i := range 40 {
		group := fmt.Sprint("g", i)
		s.append(s.logOf(group), -1, commitKeyBytes(1, group, "orders", int32(i%3)), commitValueBytes(3, offset, time.Now().UnixMilli()))
	}
}

// windows are the commits of group-partitions by their order.
type windows map[string][]int64

// windows returns the commits of a store that has missed nothing.
func (s *simulated) windows() windows {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := windows{}
	for _, log := range s.partitions {
		for _, entry := range log.model.log {
			key := fmt.Sprint(entry.Group, " ", entry.Partition)
			want[key] = append(want[key], entry.Order)
			want[key] = want[key][max(0, len(want[key])-DefaultWindow):]
		}
	}
	return want
}

func storedWindows(t *testing.T, store storage.Store) windows {
	found := windows{}
	for _, name := range stored(t, store) {
		var group protocol.Group
		require.NoError(t, store.Group(t.Context(), "prod", name, &group))
		for partition, p := range group.Topics[0].Partitions {
			for _, commit := range p.Commits {
				key := fmt.Sprint(name, " ", partition)
				found[key] = append(found[key], commit.Order)
			}
		}
	}
	return found
}

// complete waits until a store has missed nothing.
func complete(t *testing.T, s *simulated, store storage.Store) {
	t.Helper()
	var have, want windows
	defer func() {
		if t.Failed() {
			require.Equal(t, want, have)
		}
	}()
	eventually(t, "the store has every commit", func() bool {
		want, have = s.windows(), storedWindows(t, store)
		return fmt.Sprint(want) == fmt.Sprint(have)
	})
}

// The store assigns the partitions of the log to its feeds. Whatever one is doing when it is killed, the feed that takes over misses
// nothing.
func TestStoreSharesTheLog(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 100)
	s := simulate(f, shardLogs)
	db, h := openStore(t, ""), new(hub)
	all := slices.Collect(countTo(shardLogs))
	opts := f.opts(Interval(often), SharedStore())
	first := &sharing{DB: db, hub: h}
	one := runFeed(t, first, opts...)
	require.False(t, one.Feeds("g0"), "it has no share")
	h.give(t, first, all...)
	s.commitAll(1)
	complete(t, s, db)
	<-one.Ready()
	require.Equal(t, ModeLog, one.Status().Mode)

	second := &sharing{DB: db, hub: h}
	two := runFeed(t, second, opts...)
	for round := range int64(8) {
		s.commitAll(10 * (round + 1))
		half := all[:shardLogs/2]
		if round%2 == 1 {
			half = all[shardLogs/2:]
		}
		rest := slices.DeleteFunc(slices.Clone(all), func(p int32) bool { return slices.Contains(half, p) })
		h.give(t, second) // its share is freed before another feed gets it
		h.give(t, first, half...)
		h.give(t, second, rest...)
		s.commitAll(10*(round+1) + 1)
	}
	complete(t, s, db)
	eventually(t, "each reads its share", func() bool { return len(one.partitions()) == 4 && len(two.partitions()) == 4 })

	s.commitAll(90)
	first.dead.Store(true)
	s.commitAll(91)
	h.give(t, second, all...)
	s.commitAll(92)
	complete(t, s, db)
	require.True(t, two.Feeds("g0"))
	// A feed that was only paused has its share by now.
	first.dead.Store(false)
	h.give(t, first)
	s.commitAll(93)
	h.give(t, second, all[4:]...)
	h.give(t, first, all[:4]...)
	s.commitAll(94)
	complete(t, s, db)
	one.stop()
	h.give(t, second, all...)
	complete(t, s, db)
	require.Zero(t, two.Status().Errors[askShard])
}

// If the number of the log's partitions differs from the store's, the feed polls: groups are still shared by their number.
func TestStoreSharesGroupsThatArePolled(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 100)
	want := lags{}
	for i := range 40 {
		f.commit(fmt.Sprint("g", i), 0, int64(i))
		want[fmt.Sprintf("g%d orders 0", i)] = fmt.Sprint(i, " 100 ", 100-i)
	}
	require.NoError(t, f.cluster.CreateTopic(logTopic, shardLogs+1, nil))
	db, h := openStore(t, ""), new(hub)
	stores := []*sharing{{DB: db, hub: h}, {DB: db, hub: h}}
	var feeds []*running
	for i, store := range stores {
		feeds = append(feeds, runFeed(t, store, f.opts(Interval(often), SharedStore())...))
		h.give(t, store, []int32{int32(4 * i), int32(4*i + 1), int32(4*i + 2), int32(4*i + 3)}...)
	}
	agree(t, db, want)
	require.Equal(t, ModePoll, feeds[0].Status().Mode)
	require.Contains(t, feeds[0].Status().Reason, "has 9 partitions: must be 8")
	for i := range 40 {
		group := fmt.Sprint("g", i)
		require.NotEqual(t, feeds[0].Feeds(group), feeds[1].Feeds(group))
	}
	stores[0].dead.Store(true)
	for i := range 40 {
		f.commit(fmt.Sprint("g", i), 0, 60)
		want[fmt.Sprintf("g%d orders 0", i)] = "60 100 40"
	}
	h.give(t, stores[1], slices.Collect(countTo(shardLogs))...)
	agree(t, db, want)
}

// cable is the network connection of a process.
type cable struct {
	mu    sync.Mutex
	cut   bool       // guarded by mu, like conns
	conns []net.Conn // those made so far
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// pull makes the process look killed to all others.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// A feed that crashes is noticed when its session expires. The other one then reads its partitions too, and misses nothing.
func TestShardThatIsKilledIsTakenOver(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared store ", shared), func(t *testing.T) {
			f := newFake(t, kfake.GroupMinSessionTimeout(100*time.Millisecond))
			f.produce("orders", 100)
			s := simulate(f, shardLogs)
			wire := new(cable)
			opts := f.opts(Interval(often), ClientOpts(kgo.HeartbeatInterval(often), kgo.SessionTimeout(time.Second)), Shard("lag-monitors"))
			stores := []*storage.DB{openStore(t, ""), openStore(t, "")}
			if shared {
				stores[1] = stores[0]
				opts = append(opts, SharedStore())
			}
			victim := runFeed(t, stores[0], append(slices.Clone(opts), ClientOpts(kgo.Dialer(wire.dial)))...)
			s.commitAll(1)
			<-victim.Ready()
			survivor := runFeed(t, stores[1], opts...)
			eventually(t, "the log is shared", func() bool { return len(victim.partitions()) == 4 && len(survivor.partitions()) == 4 })
			s.commitAll(2)
			wire.pull()
			for offset := range int64(12) {
				s.commitAll(10 + offset)
			}
			victim.stop()
			s.commitAll(50)
			complete(t, s, stores[1])
			eventually(t, "the survivor has all of the log", func() bool { return len(survivor.partitions()) == shardLogs })
		})
	}
}

// What another feed has stored of a group while it had it does not count as stored by this one.
func TestOwnersOfAGroupThatComesBack(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	reader, err := kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.ConsumerGroup("g"), kgo.ClientID("reader"),
		kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	t.Cleanup(reader.Close)
	for read := 0; read < 30; {
		read += reader.PollFetches(t.Context()).NumRecords()
	}
	require.NoError(t, reader.CommitUncommittedOffsets(t.Context()))
	db, h := openStore(t, ""), new(hub)
	store := &sharing{DB: db, hub: h}
	polled := make(chan struct{}) // closed when the one poll has ended
	feed := runFeed(t, store, f.opts(SharedStore(), WithMode(ModePoll), WithHooks(pollHook(sync.OnceFunc(func() { close(polled) }))))...)
	<-polled
	eventually(t, "it polls commits", func() bool { return feed.Status().Mode == ModePoll })
	owner := func() string {
		var group protocol.Group
		require.NoError(t, db.Group(t.Context(), "prod", "g", &group))
		return group.Topics[0].Partitions[0].ClientID
	}
	all := slices.Collect(countTo(shardLogs))
	h.give(t, store, all...)
	require.NoError(t, feed.pollGroups(t.Context()))
	require.Equal(t, "reader", owner())
	h.give(t, store)
	require.NoError(t, db.SetOwners(t.Context(), "prod", "g", nil))
	h.give(t, store, all...)
	require.NoError(t, feed.pollGroups(t.Context()))
	require.Equal(t, "reader", owner())
}

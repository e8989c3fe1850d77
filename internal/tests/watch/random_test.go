package watch_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// modelled returns what the model holds.
func modelled(t *testing.T, model *contract.Model) followed {
	t.Helper()
	names := func(kind protocol.StorageRequestConstant, cluster, topic string) []string {
		list, err := model.Handle(&protocol.StorageRequest{RequestType: kind, Cluster: cluster, Topic: topic})
		require.NoError(t, err)
		return list.([]string)
	}
	f := newFollowed()
	for _, cluster := range names(protocol.StorageFetchClusters, "", "") {
		for _, topic := range names(protocol.StorageFetchTopics, cluster, "") {
			f.topics[cluster+"/"+topic] = true
			for _, group := range names(protocol.StorageFetchConsumersForTopic, cluster, topic) {
				f.groupTopics[cluster+"/"+group+"/"+topic] = true
			}
		}
		for _, group := range names(protocol.StorageFetchConsumers, cluster, "") {
			f.groups[cluster+"/"+group] = true
		}
	}
	return f
}

// TestFollowAtRandom makes random creations, commits, owners, deletions and expiries, one request after the other, and
// follows the feed: the follower, the lists and the model agree after every sweep, and in between the follower holds nothing
// that is not listed except what has expired and waits for the sweep.
func TestFollowAtRandom(t *testing.T) {
	for run := range 2 {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Parallel()
			chance := rand.New(rand.NewPCG(testkit.Seed(t), uint64(run)))
			synctest.Test(t, func(t *testing.T) { followAtRandom(t, chance) })
		})
	}
}

// TestFollowAfterInterruption repeats runs that once failed: a cluster is polled again after an interruption longer than a
// topic may go without polls, and a sweep comes before the first round of polls has come to each topic.
func TestFollowAfterInterruption(t *testing.T) {
	for _, seed := range []uint64{3638601373402874074} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { followAtRandom(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func followAtRandom(t *testing.T, chance *rand.Rand) {
	const expire, sweep = 600, 10
	config := testkit.Config("expire-group", expire, "expire-topic", expire/2, "sweep-interval", sweep,
		"workers", 1+chance.IntN(4), "group-denylist", "^group3$")
	s := testkit.Started(t, config)
	model := contract.NewModel(config, nil)
	seen := map[protocol.EventKind]int{}
	var mu sync.Mutex
	follower := newFollowed() // guarded by mu, with seen
	w := watch(s, storage.WatchFilter{})
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		for {
			select {
			case event := <-w.events:
				mu.Lock()
				if err := follower.apply(event); err != nil {
					t.Error(err)
				}
				seen[event.Kind]++
				mu.Unlock()
			case <-w.done:
				return
			}
		}
	}()
	gen := contract.Generator{
		Choose: chance.IntN, Groups: 6, Topics: 4, Partitions: 3, Expire: expire * 1000,
	}
	for range testkit.Length(t, 3000) / 30 {
		for range 30 {
			r := gen.Next(time.Now().UnixMilli())
			_, _ = model.Handle(r)
			if r.RequestType >= protocol.StorageFetchClusters && r.RequestType != protocol.StorageClearConsumerOwners {
				s.Ask(r)
			} else {
				s.Send(r)
			}
		}
		synctest.Wait()
		lists := listed(t, s.Store())
		requireSame(t, modelled(t, model), lists, "lists")
		mu.Lock()
		for name, sets := range map[string][2]map[string]bool{
			"topics": {lists.topics, follower.topics}, "groups": {lists.groups, follower.groups},
			"topics of groups": {lists.groupTopics, follower.groupTopics},
		} {
			for item := range sets[0] {
				require.True(t, sets[1][item], "%s: %s is listed and was not told", name, item)
			}
		}
		mu.Unlock()
		// The bubble began at a whole minute, and the store sweeps every ten seconds.
		for seconds := chance.IntN(3 * sweep); seconds > 0; seconds-- {
			time.Sleep(time.Second)
			if time.Now().Unix()%sweep != 0 {
				continue
			}
			synctest.Wait()
			model.Sweep()
			want := modelled(t, model)
			requireSame(t, want, listed(t, s.Store()), "lists after the sweep")
			mu.Lock()
			requireSame(t, want, follower, "follower after the sweep")
			mu.Unlock()
		}
	}
	// In the end nothing is left: there is an event for whatever the store forgets by itself.
	time.Sleep((2*expire + sweep) * time.Second)
	synctest.Wait()
	w.end()
	<-applied
	require.Empty(t, follower.groups)
	require.Empty(t, follower.groupTopics)
	for _, kind := range []protocol.EventKind{
		protocol.EventGroupCreated, protocol.EventGroupExpired, protocol.EventGroupDeleted, protocol.EventGroupTopicCreated,
		protocol.EventGroupTopicExpired, protocol.EventGroupTopicDeleted, protocol.EventTopicCreated, protocol.EventTopicDeleted,
		protocol.EventIncarnationChanged, protocol.EventOwnerChanged, protocol.EventOwnersCleared,
	} {
		if seen[kind] == 0 && testkit.Length(t, 3000) >= 3000 {
			t.Errorf("%v never came", kind)
		}
	}
	require.Zero(t, seen[protocol.EventMissed])
}

// TestFollowManyWriters lets independent writers create and delete the same few names. Followers that come and go meanwhile
// watch first and then list, as the documentation says, and end up with the state of the store.
func TestFollowManyWriters(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config("expire-group", 1_000_000_000, "workers", 3))
	base := testkit.Seed(t)
	w := watch(s, storage.WatchFilter{})
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			chance := rand.New(rand.NewPCG(base, uint64(writer)))
			for range testkit.Length(t, 1500) {
				writeAtRandom(s.Store(), chance)
			}
		}()
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		writers.Wait()
		require.NoError(t, s.Store().SetEndOffset(context.Background(), "local", "the last", protocol.EndOffset{}))
	}()

	last := func(e protocol.Event) bool { return e.Topic == "the last" }
	late := make(chan followed)
	go func() {
		defer close(late)
		for range 3 {
			late <- followLate(s, last)
		}
	}()
	follower := newFollowed()
	for _, event := range w.until(last) {
		require.NoError(t, follower.apply(event))
	}
	<-written
	lists := listed(t, s.Store())
	requireSame(t, lists, follower, "follower")
	for f := range late {
		requireSame(t, lists, f, "a follower that came late")
	}
}

// followLate watches, lists, and applies all events up to the last. It may get events for what it has listed.
func followLate(s *testkit.Service, last func(protocol.Event) bool) followed {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	events, err := s.Module.(testkit.AsModule).Watch(ctx, storage.WatchFilter{})
	if err != nil {
		s.T.Error(err)
		return newFollowed()
	}
	f := listed(s.T, s.Store())
	if f.topics["local/the last"] {
		return f
	}
	for event := range events {
		_ = f.apply(event)
		if last(event) {
			return f
		}
	}
	s.T.Error("the last event does not come")
	return f
}

// writeAtRandom makes one random change to a few names of cluster "local".
func writeAtRandom(store storage.Store, chance *rand.Rand) {
	ctx := context.Background()
	group, topic := fmt.Sprint("group", chance.IntN(3)), fmt.Sprint("topic", chance.IntN(3))
	now := time.Now().UnixMilli()
	switch chance.IntN(12) {
	case 0:
		_ = store.DeleteTopic(ctx, "local", topic)
	case 1:
		_ = store.DeleteGroup(ctx, "local", group)
	case 2:
		_ = store.DeleteGroupTopic(ctx, "local", group, topic)
	case 3:
		_ = store.SetOwner(ctx, "local", group, protocol.PartitionOwner{Topic: topic, Owner: fmt.Sprint(chance.IntN(3))})
	case 4:
		_ = store.ClearOwners(ctx, "local", group)
	case 5, 6, 7:
		_ = store.SetEndOffset(ctx, "local", topic, protocol.EndOffset{Offset: chance.Int64N(100)})
	default:
		_ = store.Commit(ctx, "local", group, protocol.Commit{Topic: topic, Offset: chance.Int64N(100), Timestamp: now})
	}
}

// TestFollowMissed overflows a watcher that does not read: no writer waits, the watcher learns how many events it missed, and
// a list makes up for them.
func TestFollowMissed(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seq, err := s.Module.(testkit.AsModule).Watch(ctx, storage.WatchFilter{})
	require.NoError(t, err)

	const capacity, extra = 65_536, 100
	store := s.Store()
	require.NoError(t, store.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{}))
	require.NoError(t, store.Commit(ctx, "local", "group", protocol.Commit{Topic: "topic", Timestamp: time.Now().UnixMilli()}))
	for i := range capacity + extra - 3 {
		require.NoError(t, store.SetOwner(ctx, "local", "group", protocol.PartitionOwner{Topic: "topic", Owner: fmt.Sprint(i % 2)}))
	}
	// More kinds of events than owners are missed.
	require.NoError(t, store.SetEndOffset(ctx, "local", "second", protocol.EndOffset{}))
	require.NoError(t, store.DeleteGroup(ctx, "local", "group"))

	follower, n := newFollowed(), 0
	for event := range seq {
		n++
		switch {
		case n <= capacity:
			require.NoError(t, follower.apply(event))
			if n == capacity {
				requireSame(t, followed{
					map[string]bool{"local/topic": true}, map[string]bool{"local/group": true},
					map[string]bool{"local/group/topic": true},
				}, follower, "before what was missed")
			}
		case event.Kind == protocol.EventMissed:
			require.Equal(t, capacity+1, n)
			require.Equal(t, protocol.Event{Kind: protocol.EventMissed, Missed: extra + 2}, event)
			follower = listed(t, store)
			requireSame(t, followed{
				map[string]bool{"local/topic": true, "local/second": true}, map[string]bool{}, map[string]bool{},
			}, follower, "listed again")
			require.NoError(t, store.DeleteTopic(ctx, "local", "topic"))
			require.NoError(t, store.SetEndOffset(ctx, "local", "third", protocol.EndOffset{}))
		default:
			require.NoError(t, follower.apply(event))
		}
		if event.Topic == "third" {
			break
		}
	}
	requireSame(t, listed(t, store), follower, "after the recovery")
	require.Equal(t, map[string]bool{"local/second": true, "local/third": true}, maps.Clone(follower.topics))
}

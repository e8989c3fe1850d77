package watch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// script makes one change for every kind of event, and a few that cause none. The last is the creation of topic "end".
func script(s *testkit.Service) {
	s.T.Helper()
	ctx, store, now := context.Background(), s.Store(), time.Now().UnixMilli()
	end := func(cluster, topic string, partition int32, offset int64) {
		require.NoError(s.T, store.SetEndOffset(ctx, cluster, topic, protocol.EndOffset{Partition: partition, Offset: offset}))
	}
	commit := func(cluster, group, topic string) {
		require.NoError(s.T, store.Commit(ctx, cluster, group, protocol.Commit{Topic: topic, Offset: 1, Timestamp: now}))
	}
	owner := func(owner, client string) {
		require.NoError(s.T, store.SetOwner(ctx, "local", "g", protocol.PartitionOwner{Topic: "a", Partition: 3, Owner: owner, ClientID: client}))
	}
	end("local", "a", 3, 100)
	end("local", "a", 3, 100) // no change
	end("local", "b", 0, 100)
	end("REMOTE", "a", 0, 100)
	end("local", "a", 3, 99)
	commit("local", "g", "b")
	commit("local", "g", "b") // no change
	commit("Remote", "g", "a")
	owner("host", "client")
	owner("host", "client") // no change
	owner("host", "other")
	owner("", "")
	owner("host", "")
	require.NoError(s.T, store.ClearOwners(ctx, "local", "g"))
	require.NoError(s.T, store.ClearOwners(ctx, "local", "g")) // nothing new
	require.NoError(s.T, store.DeleteGroupTopic(ctx, "local", "g", "b"))
	require.Error(s.T, store.Commit(ctx, "local", "ghost", protocol.Commit{Topic: "none", Timestamp: now}))
	require.Error(s.T, store.DeleteGroup(ctx, "local", "ghost"))
	require.NoError(s.T, store.DeleteTopic(ctx, "local", "a")) // the last topic of the group
	end("local", "a", 0, 1)
	commit("local", "g", "a")
	require.NoError(s.T, store.DeleteGroup(ctx, "local", "g"))
	end("local", "end", 0, 0)
}

// scripted are the events of script.
var scripted = []string{
	"topic-created local//a",
	"topic-created local//b",
	"topic-created remote//a",
	"incarnation-changed local//a/3",
	"group-created local/g/",
	"group-topic-created local/g/b",
	"group-created remote/g/",
	"group-topic-created remote/g/a",
	"group-topic-created local/g/a",
	"owner-changed local/g/a/3 host (client)",
	"owner-changed local/g/a/3 host (other)",
	"owner-changed local/g/a/3",
	"owner-changed local/g/a/3 host ()",
	"owners-cleared local/g/",
	"group-topic-deleted local/g/b",
	"topic-deleted local//a",
	"group-deleted local/g/",
	"topic-created local//a",
	"group-created local/g/",
	"group-topic-created local/g/a",
	"group-deleted local/g/",
	"topic-created local//end",
}

func TestWatchTellsAll(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config())
	w := watch(s, storage.WatchFilter{})
	script(s)
	events := w.until(func(e protocol.Event) bool { return e.Topic == "end" })
	require.Equal(t, scripted, eventTexts(events))
	for _, event := range events {
		require.WithinDuration(t, time.Now(), event.Time, testkit.Patience)
	}
}

func TestWatchFilter(t *testing.T) {
	t.Parallel()
	some := func(indexes ...int) (texts []string) {
		for _, i := range indexes {
			texts = append(texts, scripted[i])
		}
		return texts
	}
	for name, test := range map[string]struct {
		filter storage.WatchFilter
		want   []string
	}{
		"cluster":              {storage.WatchFilter{Clusters: []string{"remote"}}, some(2, 6, 7)},
		"cluster, other case":  {storage.WatchFilter{Clusters: []string{"Remote"}}, some(2, 6, 7)},
		"group":                {storage.WatchFilter{Clusters: []string{"remote"}, Groups: []string{"g"}}, some(6, 7)},
		"no such group":        {storage.WatchFilter{Groups: []string{"G"}}, nil},
		"topic, and the group": {storage.WatchFilter{Topics: []string{"b"}}, some(1, 4, 5, 6, 13, 14, 16, 18, 20)},
		"topic and kind": {storage.WatchFilter{
			Topics: []string{"b"}, Kinds: []protocol.EventKind{protocol.EventTopicCreated, protocol.EventGroupTopicDeleted},
		}, some(1, 14)},
		"kind":  {storage.WatchFilter{Kinds: []protocol.EventKind{protocol.EventOwnerChanged}}, some(9, 10, 11, 12)},
		"kinds": {storage.WatchFilter{Kinds: []protocol.EventKind{protocol.EventTopicDeleted, protocol.EventGroupDeleted}}, some(15, 16, 20)},
		"all":   {storage.WatchFilter{Clusters: []string{"local", "remote"}, Kinds: []protocol.EventKind{}}, scripted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.Started(t, testkit.Config())
			seq, err := s.Module.(testkit.AsModule).Watch(t.Context(), test.filter)
			require.NoError(t, err)
			// The caller may change the filter afterwards.
			for i := range test.filter.Kinds {
				test.filter.Kinds[i] = "changed"
			}
			script(s)
			s.MustStop()
			var events []protocol.Event
			for event := range seq {
				events = append(events, event)
			}
			require.Equal(t, test.want, eventTexts(events))
		})
	}
}

// TestWatchExpiry checks the events of what expires, when it is swept or fetched before.
func TestWatchExpiry(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		w := watch(s, storage.WatchFilter{Groups: []string{"group", "other"}})
		is := func(last protocol.EventKind, want ...string) {
			t.Helper()
			events := w.until(func(e protocol.Event) bool { return e.Kind == last })
			require.Equal(t, want, eventTexts(events))
			require.Less(t, time.Since(events[0].Time), time.Minute)
		}
		s.End(100)
		s.Send(testkit.EndOf("second", 0, 1, 100))
		s.Commits(10)
		s.Send(testkit.CommitOf("group", "second", 0, 10, 1, time.Now().UnixMilli()))
		for range 3 {
			<-w.events
		}
		for range 5 {
			time.Sleep(10 * time.Second)
			s.Commits(20)
		}
		is(protocol.EventGroupTopicExpired, "group-topic-expired local/group/second")
		time.Sleep(101 * time.Second)
		is(protocol.EventGroupExpired, "group-expired local/group/")

		stats := s.Stats()
		require.EqualValues(t, 1, stats.ExpiredGroups)
		require.EqualValues(t, 1, stats.ExpiredTopics)
	}, "expire-group", 100, "expire-topic", 30, "sweep-interval", 25)
}

// TestWatchExpiryBeforeTheSweep lets a fetch find out that a group has expired.
func TestWatchExpiryBeforeTheSweep(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		w := watch(s, storage.WatchFilter{Groups: []string{"group"}})
		s.End(100)
		s.Commits(10)
		time.Sleep(101 * time.Second)
		s.Commits(40)
		want := []string{"group-created local/group/", "group-topic-created local/group/topic"}
		want = append(append(want, "group-expired local/group/"), want...)
		for _, text := range want {
			require.Equal(t, []string{text}, eventTexts([]protocol.Event{<-w.events}))
		}
		time.Sleep(101 * time.Second)
		_, replied := s.Ask(testkit.FetchOf("group"))
		require.False(t, replied)
		require.Equal(t, protocol.EventGroupExpired, (<-w.events).Kind)
		require.EqualValues(t, 2, s.Stats().ExpiredGroups)
	}, "expire-group", 100, "sweep-interval", 10_000)
}

// TestWatchEnds ends watchers in every possible way. The bubble fails if a goroutine is left.
func TestWatchEnds(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		c := s.Module.(testkit.AsModule)
		ctx, cancel := context.WithCancel(context.Background())
		var watchers sync.WaitGroup
		ended := make(chan string, 10)
		loop := func(name string, ctx context.Context, wanted int) {
			seq, err := c.Watch(ctx, storage.WatchFilter{})
			require.NoError(t, err)
			watchers.Add(1)
			go func() {
				defer watchers.Done()
				n := 0
				for range seq {
					if n++; n == wanted {
						break
					}
				}
				for range seq {
					t.Error("an event after the end of the feed")
				}
				ended <- name
			}()
		}
		is := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for len(ended) > 0 {
				got = append(got, <-ended)
			}
			require.ElementsMatch(t, want, got)
		}
		loop("context", ctx, 0)
		loop("break", context.Background(), 2)
		loop("stop", context.Background(), 0)
		_, err := c.Watch(ctx, storage.WatchFilter{}) // without a loop
		require.NoError(t, err)
		_, err = c.Watch(context.Background(), storage.WatchFilter{})
		require.NoError(t, err)
		s.End(100)
		is()
		s.Commits(10)
		is("break")
		cancel()
		is("context")
		seq, err := c.Watch(ctx, storage.WatchFilter{})
		require.NoError(t, err)
		for range seq {
			t.Error("an event for a context that is done")
		}
		s.MustStop()
		is("stop")
		watchers.Wait()
	})
}

// TestWatchAcrossStop watches a store that does not run: it gets the events of the next run.
func TestWatchAcrossStop(t *testing.T) {
	t.Parallel()
	s := testkit.Coordinated(t, testkit.Config())
	for range 2 {
		w := watch(s, storage.WatchFilter{})
		require.NoError(t, s.Start())
		s.Fill()
		w.until(func(e protocol.Event) bool { return e.Kind == protocol.EventGroupTopicCreated })
		s.MustStop()
		<-w.done
		s.Again()
	}
}

func TestWatchUnsupported(t *testing.T) {
	t.Parallel()
	c := &storage.Coordinator{App: &protocol.ApplicationContext{}, Viper: viper.New()}
	check := func() {
		t.Helper()
		_, err := c.Watch(t.Context(), storage.WatchFilter{})
		require.ErrorIs(t, err, storage.ErrUnsupported)
		_, err = c.Stats()
		require.ErrorIs(t, err, storage.ErrUnsupported)
		_, err = c.Persistent()
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.Nil(t, c.Store())
	}
	check()
	c = &storage.Coordinator{
		App: &protocol.ApplicationContext{}, Log: zap.NewNop(), Viper: testkit.Configuration(testkit.Config("class-name", testkit.ChannelOnly)),
	}
	c.Configure()
	check()
	require.NoError(t, c.Start())
	check()
	require.NoError(t, c.Stop())
	check()
}

// TestWatchersDoNotMind lets watchers come and go while others write.
func TestWatchersDoNotMind(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config())
	var all sync.WaitGroup
	for i := range 4 {
		all.Add(2)
		go func() {
			defer all.Done()
			for n := range 200 {
				require.NoError(t, s.Store().SetEndOffset(context.Background(), "local", fmt.Sprint(i, " ", n), protocol.EndOffset{}))
			}
		}()
		go func() {
			defer all.Done()
			for range 50 {
				ctx, cancel := context.WithCancel(context.Background())
				seq, err := s.Module.(testkit.AsModule).Watch(ctx, storage.WatchFilter{})
				if err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					cancel()
				}
				if i == 1 {
					require.NoError(t, s.Store().SetEndOffset(context.Background(), "local", "for myself", protocol.EndOffset{}))
					require.NoError(t, s.Store().DeleteTopic(context.Background(), "local", "for myself"))
					for range seq {
						break
					}
				}
				cancel()
			}
		}()
	}
	all.Wait()
}

package contract

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseTime covers what depends on the clock, in bubbles with a clock of their own, in which only pass lets time pass.
func exerciseTime(t *testing.T, factory Factory) {
	minute := Config{
		Settings: map[string]any{"intervals": 3, "expire-group": 60, "sweep-interval": 5},
		Clusters: []string{"local", "remote"},
	}
	topics := minute.with("expire-topic", 20)

	inBubbles(t, factory, []behaviour{
		{name: "commits are observed in whole seconds", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(1999 * time.Millisecond)
			w.commit("group", "topic", 0, 20, 2, 0)
			w.pass(time.Millisecond)
			w.commit("group", "topic", 0, 15, 3, -500)
			p := w.partition("group", "topic", 0)
			require.Equal(w.t, w.base, p.Offsets[1].ObservedTimestamp)
			// It was too near to the commit before and replaced it, and was itself observed later.
			require.Equal(w.t, w.base+2000, p.Offsets[2].ObservedTimestamp)
			require.Equal(w.t, w.base, p.Offsets[2].Timestamp)
		}},
		{name: "the age of a commit", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.drops(storage.ErrTooOld, w.commitOf("group", "topic", 0, 10, 1, -60_001))
			w.commit("group", "topic", 0, 10, 1, -60_000)
			w.groups("group")
			w.pass(time.Millisecond)
			w.gone()
		}},
		{name: "a group expires", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(60 * time.Second)
			w.groups("group")
			w.groupsOf("topic", "group")
			w.window("group", "topic", "nil nil 10/1/90@0")
			w.pass(time.Millisecond)
			w.gone()
			w.ends("topic", 100)
			w.pass(10 * time.Second)
			w.gone()
		}},
		{name: "an expired group has nothing to change", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(60*time.Second + time.Millisecond)
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageClearConsumerOwners, "local", "group", ""))
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageSetDeleteGroup, "local", "group", ""))
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageSetDeleteGroup, "local", "group", "topic"))
		}},
		{name: "a commit to an expired group begins anew", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("other", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "other", 0, 10, 10, 0)
			w.owner("group", "topic", 0, "host", "client")
			w.pass(60*time.Second + time.Millisecond)
			w.commit("group", "topic", 0, 20, 5, 60_001)
			w.window("group", "topic", "nil nil 20/5/80@60001")
			require.Len(w.t, w.fetch("group"), 1)
			require.Empty(w.t, w.partition("group", "topic", 0).Owner)
			w.groupsOf("other")
		}},
		{name: "an owner in an expired group begins anew", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.pass(60*time.Second + time.Millisecond)
			w.owner("group", "topic", 0, "host", "client")
			require.Empty(w.t, w.partition("group", "topic", 0).Offsets)
			w.pass(60 * time.Second)
			w.groups("group")
		}},
		{name: "commits keep a group", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for i := range int64(10) {
				w.commit("group", "topic", 0, 10, i+1, 50_000*i)
				w.pass(50 * time.Second)
				w.groups("group")
			}
			w.pass(11 * time.Second)
			w.gone()
		}},
		{name: "a clock in the future keeps no group", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 3_600_000)
			w.window("group", "topic", "nil nil 10/1/90@0")
			w.pass(60 * time.Second)
			w.groups("group")
			w.pass(time.Millisecond)
			w.gone()
		}},
		{name: "a commit from the future is stored as now", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 3_600_000)
			w.pass(10 * time.Second)
			w.commit("group", "topic", 0, 20, 2, 10_000)
			w.pass(10 * time.Second)
			w.commit("group", "topic", 0, 30, 3, 20_001)
			w.window("group", "topic", "10/1/90@0 20/2/80@10000 30/3/70@20000")
		}},
		{name: "commits of one moment in the future all count", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for i := range int64(3) {
				w.commit("group", "topic", 0, 10*i, i+1, math.MaxInt64-w.base-i)
			}
			w.window("group", "topic", "0/1/100@0 10/2/90@0 20/3/80@0")
		}},
		{name: "min-distance is measured from now for a commit from the future", config: minute.with("min-distance", 30),
			run: func(w *world) {
				w.end("topic", 0, 1, 100)
				w.commit("group", "topic", 0, 10, 1, 3_600_000)
				w.pass(29_999 * time.Millisecond)
				w.commit("group", "topic", 0, 20, 2, 3_600_000)
				w.window("group", "topic", "nil nil 20/2/80@0")
				w.pass(time.Millisecond)
				w.commit("group", "topic", 0, 30, 3, 3_600_000)
				w.window("group", "topic", "nil 20/2/80@0 30/3/70@30000")
			}},
		{name: "a late commit from the future is stored as now", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, -20_000)
			w.commit("group", "topic", 0, 30, 3, -10_000)
			w.commit("group", "topic", 0, 20, 2, 3_600_000)
			w.window("group", "topic", "10/1/90@-20000 20/2/-@0 30/3/70@-10000")
		}},
		{name: "a clock in the past takes nothing back", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.commit("group", "topic", 0, 20, 2, -50_000)
			w.pass(60 * time.Second)
			w.groups("group")
			w.pass(time.Millisecond)
			w.gone()
		}},
		{name: "only an append keeps a group", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.pass(50 * time.Second)
			w.commit("group", "topic", 0, 5, 5, 50_000)
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 5, 10, 50_000))
			w.fetch("group")
			w.pass(10 * time.Second)
			w.window("group", "topic", "nil 5/5/-@50000 10/10/90@0")
			w.pass(time.Millisecond)
			w.gone()
		}},
		{name: "an append that replaces keeps a group", config: minute.with("min-distance", 55), run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.pass(50 * time.Second)
			w.commit("group", "topic", 0, 20, 20, 50_000)
			w.window("group", "topic", "nil nil 20/20/80@0")
			w.pass(60 * time.Second)
			w.groups("group")
			w.pass(time.Millisecond)
			w.gone()
		}},
		{name: "any topic keeps a group", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("other", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(40 * time.Second)
			w.commit("group", "other", 0, 10, 1, 40_000)
			w.pass(60 * time.Second)
			w.groupsOf("other", "group")
			w.pass(time.Millisecond)
			w.gone()
		}},
		{name: "owners do not keep a group that commits", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.owner("group", "topic", 0, "host", "client")
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(50 * time.Second)
			w.owner("group", "topic", 0, "host", "client")
			w.pass(10*time.Second + time.Millisecond)
			w.gone()
		}},
		{name: "owners keep a group that has nothing else", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.owner("group", "topic", 0, "host", "client")
			w.pass(50 * time.Second)
			w.owner("group", "topic", 0, "host", "client")
			w.pass(60 * time.Second)
			w.groups("group")
			w.pass(time.Second)
			w.gone()
		}},
		{name: "a topic expires in a group that lives", config: topics, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("other", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.commit("group", "other", 0, 10, 1, 0)
			w.owner("group", "other", 0, "host", "client")
			w.commit("neighbour", "topic", 0, 10, 1, 15_000)
			for i := range int64(6) {
				w.commit("group", "topic", 0, 10, i+2, 10_000*i)
				if i < 3 {
					w.groupsOf("other", "group")
				}
				w.pass(10 * time.Second)
			}
			w.groupsOf("other")
			require.Len(w.t, w.fetch("group"), 1)
			require.NotContains(w.t, w.fetch("group"), "other")
			w.ends("other", 100)
			// When the partition is back, it does not know what it was before.
			w.commit("group", "other", 0, 20, 1, 60_000)
			w.window("group", "other", "nil nil 20/1/80@60000")
		}},
		{name: "by default a topic lives as long as a group", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("other", 0, 1, 100)
			w.commit("group", "other", 0, 10, 1, 0)
			for i := range int64(7) {
				w.commit("group", "topic", 0, 10, i+1, 10_000*i)
				w.groupsOf("other", "group")
				w.pass(10 * time.Second)
			}
			w.groupsOf("other")
			w.groupsOf("topic", "group")
		}},
		{name: "a group left without a topic by the sweep is gone", config: topics, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(26 * time.Second)
			w.gone()
		}},
		{name: "brokers' topics do not expire", config: topics, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.pass(10 * time.Minute)
			w.ends("topic", 100)
		}},
		{name: "expiry is by cluster", config: minute, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.sets(endOf("remote", "topic", 0, 1, 100))
			w.commit("group", "topic", 0, 10, 1, 0)
			w.pass(30 * time.Second)
			r := w.commitOf("group", "topic", 0, 10, 1, 30_000)
			r.Cluster = "remote"
			w.sets(r)
			w.pass(31 * time.Second)
			w.gone()
			require.True(w.t, w.do(request(protocol.StorageFetchConsumer, "remote", "group", "")).replied)
		}},
	})
	exerciseReplyTimeout(t, factory)
}

// inBubbles runs each behaviour as a subtest, in every way to make requests, each in a bubble whose clock begins at the base
// of its world.
func inBubbles(t *testing.T, factory Factory, behaviours []behaviour) {
	t.Helper()
	for _, b := range behaviours {
		for _, way := range ways {
			t.Run(b.name+"/"+way.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, factory, b.config, way)
					w.base = time.Now().UnixMilli()
					b.run(w)
				})
			})
		}
	}
}

// pass lets time pass, and then waits for everything that it woke.
func (w *world) pass(d time.Duration) {
	w.do(request(protocol.StorageFetchClusters, "", "", ""))
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}

// gone checks that no answer or list contains group "group" of cluster "local".
func (w *world) gone() {
	w.t.Helper()
	w.unanswered(storage.ErrUnknownGroup, request(protocol.StorageFetchConsumer, "local", "group", ""))
	w.groupsOf("topic")
	w.groupsOf("other")
	for _, name := range sorted(w.do(request(protocol.StorageFetchConsumers, "local", "", ""))) {
		require.NotEqual(w.t, "group", name)
	}
	require.False(w.t, strings.Contains(w.state(), "local group"), "the group is listed somewhere")
}

func exerciseReplyTimeout(t *testing.T, factory Factory) {
	config := worldConfig.with("reply-timeout", 5)
	inBubble := func(name string, run func(w *world, replies []chan any)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, factory, config, ways[0])
				populate(w)
				var replies []chan any
				for _, r := range fetches() {
					r.Reply = make(chan any)
					send(t, w.channel, &r)
					replies = append(replies, r.Reply)
				}
				run(w, replies)
			})
		})
	}
	inBubble("a value stays deliverable until reply-timeout", func(w *world, replies []chan any) {
		w.pass(4900 * time.Millisecond)
		for _, reply := range replies {
			require.True(w.t, await(w.t, reply).replied)
		}
	})
	inBubble("after reply-timeout a Reply is closed", func(w *world, replies []chan any) {
		w.pass(15 * time.Second)
		for _, reply := range replies {
			require.False(w.t, await(w.t, reply).replied)
		}
		w.groups("group", "other")
	})
	inBubble("Stop waits for nobody", func(w *world, replies []chan any) {
		began := time.Now()
		stop(w.t, w.module)
		require.Less(w.t, time.Since(began), time.Second, "by the clock of the bubble")
		for _, reply := range replies {
			await(w.t, reply)
		}
	})
	t.Run("a value in a Reply with room stays there", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, factory, config, ways[0])
			populate(w)
			r := request(protocol.StorageFetchConsumer, "local", "group", "")
			r.Reply = make(chan any, 1)
			send(t, w.channel, &r)
			w.pass(time.Minute)
			require.True(t, await(t, r.Reply).replied)
		})
	})
}

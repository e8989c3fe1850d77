package failover_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// Two monitors share the log, and three processes read. For an hour one of the monitors is killed now and then, and starts again
// later. No reader ever gets a wrong answer, and each receives every event once.
func TestAnHourOfMonitorsThatAreKilled(t *testing.T) {
	servers := redistest.Cluster(t, 3, 0)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		// The client closes an unused connection after five seconds.
		t.Cleanup(func() { time.Sleep(6 * time.Second) })
		chance := rand.New(rand.NewPCG(seed, 0))
		log, names := newLog(), groups(2)
		log.live = true
		hour, end := context.WithTimeout(t.Context(), time.Hour)
		defer end()
		openShared := func(dial *redistest.Wire) *lagredis.DB {
			db, err := lagredis.Open(t.Context(), lagredis.Options{
				Store:     storage.Options{Clusters: []string{cluster}, ExpireGroup: 10 * time.Minute, ExpireTopic: time.Hour},
				Addresses: servers.Addresses(), Buckets: buckets, Dial: dial.Dial,
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return db
		}

		var readers []*witness
		for i := range 3 {
			w := &witness{log: log, groups: names, store: openShared(new(redistest.Wire)), events: map[string]int{}, seen: map[string]int64{}}
			events, err := w.store.Watch(t.Context(), storage.WatchFilter{})
			require.NoError(t, err)
			w.running.Go(func() {
				for event := range events {
					w.events[fmt.Sprint(event.Kind, " ", event.Group, " ", event.Topic, " ", event.Partition)]++
				}
			})
			random := rand.New(rand.NewPCG(seed, uint64(10+i)))
			w.running.Go(func() { every(hour, 5*time.Second, func() { w.look(hour, random) }) })
			readers = append(readers, w)
		}

		var monitors sync.WaitGroup
		kills, problems := [2]int{}, [2][]error{}
		for i := range 2 {
			random := rand.New(rand.NewPCG(seed, uint64(20+i)))
			monitors.Go(func() {
				for hour.Err() == nil {
					life, kill := context.WithTimeout(hour, time.Duration(60+random.IntN(600))*time.Second)
					wire := new(redistest.Wire)
					m := &monitor{store: openShared(wire), log: log}
					m.run(life, wire)
					kill()
					problems[i] = append(problems[i], m.problems...)
					kills[i]++
					rest, over := context.WithTimeout(hour, time.Duration(random.IntN(60))*time.Second)
					<-rest.Done()
					over()
				}
			})
		}

		// Half of the groups stop committing after a quarter of the hour.
		began := time.Now()
		every(hour, time.Second, func() {
			some := names
			if time.Since(began) > 15*time.Minute {
				some = names[:len(names)/2]
			}
			for range 3 {
				log.write(chance, some[chance.IntN(len(some))])
			}
		})
		monitors.Wait()
		for i := range 2 {
			require.Empty(t, problems[i])
			require.GreaterOrEqual(t, kills[i], 5)
		}
		// A monitor that stays alive completes the state.
		last := &monitor{store: openShared(new(redistest.Wire)), log: log}
		life, kill := context.WithTimeout(t.Context(), time.Minute)
		defer kill()
		last.run(life, new(redistest.Wire))
		want := expected(log)
		for _, w := range readers {
			require.NoError(t, w.store.Close())
			w.running.Wait()
			require.Empty(t, w.problems)
			require.Greater(t, w.looks, 300)
			require.Equal(t, want, w.events)
		}
		t.Logf("%d records, %v kills", log.size(), kills)
	})
}

// expected are the events of a log, half of whose groups have expired.
func expected(log *commitLog) map[string]int {
	log.mu.Lock()
	defer log.mu.Unlock()
	want := map[string]int{}
	last := map[string]int64{}
	for _, topic := range topics {
		want[fmt.Sprint(protocol.EventTopicCreated, "  ", topic, " 0")] = 1
	}
	for _, records := range log.partitions {
		for _, r := range records {
			want[fmt.Sprint(protocol.EventGroupCreated, " ", r.group, "  0")] = 1
			want[fmt.Sprint(protocol.EventGroupTopicCreated, " ", r.group, " ", r.commit.Topic, " 0")] = 1
			last[r.group] = r.commit.Timestamp
		}
	}
	for group, at := range last {
		if time.Since(time.UnixMilli(at)) > 20*time.Minute {
			want[fmt.Sprint(protocol.EventGroupExpired, " ", group, "  0")] = 1
		}
	}
	return want
}

// monitor feeds its share of the log.
type monitor struct {
	store *lagredis.DB
	log   *commitLog

	feeds    map[int32]func() // the function that ends each feed; only with Share
	problems []error
}

// run feeds until the context is done, and is then killed.
func (m *monitor) run(ctx context.Context, wire *redistest.Wire) {
	m.feeds = map[int32]func(){}
	var all sync.WaitGroup
	all.Go(func() {
		_ = poll(ctx, m.store) // the next poll repairs a failed one
		every(ctx, 10*time.Second, func() { _ = poll(ctx, m.store) })
	})
	all.Go(func() { _ = m.store.Share(ctx, func(mine []int32) { m.share(ctx, mine) }) })
	<-ctx.Done()
	wire.Cut()
	all.Wait()
	_ = m.store.Close()
}

func (m *monitor) share(ctx context.Context, mine []int32) {
	wanted := map[int32]bool{}
	for _, bucket := range mine {
		wanted[bucket] = true
		if m.feeds[bucket] == nil {
			f := &feed{store: m.store, log: m.log, partition: bucket}
			stop := together(func(mine context.Context) {
				both, cancel := context.WithCancel(mine)
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				f.run(both)
			})
			m.feeds[bucket] = func() {
				stop()
				m.problems = append(m.problems, f.problems...)
			}
		}
	}
	for bucket, stop := range m.feeds {
		if !wanted[bucket] {
			stop()
			delete(m.feeds, bucket)
		}
	}
}

// witness reads groups and watches events.
type witness struct {
	store   *lagredis.DB
	log     *commitLog
	groups  []string
	running sync.WaitGroup

	events   map[string]int   // how often it received each event
	seen     map[string]int64 // the newest order of each group-partition
	looks    int
	problems []error // wrong answers
}

// look reads a random group. Each window must hold the newest commits of some moment, and none may be older than before.
func (w *witness) look(ctx context.Context, chance *rand.Rand) {
	name := w.groups[chance.IntN(len(w.groups))]
	var group protocol.Group
	if err := w.store.Group(ctx, cluster, name, &group); err != nil {
		return // not known yet, or expired
	}
	w.looks++
	for _, topic := range group.Topics {
		for p, partition := range topic.Partitions {
			if len(partition.Commits) == 0 {
				continue
			}
			key := fmt.Sprint(name, topic.Name, p)
			newest := partition.Commits[len(partition.Commits)-1].Order
			if newest < w.seen[key] {
				w.problems = append(w.problems, fmt.Errorf("%s: order %d after %d", key, newest, w.seen[key]))
			}
			w.seen[key] = newest
			want := w.log.window(name, topic.Name, int32(p), newest, 10)
			if got := describeCommits(partition.Commits); got != want {
				w.problems = append(w.problems, fmt.Errorf("%s: %s, not %s", key, got, want))
			}
		}
	}
}

func describeCommits(commits []protocol.StoredCommit) (text string) {
	for _, c := range commits {
		text += fmt.Sprintf("%d/%d/%d ", c.Offset, c.Order, c.Lag)
	}
	return text
}

// window describes the last n commits of a group-partition up to an order.
func (l *commitLog) window(group, topic string, partition int32, newest int64, n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var commits []protocol.StoredCommit
	for _, r := range l.partitions[protocol.LogPartitionOf(group, buckets)] {
		if c := r.commit; r.group == group && c.Topic == topic && c.Partition == partition && c.Order <= newest {
			commits = append(commits, protocol.StoredCommit{Offset: c.Offset, Order: c.Order, Lag: uint64(endOffset - c.Offset)})
		}
	}
	return describeCommits(commits[max(0, len(commits)-n):])
}

func (l *commitLog) size() (n int) {
	for p := range int32(buckets) {
		n += int(l.end(p))
	}
	return n
}

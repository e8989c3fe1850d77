package failover_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// rounds is the number of times that each fault happens; REDISTEST_ROUNDS overrides it.
const rounds = 1

// fault is a fault of the servers. It returns when the servers have recovered.
type fault struct {
	name string
	// happen picks its victim at random.
	happen func(t *testing.T, s *redistest.Servers, chance *rand.Rand)
}

func anyOf(chance *rand.Rand, nodes []int) int { return nodes[chance.IntN(len(nodes))] }

var clusterFaults = []fault{
	{"kill -9 of a master", func(_ *testing.T, s *redistest.Servers, chance *rand.Rand) {
		master := anyOf(chance, s.Masters())
		s.Kill(master)
		s.AwaitFailover(master)
		s.Restart(master)
	}},
	{"planned failover", func(_ *testing.T, s *redistest.Servers, chance *rand.Rand) { s.Failover(anyOf(chance, s.Masters())) }},
	{"master stopped and continued", func(_ *testing.T, s *redistest.Servers, chance *rand.Rand) {
		master := anyOf(chance, s.Masters())
		s.Pause(master)
		s.AwaitFailover(master)
		s.Continue(master)
	}},
	{"slot moved", func(t *testing.T, s *redistest.Servers, chance *rand.Rand) {
		key := fmt.Sprintf("{g%d}", chance.IntN(buckets))
		if chance.IntN(3) == 0 {
			key = fmt.Sprintf("{t%d}", chance.IntN(buckets))
		}
		slot, err := strconv.Atoi(s.Do(0, "CLUSTER", "KEYSLOT", key))
		require.NoError(t, err)
		s.MoveSlot(slot, anyOf(chance, slices.DeleteFunc(s.Masters(), func(node int) bool { return node == s.Master(slot) })))
	}},
	{"SCRIPT FLUSH", func(_ *testing.T, s *redistest.Servers, _ *rand.Rand) { s.FlushScripts() }},
	{"master restarted empty", func(_ *testing.T, s *redistest.Servers, chance *rand.Rand) {
		master := anyOf(chance, s.Masters())
		s.Kill(master)
		s.RestartEmpty(master)
	}},
	{"all nodes restarted", restartAll},
}

var singleFaults = []fault{
	{"node restarted", restartAll},
	{"node restarted empty", func(_ *testing.T, s *redistest.Servers, _ *rand.Rand) {
		s.Kill(0)
		s.RestartEmpty(0)
	}},
	{"SCRIPT FLUSH", func(_ *testing.T, s *redistest.Servers, _ *rand.Rand) { s.FlushScripts() }},
}

func restartAll(_ *testing.T, s *redistest.Servers, _ *rand.Rand) {
	for i := range s.Addresses() {
		s.Kill(i)
	}
	for i := range s.Addresses() {
		s.Restart(i)
	}
}

func TestClusterHeals(t *testing.T) {
	exercise(t, redistest.Cluster(t, 3, 1), clusterFaults)
}

func TestSingleNodeHeals(t *testing.T) {
	exercise(t, redistest.Single(t), singleFaults)
}

func exercise(t *testing.T, s *redistest.Servers, faults []fault) {
	n := rounds
	if text := os.Getenv("REDISTEST_ROUNDS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for _, f := range faults {
		var writes, reads []time.Duration
		replays := 0
		for round := range n {
			t.Run(fmt.Sprint(f.name, "/", round), func(t *testing.T) {
				got := heal(t, s, fmt.Sprintf("%s%d:", t.Name(), round), f)
				writes, reads = append(writes, got.writes), append(reads, got.reads)
				replays += got.replays
			})
		}
		if t.Failed() {
			return
		}
		if len(writes) == 0 {
			continue // not selected
		}
		t.Logf("| %s | %d | %v | %v | %v | %v | %d |", f.name, len(writes), median(writes), slices.Max(writes), median(reads), slices.Max(reads), replays)
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2].Round(time.Millisecond)
}

type result struct {
	writes, reads time.Duration // the longest time without a success
	replays       int
}

func open(t *testing.T, s *redistest.Servers, prefix string) *lagredis.DB {
	t.Helper()
	db := answered(t, func() (*lagredis.DB, error) {
		return lagredis.Open(t.Context(), lagredis.Options{
			Store: storage.Options{Clusters: []string{cluster}}, Addresses: s.Addresses(), KeyPrefix: prefix, Buckets: buckets,
		})
	})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// heal injects a fault under load, and compares the state afterwards with a store that saw the log once.
func heal(t *testing.T, s *redistest.Servers, prefix string, f fault) result {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	log, names := newLog(), groups(4)
	writer, reading := open(t, s, prefix), open(t, s, prefix)
	await(t, func() bool { return poll(t.Context(), writer) == nil })

	var functions []func(context.Context)
	var feeds []*feed
	var readers []*reader
	for p := range int32(buckets) {
		feed := &feed{store: writer, log: log, partition: p}
		reader := &reader{store: reading, groups: slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return protocol.LogPartitionOf(name, buckets) != p
		})}
		feeds, readers = append(feeds, feed), append(readers, reader)
		functions = append(functions, feed.run, reader.run)
	}
	functions = append(functions, func(ctx context.Context) {
		every(ctx, 50*time.Millisecond, func() { _ = poll(ctx, writer) }) // the next poll repairs a failed one
	})
	stop := together(functions...)
	defer stop()

	// The load has its own random source and ends with the fault.
	load := rand.New(rand.NewPCG(seed, 1))
	stopLoad := together(func(ctx context.Context) {
		every(ctx, 5*time.Millisecond, func() {
			for range 10 {
				log.write(load, names[load.IntN(len(names))])
			}
		})
	})
	defer stopLoad()
	awaitWritten(t, log, feeds, 500)
	began := time.Now()
	f.happen(t, s, chance)
	s.Await()
	servers := time.Since(began)
	stopLoad()
	// A lost change that the next commit of each bucket does not reveal is never noticed.
	for _, name := range names {
		for range 3 {
			log.write(chance, name)
		}
	}
	awaitFed(t, log, feeds)
	stop()
	// The next poll restores lost end offsets.
	await(t, func() bool { return poll(t.Context(), writer) == nil })

	var got result
	for _, feed := range feeds {
		require.Empty(t, feed.problems)
		got.writes, got.replays = max(got.writes, feed.writes.longest), got.replays+feed.replays
	}
	for _, reader := range readers {
		require.Empty(t, reader.problems)
		got.reads = max(got.reads, reader.reads.longest)
	}
	same(t, log, names, reading)
	t.Logf("the servers took %v, writes %v, reads %v", servers, got.writes, got.reads)
	return got
}

// every calls a function at intervals until the context is done.
func every(ctx context.Context, interval time.Duration, call func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			call()
		}
	}
}

// awaitWritten returns when the store holds n records of the log.
func awaitWritten(t *testing.T, log *commitLog, feeds []*feed, n int64) {
	t.Helper()
	await(t, func() bool {
		sum := int64(0)
		for _, feed := range feeds {
			sum += feed.at.Load()
		}
		return sum >= n
	})
}

// awaitFed returns when every feed has read its log partition to the end.
func awaitFed(t *testing.T, log *commitLog, feeds []*feed) {
	t.Helper()
	await(t, func() bool {
		for _, feed := range feeds {
			if feed.at.Load() < log.end(feed.partition) {
				return false
			}
		}
		return true
	})
}

func await(t *testing.T, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	every(ctx, time.Millisecond, func() {
		if holds() {
			cancel()
		}
	})
	require.True(t, holds())
}

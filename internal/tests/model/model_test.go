package model_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// filters are lists that accept some of the Generator's groups.
var filters = []map[string]any{
	{},
	{},
	{"group-allowlist": "[0-2]$"},
	{"group-denylist": "^group1$"},
	{"group-allowlist": "^group", "group-denylist": "3"},
}

// space configures a Generator.
type space struct {
	name                       string
	groups, topics, partitions int
	wild, keep                 bool
}

var spaces = []space{
	{name: "small", groups: 3, topics: 2, partitions: 2},
	{name: "usual", groups: 5, topics: 4, partitions: 4, keep: true},
	{name: "wild", groups: 3, topics: 3, partitions: 3, wild: true, keep: true},
}

func (s space) generator(random *rand.Rand) *contract.Generator {
	return &contract.Generator{
		Choose: random.IntN, Groups: s.groups, Topics: s.topics, Partitions: s.partitions, Wild: s.wild, Keep: s.keep,
	}
}

// inChunks returns the next function for CheckAgainstModel: n requests of a generator, some at a time.
func inChunks(
	random *rand.Rand, generator *contract.Generator, n int,
) func(int64) ([]*protocol.StorageRequest, time.Duration) {
	return func(now int64) ([]*protocol.StorageRequest, time.Duration) {
		chunk := make([]*protocol.StorageRequest, min(n, 1+random.IntN(200)))
		n -= len(chunk)
		for i := range chunk {
			chunk[i] = generator.Next(now)
		}
		return chunk, 0
	}
}

// TestModel sends random requests to the module and to the naive model of the contract, in many configurations.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, intervals := range []int{1, 2, 3, 10, 60} {
		for _, distance := range []int{0, 1, 30} {
			for _, workers := range []int{1, 3, 20} {
				t.Run(fmt.Sprintf("intervals=%d,min-distance=%d,workers=%d", intervals, distance, workers), func(t *testing.T) {
					t.Parallel()
					seed := testkit.Seed(t)
					random := rand.New(rand.NewPCG(seed, 0))
					for _, mode := range contract.Modes() {
						for _, space := range spaces {
							config := storagetest.Config{Settings: map[string]any{
								"intervals": intervals, "min-distance": distance, "workers": workers,
								"queue-depth": random.IntN(4),
							}, Clusters: contract.GeneratorClusters}
							for key, value := range filters[random.IntN(len(filters))] {
								config.Settings[key] = value
							}
							next := inChunks(random, space.generator(random), testkit.Length(t, 250))
							contract.CheckAgainstModel(t, testkit.InMemory, config, mode, next)
						}
					}
				})
			}
		}
	}
}

// TestModelLong sends many requests with few names and many partitions, so that windows and blocks are packed, moved and
// rebuilt as they grow.
func TestModelLong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		space
		intervals, requests int
	}{
		{space{"one window", 1, 1, 1, true, true}, 60, 4000},
		{space{"one window of a thousand", 1, 1, 1, true, true}, 1000, 4000},
		{space{"few windows", 2, 2, 2, true, true}, 200, 4000},
		{space{"many partitions", 1, 2, 700, false, true}, 5, 3000},
		{space{"many partitions, wild", 2, 3, 300, true, true}, 10, 4000},
		{space{"many topics", 3, 200, 3, false, false}, 3, 4000},
		{space{"many groups", 250, 3, 2, false, true}, 3, 4000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seed := testkit.Seed(t)
			for i, mode := range []string{"pipelined", "typed"} {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				config := storagetest.Config{
					Settings: map[string]any{"intervals": test.intervals}, Clusters: contract.GeneratorClusters,
				}
				next := inChunks(random, test.generator(random), testkit.Length(t, test.requests))
				contract.CheckAgainstModel(t, testkit.InMemory, config, mode, next)
			}
		})
	}
}

// TestModelExpiry lets time pass between random requests, several times as long as groups and topics live. Everything expires
// at multiples of ten seconds, and requests come five seconds later.
func TestModelExpiry(t *testing.T) {
	t.Parallel()
	for _, settings := range []map[string]any{
		{"intervals": 3, "expire-group": 80, "sweep-interval": 1},
		{"intervals": 10, "expire-group": 160, "expire-topic": 80, "sweep-interval": 2, "min-distance": 15},
		{"intervals": 3, "expire-group": 80, "expire-topic": 160, "sweep-interval": 1, "workers": 3},
		{"intervals": 1, "expire-group": 160, "expire-topic": 20, "sweep-interval": 1, "workers": 1},
	} {
		for _, mode := range contract.Modes() {
			t.Run(fmt.Sprintf("%v/%s", settings, mode), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(testkit.Seed(t), 0))
				config := storagetest.Config{Settings: settings, Clusters: contract.GeneratorClusters}
				generator := spaces[1].generator(random)
				generator.Grain, generator.Expire = 10_000, int64(settings["expire-group"].(int))*1000
				left := testkit.Length(t, 80)
				contract.CheckAgainstModel(t, testkit.InMemory, config, mode,
					func(now int64) ([]*protocol.StorageRequest, time.Duration) {
						if left--; left < 0 {
							return nil, 0
						}
						chunk := make([]*protocol.StorageRequest, 1+random.IntN(20))
						for i := range chunk {
							chunk[i] = generator.Next(now)
						}
						wait := time.Duration(1+random.IntN(4)) * 10 * time.Second
						if random.IntN(10) == 0 {
							wait *= 5
						}
						if now%10_000 == 0 {
							// The bubble's clock starts on the hour.
							wait += 5 * time.Second
						}
						return chunk, wait
					})
			})
		}
	}
}

// TestSweepAsksNobody checks that the sweep removes what has expired although nobody fetches it: the statistics count without
// removing anything.
func TestSweepAsksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := testkit.InMemory(t, testkit.Config("expire-group", 60, "expire-topic", 30, "sweep-interval", 5)).(*storage.InMemoryStorage)
		require.NoError(t, m.Start())
		defer func() { require.NoError(t, m.Stop()) }()
		ctx, store := t.Context(), m.Store()
		for _, topic := range []string{"first", "second"} {
			require.NoError(t, store.SetEndOffset(ctx, "local", topic, protocol.EndOffset{Offset: 100}))
		}
		// 1000 groups, of which every tenth commits the second topic half a minute later.
		for i := range 1000 {
			commit := protocol.Commit{Topic: "first", Offset: 10, Timestamp: time.Now().UnixMilli()}
			require.NoError(t, store.Commit(ctx, "local", fmt.Sprint("group", i), commit))
		}
		time.Sleep(25 * time.Second)
		for i := 0; i < 1000; i += 10 {
			commit := protocol.Commit{Topic: "second", Offset: 10, Timestamp: time.Now().UnixMilli()}
			require.NoError(t, store.Commit(ctx, "local", fmt.Sprint("group", i), commit))
		}
		held := func(groups, topics int) {
			t.Helper()
			synctest.Wait()
			stats, err := m.Stats()
			require.NoError(t, err)
			require.Equal(t, [2]int{groups, topics}, [2]int{stats.Groups, stats.GroupTopics})
		}
		held(1000, 1100)
		// Every group has lost the first topic, and groups without another one are gone.
		time.Sleep(11 * time.Second)
		held(100, 100)
		time.Sleep(30 * time.Second)
		held(0, 0)
	})
}

// TestSweepOfGroups does so for groups whose topics would live on.
func TestSweepOfGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := testkit.InMemory(t, testkit.Config("expire-group", 30, "expire-topic", 600, "sweep-interval", 5)).(*storage.InMemoryStorage)
		require.NoError(t, m.Start())
		defer func() { require.NoError(t, m.Stop()) }()
		require.NoError(t, m.Store().SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{Offset: 100}))
		for i := range 1000 {
			owner := protocol.PartitionOwner{Topic: "topic", Owner: "host"}
			require.NoError(t, m.Store().SetOwner(t.Context(), "local", fmt.Sprint("group", i), owner))
		}
		for waited := range 7 {
			stats, err := m.Stats()
			require.NoError(t, err)
			require.Equal(t, 1000, stats.Groups, "after %d s", 5*waited)
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		stats, err := m.Stats()
		require.NoError(t, err)
		require.Zero(t, stats.Groups)
	})
}

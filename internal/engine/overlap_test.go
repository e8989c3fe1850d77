package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// twice is two engines that are to be equal, of which one takes commits in runs.
type twice struct {
	single, runs   *Engine
	clocks         [2]*stoppedClock
	stuck          [2][]string
	singly, inRuns []Reason
}

func newTwice(shards int) *twice {
	x := &twice{}
	for i, e := range []**Engine{&x.single, &x.runs} {
		*e, _, x.clocks[i] = newTestEngine(shards, 3, func(c *Config) {
			c.Clusters = []string{"local", "remote"}
			c.ExpireGroup, c.ExpireTopic, c.Remember = 1_000_000, 500_000, true
			c.Accept = func(group string) bool { return group != "filtered" }
			c.Stuck = func(cluster, group string) { x.stuck[i] = append(x.stuck[i], cluster+"/"+group) }
		})
	}
	return x
}

// both does the same with both engines.
func (x *twice) both(do func(e *Engine, c *Cluster)) {
	do(x.single, x.single.Cluster("local"))
	do(x.runs, x.runs.Cluster("local"))
}

// commit stores commits in both engines.
func (x *twice) commit(run []protocol.StorageRequest) {
	for i := range run {
		r := &run[i]
		c := x.single.Cluster(r.Cluster)
		if c == nil {
			x.singly = append(x.singly, x.single.Count(protocol.StorageSetConsumerOffset, UnknownCluster))
			continue
		}
		x.singly = append(x.singly, x.single.Commit(c, r.Group, &protocol.Commit{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Order: r.Order, Timestamp: r.Timestamp,
		}))
	}
	next := 0
	x.runs.CommitEach(run, func(i int, why Reason) {
		if i != next {
			panic(fmt.Sprintf("outcome %d after %d", i, next-1))
		}
		next++
		x.inRuns = append(x.inRuns, why)
	})
}

// Commits in runs of any length have the same effects and outcomes as the same commits one by one: with all reasons to refuse
// them, deletions and expiry between and within runs, groups that appear and go in a run, and the reports of refused groups.
func TestRunsEqualSingleCommits(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 7, 64, 65, 2000} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			chance := rand.New(rand.NewPCG(seed, 1))
			x := newTwice(shards)
			order := int64(0)
			for range 300 {
				var run []protocol.StorageRequest
				now := x.clocks[0].now
				for range chance.IntN(4*overlapping) + 1 {
					order += chance.Int64N(3)
					r := protocol.StorageRequest{
						RequestType: protocol.StorageSetConsumerOffset, Cluster: "local",
						Group: fmt.Sprint("group", chance.IntN(10)), Topic: fmt.Sprint("topic", chance.IntN(4)),
						Partition: chance.Int32N(5) - 1, Offset: 1000 + chance.Int64N(500), Order: order, Timestamp: now - chance.Int64N(5000),
					}
					switch chance.IntN(60) {
					case 0:
						r.Cluster = "nowhere"
					case 1:
						r.Cluster = "REMOTE"
					case 2:
						r.Group = "filtered"
					case 3:
						r.Group = ""
					case 4:
						r.Offset = -1
					case 5:
						r.Timestamp = now - 1_000_001
					case 6:
						r.Timestamp = now + 10_000
					case 7, 8:
						r.Order -= chance.Int64N(2000)
					case 9:
						r.Partition = 5000
					}
					if chance.IntN(4) == 0 {
						// A group whose orders have begun anew.
						r.Group, r.Order = "stuck", 1+chance.Int64N(2)
					}
					run = append(run, r)
				}
				x.commit(run)
				group, topic := fmt.Sprint("group", chance.IntN(10)), fmt.Sprint("topic", chance.IntN(4))
				what, end := chance.IntN(12), protocol.EndOffset{Partition: chance.Int32N(4), TopicPartitionCount: 4, Offset: 2000}
				if what == 11 {
					end.Partition = 5000
				}
				x.both(func(e *Engine, c *Cluster) {
					switch what {
					case 0:
						e.DeleteGroup(c, group)
					case 1:
						e.DeleteTopic(c, topic)
					case 2:
						e.DeleteGroupTopic(c, group, topic)
					case 3:
						e.Sweep()
					default:
						e.SetEndOffset(c, topic, &end)
						e.SetEndOffset(e.Cluster("remote"), topic, &end)
					}
				})
				step := chance.Int64N(60_000)
				if chance.IntN(20) == 0 {
					step = 1_200_000
				}
				x.clocks[0].now += step
				x.clocks[1].now += step
			}
			require.True(t, slices.Equal(x.singly, x.inRuns), "other outcomes in runs")
			require.True(t, slices.Equal(x.stuck[0], x.stuck[1]), "other reports in runs")
			require.NotEmpty(t, x.stuck[0])
			for _, why := range []Reason{0, UnknownCluster, UnknownTopic, UnknownPartition, Filtered, TooOld, Duplicate, Backfill, Invalid} {
				require.True(t, slices.Contains(x.inRuns, why), why)
			}
			require.Equal(t, x.single.Stats().Requests, x.runs.Stats().Requests)
			x.runs.checkInvariants(t)
			for _, name := range []string{"local", "remote"} {
				a, b := x.single.Cluster(name), x.runs.Cluster(name)
				for i := range 11 {
					group := fmt.Sprint("group", i)
					if i == 10 {
						group = "stuck"
					}
					var want, got protocol.Group
					wantCapture, wantWhy := x.single.Capture(a, group)
					gotCapture, gotWhy := x.runs.Capture(b, group)
					require.Equal(t, wantWhy, gotWhy)
					if wantWhy == 0 {
						wantCapture.Group(&want)
						gotCapture.Group(&got)
						wantCapture.Release()
						gotCapture.Release()
						// The order of the topics is that in which the sweep takes others out.
						require.ElementsMatch(t, want.Topics, got.Topics)
					}
				}
			}
			x.both(func(e *Engine, _ *Cluster) { e.Stop() })
			x.commit(make([]protocol.StorageRequest, 3))
			x.commit([]protocol.StorageRequest{{Cluster: "local"}, {Cluster: "nowhere"}, {Cluster: "remote"}})
			require.Equal(t, x.singly, x.inRuns)
		})
	}
}

// A panic at one commit of a run passes on, with what became of those before, no lock held, and the engine marked as damaged.
// The reads ahead of the run do not panic, whatever is broken.
func TestPanicInARun(t *testing.T) {
	e, c, breakIt := newDamageable(t)
	run := make([]protocol.StorageRequest, 3*overlapping)
	for i := range run {
		run[i] = protocol.StorageRequest{
			Cluster: c.Name, Group: fmt.Sprint("group", i), Topic: "orders", Offset: 20, Order: 2, Timestamp: startTime,
		}
	}
	const broken = overlapping + 5
	run[broken].Group = "billing"
	breakIt()
	var got []int
	require.Panics(t, func() { e.CommitEach(run, func(i int, why Reason) { got = append(got, i); require.Zero(t, why) }) })
	require.Len(t, got, broken)
	require.Equal(t, broken-1, got[broken-1])
	require.True(t, e.Damaged())
	e.requireUnlocked(t)
	e.CommitEach(run[broken+1:], func(_ int, why Reason) { require.Zero(t, why) })
	require.Equal(t, len(run), e.Stats().Groups)
}

// A run of which one shard is held by somebody else holds no other while it waits for that one.
func TestRunWaitsWithoutAShard(t *testing.T) {
	x := newTwice(64)
	e, c := x.runs, x.runs.Cluster("local")
	e.SetEndOffset(c, "topic0", &protocol.EndOffset{Offset: 2000})
	run := make([]protocol.StorageRequest, overlapping)
	for i := range run {
		run[i] = protocol.StorageRequest{
			Cluster: c.Name, Group: fmt.Sprint("group", i), Topic: "topic0", Offset: 20, Order: 2, Timestamp: x.clocks[1].now,
		}
	}
	held := e.shard(c.hash(run[overlapping-1].Group))
	before := 0 // commits of the run that need not wait
	for e.shard(c.hash(run[before].Group)) != held {
		before++
	}
	require.NotZero(t, before)
	held.mu.Lock()
	stored := make(chan int)
	go func() {
		n := 0
		e.CommitEach(run, func(int, Reason) { n++ })
		stored <- n
	}()
	for groups := 0; groups < before; runtime.Gosched() {
		groups = 0
		for i := range e.shards {
			if s := &e.shards[i]; s != held {
				s.mu.Lock()
				groups += len(s.groups)
				s.mu.Unlock()
			}
		}
	}
	held.mu.Unlock()
	require.Equal(t, overlapping, <-stored)
	require.Equal(t, overlapping, e.Stats().Groups)
}

package engine

import (
	"container/ring"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// load makes groups × 100 group-partitions commit some times, every ten seconds with half a second of jitter: each commit is
// about a thousand messages further and a few hundred behind, and its order as far from the previous one as if the group made
// a fiftieth of all commits. A topic has ten groups, and is polled before they commit.
func load(tb testing.TB, groups, commits, curveSegments int) *Engine {
	return loadOf(tb, groups, 100, commits, curveSegments)
}

// loadOf is load for groups of so many partitions.
func loadOf(tb testing.TB, groups, partitions, commits, curveSegments int) *Engine {
	clock := &stoppedClock{startTime}
	e := New(Config{
		Clusters: []string{"local"}, Shards: 20, Intervals: commits, ExpireGroup: 604_800_000, ExpireTopic: 604_800_000,
		CurveSegments: curveSegments, Clock: clock, Hub: new(feed.Hub[protocol.Event]),
	})
	c := e.Cluster("local")
	random := rand.New(rand.NewPCG(1, 2))
	topics := max(groups/10, 1)
	produced := make([]int64, topics*partitions)
	ends := make([]protocol.EndOffset, partitions)
	batch := make([]protocol.Commit, partitions)
	refused := func(_ int, why Reason) { tb.Fatal(why) }
	for round := range int64(commits + 2) {
		clock.now += 10_000
		for t := range topics {
			name := fmt.Sprintf("events.orders-%06d.v1", t)
			for p := range ends {
				produced[t*partitions+p] += 900 + random.Int64N(200)
				ends[p] = protocol.EndOffset{
					Partition: int32(p), TopicPartitionCount: int32(partitions), Offset: 1<<36 + produced[t*partitions+p], Timestamp: clock.now,
				}
			}
			e.SetEndOffsets(c, name, ends, refused)
			for g := t; g < groups; g += topics {
				at := clock.now - random.Int64N(500)
				for p := range batch {
					batch[p] = protocol.Commit{
						Topic: name, Partition: int32(p), Offset: ends[p].Offset - random.Int64N(500),
						Order: round*int64(max(groups*2, 200)) + int64(p) + random.Int64N(100) + 1, Timestamp: at,
					}
				}
				e.Commits(c, fmt.Sprintf("billing-service-%06d", g), batch, refused)
			}
		}
	}
	return e
}

// BenchmarkMemory measures what 1,000,000 group-partitions of 10,000 groups take with 10 and with 60 commits each: windows,
// names, indexes and maps. The 100,000 topic-partitions with their histories and curves are reported apart. The figures are
// bytes and objects, not times.
func BenchmarkMemory(b *testing.B) {
	groups := 10_000
	if testing.Short() {
		groups = 1_000
	}
	for _, commits := range []int{10, 60} {
		b.Run(fmt.Sprintf("commits=%d", commits), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				e := load(b, groups, commits, 0)
				e.sweepAll()
				after := heap()
				st := e.Stats()
				partitions, topicBytes := 0, 0
				for _, t := range e.Cluster("local").topics.Topics(nil) {
					n, bytes := t.Size()
					partitions += n
					topicBytes += bytes
				}
				n := float64(groups * 100)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "all-B/partition")
				b.ReportMetric((float64(after.HeapAlloc-before.HeapAlloc)-float64(topicBytes))/n, "groups-B/partition")
				b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/n, "objects/partition")
				b.ReportMetric(float64(st.Bytes-topicBytes)/n, "counted-B/partition")
				b.ReportMetric(float64(topicBytes)/float64(partitions), "B/topic-partition")
				runtime.KeepAlive(e)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFill measures what filling a store of 1,000,000 group-partitions with ten commits each allocates in all, what lives
// then over what sweeps leave, and the greatest heap meanwhile, garbage and all, over the same.
func BenchmarkFill(b *testing.B) {
	all := 1_000_000
	if testing.Short() {
		all = 100_000
	}
	for _, partitions := range []int{100, 1, 10, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				highest := watchHeap()
				e := loadOf(b, all/partitions, partitions, 10, 0)
				filling := float64(highest())
				var filled runtime.MemStats
				runtime.ReadMemStats(&filled)
				highest = watchHeap()
				e.sweepAll()
				sweeping := float64(highest())
				grown := heap()
				left := float64(grown.HeapAlloc - before.HeapAlloc)
				b.ReportMetric(float64(filled.TotalAlloc-before.TotalAlloc)/float64(all), "allocated-B/partition")
				b.ReportMetric((filling-float64(before.HeapAlloc))/left, "peak/swept")
				b.ReportMetric((sweeping-float64(before.HeapAlloc))/left, "peak-of-sweeps/swept")
				b.ReportMetric(left/float64(all), "swept-B/partition")
				runtime.KeepAlive(e)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// sweepAll sweeps until nothing is given back any more, as an hour does, with the collections that come meanwhile.
func (e *Engine) sweepAll() {
	for before, used := int64(0), e.Used(); used != before; before, used = used, e.Used() {
		e.Sweep()
		runtime.GC()
		runtime.GC()
	}
}

// watchHeap reads the size of the heap every millisecond. The function that it returns stops that and returns the maximum.
func watchHeap() (highest func() uint64) {
	quit, most := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		peak := uint64(0)
		for {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64())
			select {
			case <-quit:
				most <- peak
				return
			case <-ticker.C:
			}
		}
	}()
	return func() uint64 {
		close(quit)
		return <-most
	}
}

func heap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// BenchmarkGC measures a forced garbage collection with 1,000,000 group-partitions of ten commits in the heap. Its floor is
// an empty heap; it is compared with the same data as container/rings of pointers to commits in maps.
func BenchmarkGC(b *testing.B) {
	groups := 10_000
	if testing.Short() {
		groups = 1_000
	}
	collect := func(b *testing.B) {
		runtime.GC()
		start := time.Now()
		n := 0
		for b.Loop() {
			runtime.GC()
			n++
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/float64(n)/1000, "ms/gc")
	}
	b.Run("floor=empty", collect)
	b.Run("store", func(b *testing.B) {
		e := load(b, groups, 10, curve.DefaultSegments)
		collect(b)
		runtime.KeepAlive(e)
	})
	b.Run("comparison=rings", func(b *testing.B) {
		all := make(map[int]map[string][]*ring.Ring, groups)
		for g := range groups {
			rings := make([]*ring.Ring, 100)
			for p := range rings {
				rings[p] = ring.New(10)
				for range 10 {
					rings[p].Value = &protocol.ConsumerOffset{Lag: &protocol.Lag{Value: uint64(g)}}
					rings[p] = rings[p].Next()
				}
			}
			all[g] = map[string][]*ring.Ring{"topic": rings}
		}
		collect(b)
		runtime.KeepAlive(all)
	})
}

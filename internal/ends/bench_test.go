package ends

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/lagkeeper/storage/internal/curve"
)

// benchWorld is a table of topics of 100 partitions, each of which gets about 1,000 messages between two polls.
type benchWorld struct {
	*Table
	topics   []*Topic
	produced []int64
	now      int64
	random   *rand.Rand
}

const benchPartitions = 100

func newBenchWorld(topics int) *benchWorld {
	w := &benchWorld{
		Table: NewTable(Options{History: 10, CurveSegments: curve.DefaultSegments}), now: 1_790_000_000_000,
		produced: make([]int64, topics*benchPartitions), random: rand.New(rand.NewPCG(1, 2)),
	}
	for i := range topics {
		w.topics = append(w.topics, w.Ensure(fmt.Sprintf("events.orders-%06d.v1", i)))
	}
	return w
}

// poll stores an end offset of every partition, every 10 s.
func (w *benchWorld) poll() {
	w.now += 10_000
	for i, t := range w.topics {
		for p := range int32(benchPartitions) {
			at := &w.produced[i*benchPartitions+int(p)]
			*at += 900 + w.random.Int64N(200)
			t.Set(EndOffset{Number: p, Count: benchPartitions, Offset: 1<<36 + *at, Seen: w.now, Dated: true})
		}
	}
}

// BenchmarkMemory measures what a topic-partition takes after 12 polls, when its history is full, and after 400, when its
// curve is full too. The floor is the information itself: ten end offsets as differences of two bytes, and the curve's
// segments at five bytes each. The figures are bytes and objects, not times.
func BenchmarkMemory(b *testing.B) {
	for _, polls := range []int{12, 400} {
		b.Run(fmt.Sprintf("polls=%d", polls), func(b *testing.B) {
			const topics = 200
			for b.Loop() {
				before := benchHeap()
				w := newBenchWorld(topics)
				own := benchHeap() // memory that is not the table's
				ownBytes := int64(own.HeapAlloc-before.HeapAlloc) - int64(w.Table.Bytes()) - topics*200
				for range polls {
					w.poll()
				}
				after := benchHeap()
				n := float64(topics * benchPartitions)
				b.ReportMetric(float64(int64(after.HeapAlloc-before.HeapAlloc)-ownBytes)/n, "B/topic-partition")
				b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/n, "objects/topic-partition")
				runtime.KeepAlive(w)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func benchHeap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// BenchmarkSet measures storing one end offset: in new partitions, in partitions with full curves, in a table that fits into
// the cache and in one that does not.
func BenchmarkSet(b *testing.B) {
	for _, topics := range []int{1, 1000} {
		b.Run(fmt.Sprintf("growing/%d", topics*benchPartitions), func(b *testing.B) {
			w := newBenchWorld(topics)
			n := 0
			var taken time.Duration
			for b.Loop() {
				if n++; n%25 == 0 {
					w = newBenchWorld(topics)
				}
				start := time.Now()
				w.poll()
				taken += time.Since(start)
			}
			b.ReportMetric(float64(taken.Nanoseconds())/float64(n*topics*benchPartitions), "ns/end-offset")
		})
		b.Run(fmt.Sprintf("full/%d", topics*benchPartitions), func(b *testing.B) {
			w := newBenchWorld(topics)
			for range 100 {
				w.poll()
			}
			n := 0
			for b.Loop() {
				w.poll()
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*topics*benchPartitions), "ns/end-offset")
		})
	}
}

// BenchmarkJudge measures the part of a fetch that concerns the end offsets of a topic: copying its pages and the curves of
// partitions that are behind, reading histories, and computing the lag in time.
func BenchmarkJudge(b *testing.B) {
	for _, behind := range []int64{0, 3_000, 100_000} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			w := newBenchWorld(1)
			for range 100 {
				w.poll()
			}
			var image Image
			var history []int64
			var view View
			n := 0
			for b.Loop() {
				image.Reset()
				r := w.topics[0].Read()
				all := image.Add(r, benchPartitions)
				lags := image.Lags(r, true)
				for p := range int32(benchPartitions) {
					lags.Add(p, 1<<36+w.produced[p]-behind)
				}
				r.Close()
				cursor := image.Cursor(all)
				for p := range int32(benchPartitions) {
					history = cursor.Next(p, &view, history[:0])
					image.TimeLag(int(p), w.now)
				}
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*benchPartitions), "ns/partition")
		})
	}
}

package bench_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/snapshottest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// BenchmarkSnapshot measures a snapshot of 1,000,000 group-partitions with ten commits each (100,000 with -short): how long
// it takes, how large it is, how much memory it takes meanwhile, how long Start takes to restore it, and how it affects the
// p99 of typed commits. The floor is writing and syncing as many bytes.
func BenchmarkSnapshot(b *testing.B) {
	groups := 10_000
	if testing.Short() {
		groups = 1_000
	}
	const partitions = 100
	path := filepath.Join(b.TempDir(), "state")
	w := newBenchWorldAt(b, groups, partitions, path)
	w.load(b, 10)
	p, err := w.coordinator.Persistent()
	must(b, err)
	ctx := context.Background()

	b.Run("save", func(b *testing.B) {
		cpu := time.Duration(0)
		for b.Loop() {
			b.StopTimer()
			w.touch(b)
			runtime.GC()
			from := snapshottest.CPUTime()
			b.StartTimer()
			must(b, p.Snapshot(ctx))
			b.StopTimer()
			cpu += snapshottest.CPUTime() - from
			b.StartTimer()
		}
		b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
		b.ReportMetric(float64(size(b, path))/float64(groups*partitions), "bytes/group-partition")
	})
	b.Run("save/memory", func(b *testing.B) {
		// Apart from the time: sampling the heap takes some.
		before, extra := uint64(0), uint64(0)
		for b.Loop() {
			w.touch(b)
			runtime.GC()
			before = heap()
			stop := sampleHeap()
			must(b, p.Snapshot(ctx))
			if peak := stop(); peak > before {
				extra = max(extra, peak-before)
			}
		}
		b.ReportMetric(float64(before)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(extra)/(1<<20), "extra-heap-MiB")
	})
	b.Run("save/floor=write", func(b *testing.B) {
		bytes, err := os.ReadFile(path)
		must(b, err)
		from := snapshottest.CPUTime()
		for b.Loop() {
			// A new file each time, as a snapshot is.
			writeAndSync(b, path+".new", bytes)
			must(b, os.Rename(path+".new", path+".floor"))
		}
		b.ReportMetric((snapshottest.CPUTime()-from).Seconds()/float64(b.N), "cpu-s/op")
	})
	b.Run("restore", func(b *testing.B) {
		cpu := time.Duration(0)
		for b.Loop() {
			b.StopTimer()
			copied := filepath.Join(b.TempDir(), "state")
			bytes, err := os.ReadFile(path)
			must(b, err)
			must(b, os.WriteFile(copied, bytes, 0o600))
			m := testkit.InMemory(nil, storagetest.Config{
				Clusters: contract.GeneratorClusters,
				Settings: map[string]any{"snapshot-path": copied, "snapshot-interval": 0},
			}).(*storage.InMemoryStorage)
			runtime.GC()
			before := heap()
			stop := sampleHeap()
			from := snapshottest.CPUTime()
			b.StartTimer()
			must(b, m.Start())
			b.StopTimer()
			cpu += snapshottest.CPUTime() - from
			peak := stop() - before
			runtime.GC()
			// The memory of reading beyond what it becomes.
			b.ReportMetric(float64(peak)/float64(heap()-before), "peak-of-heap")
			if m.Store().(storage.Persistent).Restored().Groups != groups {
				b.Fatal("restored", m.Store().(storage.Persistent).Restored().Groups)
			}
			must(b, m.Stop())
			b.StartTimer()
		}
		b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
	})
	b.Run("restore/floor=read", func(b *testing.B) {
		for b.Loop() {
			bytes, err := os.ReadFile(path)
			must(b, err)
			if len(bytes) == 0 {
				b.Fatal("nothing was read")
			}
		}
	})
	b.Run("commits", func(b *testing.B) {
		picks := w.picks(1 << 16)
		n := 0
		// measure commits until over returns true, and returns the p99 of the durations.
		measure := func(over func() bool) time.Duration {
			var took []time.Duration
			for !over() {
				pick := &picks[n&(len(picks)-1)]
				commit := pick.again(n / len(picks))
				begun := time.Now()
				must(b, w.store.Commit(ctx, benchCluster, pick.group, commit))
				took = append(took, time.Since(begun))
				n++
			}
			slices.Sort(took)
			return took[len(took)*99/100]
		}
		var idle, during []time.Duration
		for b.Loop() {
			until := time.Now().Add(time.Second)
			idle = append(idle, measure(func() bool { return time.Now().After(until) }))
			var saved atomic.Bool
			done := make(chan error)
			go func() {
				err := p.Snapshot(ctx)
				saved.Store(true)
				done <- err
			}()
			during = append(during, measure(saved.Load))
			must(b, <-done)
		}
		slices.Sort(idle)
		slices.Sort(during)
		b.ReportMetric(float64(idle[len(idle)/2]), "p99-idle-ns")
		b.ReportMetric(float64(during[len(during)/2]), "p99-during-ns")
	})
}

// newBenchWorldAt is newBenchWorld with a snapshot at a path.
func newBenchWorldAt(b *testing.B, groups, partitions int, path string) *benchWorld {
	w := newBenchWorld(b, groups, partitions, 10, nil)
	c := w.coordinator
	must(b, c.Stop())
	c.Viper.Set("storage.bench.snapshot-path", path)
	c.Viper.Set("storage.bench.snapshot-interval", 0)
	c.Configure()
	must(b, c.Start())
	w.store = c.Store().(storage.Backend)
	for _, topic := range w.topicNames {
		ends := make([]protocol.EndOffset, partitions)
		for p := range ends {
			ends[p] = protocol.EndOffset{
				Partition: int32(p), TopicPartitionCount: int32(partitions), Offset: 1<<40 + 1_000, Timestamp: w.start,
			}
		}
		must(b, w.store.SetEndOffsetBatch(context.Background(), benchCluster, topic, ends))
	}
	return w
}

// touch changes something, so that there is something to save.
func (w *benchWorld) touch(b *testing.B) {
	pick := w.picks(1)[0]
	must(b, w.store.Commit(context.Background(), benchCluster, pick.group, pick.again(0)))
}

func size(b *testing.B, path string) int64 {
	info, err := os.Stat(path)
	must(b, err)
	return info.Size()
}

func writeAndSync(b *testing.B, path string, bytes []byte) {
	file, err := os.Create(path)
	must(b, err)
	// In pieces, which takes less time than all at once.
	for piece := range slices.Chunk(bytes, 256<<10) {
		_, err = file.Write(piece)
		must(b, err)
	}
	must(b, file.Sync())
	must(b, file.Close())
}

// heap returns the bytes of all objects in the heap, garbage included.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// sampleHeap reads the size of the heap regularly. The function that it returns stops that and returns the maximum.
func sampleHeap() (stop func() uint64) {
	quit, most := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		peak := heap()
		for {
			select {
			case <-ticker.C:
				peak = max(peak, heap())
			case <-quit:
				most <- max(peak, heap())
				return
			}
		}
	}()
	return func() uint64 {
		close(quit)
		return <-most
	}
}

// Command scale fills a store with a given number of group-partitions and writes what they cost as a table in Markdown: memory,
// collections, commits, fetches, a snapshot and its restoration.
//
//	GOWORK=off go run ./scale -partitions 10000000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

const (
	cluster  = "local"
	perGroup = 100 // partitions of a group
	window   = 10  // commits of a group-partition
	perTopic = 100 // groups that read a topic
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	sizes := flags.String("partitions", "10000,100000,1000000,10000000", "comma-separated numbers of group-partitions, each a run")
	lag := flags.Int64("lag", 5_000_000, "messages that a group is behind, at least; at most twice as many")
	results := flags.String("json", "", "file to write the results to, for the command chart")
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case *lag < 1:
		return fmt.Errorf("invalid -lag %d: must be at least 1", *lag)
	}
	var all []*result
	for text := range strings.SplitSeq(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n < perGroup {
			return fmt.Errorf("invalid -partitions %q: must be at least %d", text, perGroup)
		}
		r, err := measure(n/perGroup, *lag)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if *results != "" {
		text, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*results, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return table(out, all)
}

// result is the cost at one size. Times are in nanoseconds, sizes in bytes.
type result struct {
	GroupPartitions int `json:"group_partitions"`

	FillPerCommit  float64 `json:"fill_ns_per_commit"`
	AllocatedEach  float64 `json:"allocated_bytes_per_group_partition"`
	HeapEach       float64 `json:"heap_bytes_per_group_partition"`
	PeakOverHeap   float64 `json:"peak_over_heap"`
	Collection     float64 `json:"forced_collection_ns"`
	CommitP50      float64 `json:"commit_p50_ns"`
	CommitP99      float64 `json:"commit_p99_ns"`
	FetchP50       float64 `json:"fetch_p50_ns"`
	FetchP99       float64 `json:"fetch_p99_ns"`
	FileEach       float64 `json:"file_bytes_per_group_partition"`
	Save           float64 `json:"save_ns"`
	SaveFloor      float64 `json:"save_floor_ns"`
	Restore        float64 `json:"restore_ns"`
	RestoreFloor   float64 `json:"restore_floor_ns"`
	RestoredOver   float64 `json:"restore_peak_over_heap"`
	RestoredGroups int     `json:"restored_groups"`
}

func groupName(g int) string { return fmt.Sprintf("group-%07d", g) }
func topicName(g int) string { return fmt.Sprintf("topic-%06d", g/perTopic) }

func measure(groups int, lag int64) (*result, error) {
	ctx := context.Background()
	n := groups * perGroup
	r := &result{GroupPartitions: n}
	dir, err := os.MkdirTemp("", "scale")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	options := storage.Options{
		Clusters: []string{cluster}, SnapshotPath: filepath.Join(dir, "state.snapshot"), SnapshotInterval: -1, SweepInterval: time.Hour,
	}
	before, peak := heap(), watch()
	defer peak.stop()
	db, err := storage.Open(options)
	if err != nil {
		return nil, err
	}
	closed := false
	defer func() {
		if !closed {
			_ = db.Close()
		}
	}()
	tell("filling %d group-partitions", n)
	var start runtime.MemStats
	runtime.ReadMemStats(&start)
	begun := time.Now()
	if err := fill(ctx, db, groups, lag); err != nil {
		return nil, err
	}
	r.FillPerCommit = float64(time.Since(begun)) / float64(n*window)
	var end runtime.MemStats
	runtime.ReadMemStats(&end)
	r.AllocatedEach = float64(end.TotalAlloc-start.TotalAlloc) / float64(n)
	highest := peak.take()
	begun = time.Now()
	runtime.GC()
	r.Collection = float64(time.Since(begun))
	used := heap() - before
	r.HeapEach, r.PeakOverHeap = float64(used)/float64(n), float64(highest-before)/float64(used)

	tell("committing and fetching at random")
	if err := random(ctx, db, groups, r); err != nil {
		return nil, err
	}
	tell("saving and restoring")
	begun = time.Now()
	if err := db.Snapshot(ctx); err != nil {
		return nil, err
	}
	r.Save = float64(time.Since(begun))
	if err := floors(dir, r); err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	closed = true
	db = nil
	before = heap()
	peak.take()
	begun = time.Now()
	again, err := storage.Open(options)
	if err != nil {
		return nil, err
	}
	r.Restore = float64(time.Since(begun))
	highest = peak.take()
	r.RestoredOver = float64(highest-before) / float64(heap()-before)
	names, err := again.Groups(ctx, cluster)
	if err != nil {
		return nil, err
	}
	for range names {
		r.RestoredGroups++
	}
	if r.RestoredGroups != groups {
		return nil, fmt.Errorf("restored %d of %d groups", r.RestoredGroups, groups)
	}
	return r, again.Close()
}

// fill commits in the order of time: each group commits to all its partitions, then the next group does.
func fill(ctx context.Context, db *storage.DB, groups int, lag int64) error {
	now := time.Now().UnixMilli()
	ends := make([]protocol.EndOffset, perGroup)
	for g := 0; g < groups; g += perTopic {
		for p := range ends {
			ends[p] = protocol.EndOffset{Partition: int32(p), TopicPartitionCount: perGroup, Offset: 1 << 40, Timestamp: now}
		}
		if err := db.SetEndOffsetBatch(ctx, cluster, topicName(g), ends); err != nil {
			return err
		}
	}
	commits := make([]protocol.Commit, perGroup)
	order := int64(0)
	// The program's own allocations count as the store's.
	source := rand.NewPCG(0, 0)
	random := rand.New(source)
	for c := range int64(window) {
		for g := range groups {
			source.Seed(1, uint64(g))
			topic := topicName(g)
			for p := range commits {
				behind := lag + random.Int64N(lag)
				order += 1 + random.Int64N(5)
				commits[p] = protocol.Commit{
					Topic: topic, Partition: int32(p), Offset: 1<<40 - behind + 1000*c, Order: order, Timestamp: now - (window-c)*5000,
				}
			}
			if err := db.CommitBatch(ctx, cluster, groupName(g), commits); err != nil {
				return err
			}
		}
	}
	return nil
}

// random measures commits and fetches of groups in random order.
func random(ctx context.Context, db *storage.DB, groups int, r *result) error {
	random := rand.New(rand.NewPCG(2, 2))
	const times = 200_000
	took := make([]time.Duration, 0, times)
	now := time.Now().UnixMilli()
	for i := range int64(times) {
		g := random.IntN(groups)
		group, commit := groupName(g), protocol.Commit{Topic: topicName(g), Partition: random.Int32N(perGroup), Offset: 1 << 39, Order: 1<<50 + i, Timestamp: now}
		begun := time.Now()
		if err := db.Commit(ctx, cluster, group, commit); err != nil {
			return err
		}
		took = append(took, time.Since(begun))
	}
	r.CommitP50, r.CommitP99 = percentiles(took)
	took = took[:0]
	var group protocol.Group
	for range times / 40 {
		name := groupName(random.IntN(groups))
		begun := time.Now()
		if err := db.Group(ctx, cluster, name, &group); err != nil {
			return err
		}
		took = append(took, time.Since(begun))
	}
	r.FetchP50, r.FetchP99 = percentiles(took)
	return nil
}

func percentiles(all []time.Duration) (p50, p99 float64) {
	slices.Sort(all)
	return float64(all[len(all)/2]), float64(all[len(all)*99/100])
}

// floors measures the work that no snapshot and no restoration can avoid: writing the file, and reading it.
func floors(dir string, r *result) error {
	file, err := largest(dir)
	if err != nil {
		return err
	}
	r.FileEach = float64(len(file)) / float64(r.GroupPartitions)
	begun := time.Now()
	if err := write(filepath.Join(dir, "floor"), file); err != nil {
		return err
	}
	r.SaveFloor = float64(time.Since(begun))
	begun = time.Now()
	_, err = os.ReadFile(filepath.Join(dir, "floor"))
	r.RestoreFloor = float64(time.Since(begun))
	return err
}

// largest returns the content of the largest file of a directory, which is the snapshot.
func largest(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var name string
	var size int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Size() > size {
			name, size = e.Name(), info.Size()
		}
	}
	return os.ReadFile(filepath.Join(dir, name))
}

// write writes a file and waits until it is on the disk.
func write(path string, text []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func heap() int64 {
	debug.FreeOSMemory() // waits until what the collection frees has been swept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// watcher records the greatest size of the heap, dead objects included.
type watcher struct {
	highest atomic.Int64 // an update lost to a race is made good by the next sample
	quit    chan struct{}
	done    chan struct{} // closed when the goroutine has ended
}

func watch() *watcher {
	w := &watcher{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.look()
			case <-w.quit:
				return
			}
		}
	}()
	return w
}

// take returns the greatest size since the last call.
func (w *watcher) take() int64 {
	w.look()
	return w.highest.Swap(0)
}

func (w *watcher) look() {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	w.highest.Store(max(w.highest.Load(), int64(stats.HeapAlloc)))
}

func (w *watcher) stop() {
	close(w.quit)
	<-w.done
}

func tell(format string, arguments ...any) { fmt.Fprintf(os.Stderr, format+"\n", arguments...) }

// table writes a column for each size.
func table(out io.Writer, all []*result) error {
	var b strings.Builder
	line := func(title string, cell func(*result) string) {
		b.WriteString("| " + title + " |")
		for _, r := range all {
			b.WriteString(" " + cell(r) + " |")
		}
		b.WriteByte('\n')
	}
	duration := func(ns float64) string { return short(time.Duration(ns)) }
	line("group-partitions × 10 commits", func(r *result) string { return fmt.Sprint(r.GroupPartitions) })
	line("---", func(*result) string { return "---" })
	line("heap, per group-partition", func(r *result) string { return fmt.Sprintf("%.0f B", r.HeapEach) })
	line("… in all", func(r *result) string { return fmt.Sprintf("%.3g GB", r.HeapEach*float64(r.GroupPartitions)/1e9) })
	line("peak while filling, over that", func(r *result) string { return fmt.Sprintf("%.2f ×", r.PeakOverHeap) })
	line("allocated while filling, per group-partition", func(r *result) string { return fmt.Sprintf("%.0f B", r.AllocatedEach) })
	line("forced collection", func(r *result) string { return duration(r.Collection) })
	line("filling, per commit in batches of 100", func(r *result) string { return duration(r.FillPerCommit) })
	line("commit of a random group, p50 / p99", func(r *result) string { return duration(r.CommitP50) + " / " + duration(r.CommitP99) })
	line("fetch of a random group of 100, p50 / p99", func(r *result) string { return duration(r.FetchP50) + " / " + duration(r.FetchP99) })
	line("snapshot, per group-partition", func(r *result) string { return fmt.Sprintf("%.0f B", r.FileEach) })
	line("save / writing the file", func(r *result) string { return duration(r.Save) + " / " + duration(r.SaveFloor) })
	line("restore / reading the file", func(r *result) string { return duration(r.Restore) + " / " + duration(r.RestoreFloor) })
	line("peak while restoring, over the heap afterwards", func(r *result) string { return fmt.Sprintf("%.2f ×", r.RestoredOver) })
	_, err := io.WriteString(out, b.String())
	return err
}

func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", d.Seconds()*1e3)
	case d >= time.Microsecond:
		return fmt.Sprintf("%.3g µs", d.Seconds()*1e6)
	}
	return fmt.Sprintf("%d ns", d.Nanoseconds())
}

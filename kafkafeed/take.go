package kafkafeed

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/protocol"
)

const (
	// maxAppliers bounds the partitions of the log whose records are applied at once: the process has other work too.
	maxAppliers = 8
	// worthSharing is the number of records from which several goroutines apply those of a fetch: one does as many in a fraction of a
	// millisecond.
	worthSharing = 1000
)

func maxWorkers() int { return min(runtime.GOMAXPROCS(0), maxAppliers) }

// takers apply the records of a fetch. The partitions of the log are independent of each other: the records of a group are all in
// one.
type takers struct {
	appliers []*applier
	round    uint64
}

// take applies the records of a fetch, of which there is a number, and stores their effects.
func (t *tailer) take(ctx context.Context, logs []*logTail, records int) error {
	workers := 1
	if records >= t.feed.worthSharing {
		workers = min(len(logs), maxWorkers())
	}
	for len(t.appliers) < workers {
		t.appliers = append(t.appliers, &applier{feed: t.feed})
	}
	t.round++
	for _, a := range t.appliers[:workers] {
		a.round, a.seeds = t.round, t.seeds
	}
	return atOnce(workers, len(logs), func(worker, i int) error { return t.appliers[worker].takeLog(ctx, logs[i]) })
}

// atOnce calls do for the numbers up to n in a number of goroutines. It returns an error of do, after which the goroutine that it was
// returned to has ended early.
func atOnce(workers, n int, do func(worker, i int) error) error {
	var next atomic.Int64
	failures := make([]error, workers)
	work := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n && failures[worker] == nil; i = int(next.Add(1)) - 1 {
			failures[worker] = do(worker, i)
		}
	}
	var wg sync.WaitGroup
	for worker := 1; worker < workers; worker++ {
		wg.Go(func() { work(worker) })
	}
	work(0)
	wg.Wait()
	for _, failure := range failures {
		if failure != nil {
			return failure
		}
	}
	return nil
}

// takeLog applies the records of one partition of the log. If it fails, the log is read from its position again.
func (a *applier) takeLog(ctx context.Context, log *logTail) error {
	a.log = log
	log.names.trim()
	for _, records := range log.fetched {
		if err := a.takeRecords(ctx, records); err != nil {
			return err
		}
		log.time = records[len(records)-1].Timestamp
	}
	clear(log.fetched)
	log.fetched = log.fetched[:0]
	return a.flush(ctx)
}

func (a *applier) takeRecords(ctx context.Context, records []*kgo.Record) error {
	log := a.log
	commits := 0 // nearly all records are commits, so they are counted apart
	defer func() {
		if commits > 0 {
			log.counts[KindCommit] += commits
		}
	}()
	var commit protocol.Commit
	var entry Entry
	for _, record := range records {
		if log.names.quick(record, &commit) {
			commits++
			if log.resolver.pass(commit.Order) {
				if err := a.commit(ctx, &commit); err != nil {
					return err
				}
			}
			continue
		}
		if err := entry.decode(record, log.names); err != nil && a.feed.log.Level() >= kgo.LogLevelDebug {
			a.feed.log.Log(kgo.LogLevelDebug, "record is corrupt", "cluster", a.feed.cluster, "err", err)
		}
		log.counts[entry.Kind]++
		log.effects = log.resolver.Apply(entry, log.effects[:0])
		if len(log.effects) > 0 {
			if err := a.apply(ctx, log.effects); err != nil {
				return err
			}
		}
	}
	return nil
}

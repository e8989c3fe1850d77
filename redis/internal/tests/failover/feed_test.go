package failover_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// gap measures the longest time until an action that is retried succeeds.
type gap struct {
	since   time.Time // when it was first tried, zero if nothing is being tried
	longest time.Duration
}

func (g *gap) begin() {
	if g.since.IsZero() {
		g.since = time.Now()
	}
}

func (g *gap) success() {
	g.longest = max(g.longest, time.Since(g.since))
	g.since = time.Time{}
}

// feed reads one log partition into a store, as kafkafeed does: it stores its position after each batch, and after an error it asks
// the store where to continue.
type feed struct {
	store     storage.Store
	log       *commitLog
	partition int32

	at       atomic.Int64 // the position last given to the store
	replays  int
	writes   gap
	problems []error // what must not happen
}

// retryAfter is how long a feed waits after an error.
const retryAfter = 5 * time.Millisecond

// run feeds until the context is done.
func (f *feed) run(ctx context.Context) {
	position := f.ask(ctx)
	for ctx.Err() == nil {
		records, grown := f.log.read(f.partition, position, 100)
		if len(records) == 0 {
			select {
			case <-grown:
			case <-ctx.Done():
			}
			continue
		}
		f.writes.begin()
		next := position + int64(len(records))
		err := f.apply(ctx, records)
		if err == nil {
			err = f.store.SetPosition(ctx, cluster, protocol.Position{Partition: f.partition, Offset: next})
		}
		if err == nil {
			f.writes.success()
			position = next
			f.at.Store(position)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, errNotThere) {
			f.problems = append(f.problems, err)
			return
		}
		f.replays++
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return
		}
		position = f.ask(ctx)
	}
}

// ask asks the store where to continue.
func (f *feed) ask(ctx context.Context) int64 {
	for ctx.Err() == nil {
		positions, err := f.store.Positions(ctx, cluster)
		if err != nil {
			if !errors.Is(err, storage.ErrUnavailable) && ctx.Err() == nil {
				f.problems = append(f.problems, err)
			}
			continue
		}
		for _, position := range positions {
			if position.Partition == f.partition {
				return position.Offset
			}
		}
		return 0
	}
	return 0
}

// errNotThere is returned if the store has lost an end offset that is needed.
var errNotThere = errors.New("topic is not there")

// apply stores records: those of different groups concurrently, those of one group in order.
func (f *feed) apply(ctx context.Context, records []record) error {
	byGroup := map[string][]record{}
	for _, r := range records {
		byGroup[r.group] = append(byGroup[r.group], r)
	}
	errs := make(chan error, len(byGroup))
	for group, its := range byGroup {
		go func() { errs <- f.applyTo(ctx, group, its) }()
	}
	var all error
	for range byGroup {
		all = errors.Join(all, <-errs)
	}
	return all
}

// applyTo stores the records of one group: all commits between two tombstones at once.
func (f *feed) applyTo(ctx context.Context, group string, records []record) error {
	var commits []protocol.Commit
	for _, r := range records {
		if !r.tombstone {
			commits = append(commits, r.commit)
			continue
		}
		if err := f.commit(ctx, group, commits); err != nil {
			return err
		}
		commits = nil
		err := f.store.DeletePartition(ctx, cluster, group, r.commit.Topic, r.commit.Partition, r.commit.Order)
		switch {
		case errors.Is(err, storage.ErrUnknownGroup), errors.Is(err, storage.ErrUnknownTopic), errors.Is(err, storage.ErrUnknownPartition),
			errors.Is(err, storage.ErrDuplicate):
			// There is nothing to delete, or it is newer.
		case err != nil:
			return err
		}
	}
	return f.commit(ctx, group, commits)
}

func (f *feed) commit(ctx context.Context, group string, commits []protocol.Commit) error {
	err := f.store.CommitBatch(ctx, cluster, group, commits)
	var batch *storage.BatchError
	if !errors.As(err, &batch) {
		return err
	}
	for _, refused := range batch.Refused {
		switch {
		case errors.Is(refused.Err, storage.ErrDuplicate), errors.Is(refused.Err, storage.ErrBackfill):
			// A replay repeats commits that are stored already.
		case errors.Is(refused.Err, storage.ErrUnknownTopic), errors.Is(refused.Err, storage.ErrUnknownPartition):
			return errNotThere
		default:
			return fmt.Errorf("commit %v of %s: %w", commits[refused.Index], group, refused.Err)
		}
	}
	return nil
}

// poll stores the end offsets of all topics.
func poll(ctx context.Context, store storage.Store) error {
	ends := make([]protocol.EndOffset, topicPartitions)
	for _, topic := range topics {
		for p := range ends {
			ends[p] = protocol.EndOffset{Partition: int32(p), TopicPartitionCount: topicPartitions, Offset: endOffset, Timestamp: time.Now().UnixMilli()}
		}
		if err := store.SetEndOffsetBatch(ctx, cluster, topic, ends); err != nil {
			return fmt.Errorf("poll %s: %w", topic, err)
		}
	}
	return nil
}

// reader reads the groups of one bucket again and again.
type reader struct {
	store    storage.Store
	groups   []string
	reads    gap
	problems []error // what must not happen
}

func (r *reader) run(ctx context.Context) {
	var group protocol.Group
	for i := 0; ctx.Err() == nil; i++ {
		r.reads.begin()
		err := r.store.Group(ctx, cluster, r.groups[i%len(r.groups)], &group)
		switch {
		case err == nil, errors.Is(err, storage.ErrUnknownGroup):
			r.reads.success()
		case errors.Is(err, storage.ErrUnavailable), ctx.Err() != nil:
		default:
			r.problems = append(r.problems, err)
			return
		}
	}
}

// together runs functions until stop is called, which returns when all have ended.
func together(functions ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, function := range functions {
		all.Go(func() { function(ctx) })
	}
	return func() {
		cancel()
		all.Wait()
	}
}

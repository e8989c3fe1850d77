package kafkafeed

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// sharerOf returns a store that shares the log.
func sharerOf(store storage.Store) (storage.LogSharer, error) {
	if sharer, ok := store.(storage.LogSharer); ok && sharer.LogPartitions() > 0 {
		return sharer, nil
	}
	return nil, errors.New("invalid shared store: it shares no log, or does not run, and there is no shard")
}

// shareLoop receives the feed's share from the store.
func (f *Feed) shareLoop(ctx context.Context) error {
	for {
		err := f.sharer.Share(ctx, f.assign)
		if fatal(err) || ctx.Err() != nil {
			return err
		}
		f.failed(askShard, err)
		timer := time.NewTimer(f.interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// assign receives all partitions of the log that the feed has from now on. It returns when the feed no longer feeds those that are
// missing.
func (f *Feed) assign(partitions []int32) {
	before := f.told.own(partitions)
	missing := func(from []int32) func(int32) bool {
		return func(partition int32) bool { return slices.Contains(from, partition) }
	}
	given := slices.DeleteFunc(slices.Clone(partitions), missing(before))
	taken := slices.DeleteFunc(before, missing(partitions))
	f.commits.Lock()
	share := f.share.Load()
	f.share.Store(share.with(given, share.count).without(taken))
	for key := range f.polled {
		if slices.Contains(taken, protocol.LogPartitionOf(key.group, share.count)) {
			delete(f.polled, key)
		}
	}
	f.commits.Unlock()
	if len(taken) > 0 {
		f.members.release(taken, share.count)
		f.told.add(change{taken: taken})
	}
	if len(given) > 0 {
		f.told.add(change{given: given})
	}
}

// own sets the partitions that the store assigned, and returns the earlier ones.
func (m *member) own(partitions []int32) (before []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, m.owned = m.owned, slices.Clone(partitions)
	return before
}

// begin starts passing changes to the goroutine that reads; the first has all partitions that are owned.
func (m *member) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = false
	m.changes = []change{{given: slices.Clone(m.owned), done: make(chan struct{})}}
}

// end records that nothing is read any more.
func (m *member) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = true
	for _, c := range m.changes {
		close(c.done)
	}
	m.changes = nil
}

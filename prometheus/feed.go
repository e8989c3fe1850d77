package prometheus

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// feed keeps a roster up to date from the change feed of a store.
type feed struct {
	source Source
	roster *roster
	missed atomic.Uint64 // events that the store had to drop

	mu sync.Mutex // held while it is seen to that the feed is followed
	// What follows is guarded by mu.
	store  storage.Store // that is followed; nil where none is
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine that reads the events has ended
	closed bool
}

// watched are the events that say which groups there are and what they hold.
var watched = []protocol.EventKind{
	protocol.EventGroupCreated, protocol.EventGroupExpired, protocol.EventGroupDeleted,
	protocol.EventGroupTopicCreated, protocol.EventGroupTopicExpired, protocol.EventGroupTopicDeleted,
}

// follow sees to it that the roster holds the groups of a running store. It returns an error where that is not so: the store
// has stopped, or is another one by now.
func (f *feed) follow(ctx context.Context, store storage.Store) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return context.Canceled
	}
	if f.store == store {
		select {
		case <-f.done: // the store was stopped, and maybe started again
		default:
			return nil
		}
	}
	// 1. Let go of the store before: its events must not change the roster any more.
	f.stopLocked()
	// 2. Watch before listing, so that nothing falls between the two.
	watchCtx, cancel := context.WithCancel(ctx)
	events, err := f.source.Watch(watchCtx, storage.WatchFilter{Kinds: watched})
	if err != nil {
		cancel()
		return f.list(ctx, store) // a store without a feed: each collection comes here again
	}
	// 3. What is watched is what is listed, also where the application reconfigures right now.
	if f.source.Store() != store {
		cancel()
		return fmt.Errorf("follow store: %w", storage.ErrStopped)
	}
	// 4. A store that can be listed will also end the watching when it stops.
	if err := f.list(ctx, store); err != nil {
		cancel()
		return err
	}
	f.store, f.cancel, f.done = store, cancel, make(chan struct{})
	go f.read(watchCtx, store, events, f.done)
	return nil
}

// read applies events to the roster until they end.
func (f *feed) read(ctx context.Context, store storage.Store, events iter.Seq[protocol.Event], done chan<- struct{}) {
	defer close(done)
	for event := range events {
		key := groupKey{event.Cluster, event.Group}
		switch event.Kind {
		case protocol.EventGroupCreated:
			f.roster.add(key)
		case protocol.EventGroupDeleted, protocol.EventGroupExpired:
			f.roster.remove(key)
		case protocol.EventGroupTopicCreated, protocol.EventGroupTopicDeleted, protocol.EventGroupTopicExpired:
			f.roster.reweigh(key)
		case protocol.EventMissed:
			f.missed.Add(event.Missed)
			// What follows may be older than the list: it repeats what the list knows, and ends at the same.
			if f.list(ctx, store) != nil {
				return // it has stopped; the next collection follows whatever runs then
			}
		}
	}
}

// list fills the roster with what the store lists.
func (f *feed) list(ctx context.Context, store storage.Store) error {
	clusters, err := store.Clusters(ctx)
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	var keys []groupKey
	for _, cluster := range clusters {
		groups, err := store.Groups(ctx, cluster)
		if err != nil {
			return fmt.Errorf("list groups of cluster %s: %w", cluster, err)
		}
		for group := range groups {
			keys = append(keys, groupKey{cluster, group})
		}
	}
	f.roster.replace(keys)
	return nil
}

// stopLocked ends the goroutine, if any, and waits for it.
func (f *feed) stopLocked() {
	if f.store == nil {
		return
	}
	f.cancel()
	<-f.done
	f.store = nil
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.stopLocked()
}

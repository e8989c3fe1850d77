package storage

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// WatchFilter says which events a watcher gets. An empty field lets everything through; EventMissed always comes.
type WatchFilter struct {
	// Clusters are looked up as given and in lower case, as everywhere.
	Clusters []string
	// Groups lets events of these groups through, and no event of a topic that is about no group.
	Groups []string
	// Topics lets events of these topics through, and those of a whole group, since a group that goes takes its topics
	// with it.
	Topics []string
	Kinds  []protocol.EventKind
}

// ready returns a filter of its own, whatever becomes of the slices of this one.
func (f WatchFilter) ready() WatchFilter {
	f.Clusters, f.Groups = slices.Clone(f.Clusters), slices.Clone(f.Groups)
	f.Topics, f.Kinds = slices.Clone(f.Topics), slices.Clone(f.Kinds)
	for _, cluster := range f.Clusters {
		f.Clusters = append(f.Clusters, strings.ToLower(cluster))
	}
	return f
}

func (f WatchFilter) wants(event protocol.Event) bool {
	return (len(f.Clusters) == 0 || slices.Contains(f.Clusters, event.Cluster)) &&
		(len(f.Groups) == 0 || slices.Contains(f.Groups, event.Group)) &&
		(len(f.Topics) == 0 || isWholeGroup(event.Kind) || slices.Contains(f.Topics, event.Topic)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, event.Kind))
}

// isWholeGroup says whether events of a kind are about a group and all of its topics.
func isWholeGroup(kind protocol.EventKind) bool {
	switch kind {
	case protocol.EventGroupCreated, protocol.EventGroupExpired, protocol.EventGroupDeleted, protocol.EventOwnersCleared:
		return true
	}
	return false
}

// watchCapacity is how many events a watcher may leave unread before it misses some.
const watchCapacity = 65_536

// Watch returns the changes in the store from the call on: groups and topics that come and go, partitions that were
// recreated, owners that change. So a list taken afterwards and the events together miss nothing. The loop over the result
// waits for events; it ends when the context is done, the loop is left or the store is closed. No writer waits for it: a
// watcher that leaves more than 65,536 events unread gets an EventMissed with the number of those it missed, and lists again.
//
// It returns ErrStopped if the store is closed.
func (db *DB) Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error) {
	watcher := db.hub.Watch(watchCapacity, filter.ready().wants, func(n uint64) protocol.Event {
		return protocol.Event{Kind: protocol.EventMissed, Missed: n}
	})
	// Close says that it is over before it ends the watching, so one of the two ends this one.
	if db.over.Load() {
		watcher.Close()
		return nil, fmt.Errorf("watch store: %w", ErrStopped)
	}
	return eventsOf(ctx, watcher), nil
}

// eventsOf ends when the context is done, the loop over it is left or the watcher is closed.
func eventsOf(ctx context.Context, watcher *feed.Watcher[protocol.Event]) iter.Seq[protocol.Event] {
	// A caller that never begins its loop must not be watched for for ever.
	stop := context.AfterFunc(ctx, watcher.Close)
	return func(yield func(protocol.Event) bool) {
		defer stop()
		defer watcher.Close()
		for {
			events, err := watcher.Next(ctx)
			if err != nil {
				return
			}
			for _, event := range events {
				if !yield(event) {
					return
				}
			}
		}
	}
}

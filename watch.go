package storage

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"unsafe"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// WatchFilter says which events a watcher gets. An empty field lets everything through; EventMissed always comes, and
// EventStoreFull unless Kinds leaves it out.
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

// Matcher returns the filter as a function that takes the same time however much the filter names. Nil stands for a filter
// that lets everything through.
func (f WatchFilter) Matcher() func(protocol.Event) bool {
	clusters, groups, topics := setOf(f.Clusters), setOf(f.Groups), setOf(f.Topics)
	for _, cluster := range f.Clusters {
		clusters[strings.ToLower(cluster)] = struct{}{}
	}
	kinds := setOf(f.Kinds)
	if clusters == nil && groups == nil && topics == nil && kinds == nil {
		return nil
	}
	return func(event protocol.Event) bool {
		return within(kinds, event.Kind) && (event.Kind == protocol.EventStoreFull ||
			within(clusters, event.Cluster) && within(groups, event.Group) && (isWholeGroup(event.Kind) || within(topics, event.Topic)))
	}
}

// setOf returns the set of a list, nil for an empty one.
func setOf[T comparable](list []T) map[T]struct{} {
	if len(list) == 0 {
		return nil
	}
	set := make(map[T]struct{}, len(list))
	for _, one := range list {
		set[one] = struct{}{}
	}
	return set
}

// within reports whether a set has an element; nil has every one.
func within[T comparable](set map[T]struct{}, one T) bool {
	if set == nil {
		return true
	}
	_, ok := set[one]
	return ok
}

// isWholeGroup reports whether events of a kind are about a group and all of its topics.
func isWholeGroup(kind protocol.EventKind) bool {
	switch kind {
	case protocol.EventGroupCreated, protocol.EventGroupExpired, protocol.EventGroupDeleted, protocol.EventOwnersCleared:
		return true
	}
	return false
}

// watchCapacity is the number of events that a watcher may leave unread before it misses some.
const watchCapacity = 65_536

// eventBytes returns what an event that nobody has read yet takes. Its names count, since it keeps them from being freed.
func eventBytes(event protocol.Event) int {
	return int(unsafe.Sizeof(event)) + len(event.Cluster) + len(event.Group) + len(event.Topic) + len(event.Owner) + len(event.ClientID)
}

// Watch returns the changes in the store from the call on: groups and topics that come and go, partitions that were
// recreated, owners that change. So a list taken afterwards and the events together miss nothing. The loop over the result
// waits for events; it ends when the context is done, the loop is left or the store is closed. No writer waits for it: a
// watcher that leaves more than 65,536 events unread gets an EventMissed with the number of those it missed, and lists again.
// What all watchers have not read takes at most 32 MiB: beyond that the one that holds most loses what it holds, and gets
// an EventMissed too.
//
// A watcher counts from the call until its loop ends or the context is done, also if the loop never begins. Watch returns
// ErrTooManyWatchers for the 257th, and ErrStopped if the store is closed.
func (db *DB) Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error) {
	watcher := db.hub.Watch(watchCapacity, filter.Matcher(), func(n uint64) protocol.Event {
		return protocol.Event{Kind: protocol.EventMissed, Missed: n}
	})
	// Close says that it is over before it ends the watching, so one of the two ends this one.
	if db.over.Load() {
		if watcher != nil {
			watcher.Close()
		}
		return nil, fmt.Errorf("watch store: %w", ErrStopped)
	}
	if watcher == nil {
		return nil, fmt.Errorf("watch store: %w", ErrTooManyWatchers)
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

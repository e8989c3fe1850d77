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

// WatchFilter selects the events that a watcher gets. An empty field excludes none. EventMissed is always delivered, and
// EventStoreFull unless Kinds excludes it.
type WatchFilter struct {
	// Clusters are looked up as named and in lower case, as everywhere.
	Clusters []string
	// Groups selects events of these groups, and excludes events of a topic that concern no group.
	Groups []string
	// Topics selects events of these topics, and those of whole groups, since a group that is deleted loses its topics too.
	Topics []string
	Kinds  []protocol.EventKind
}

// Matcher returns the filter as a function that takes the same time however many names the filter has. A nil function
// excludes nothing.
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

// within reports whether a set has an element; nil contains everything.
func within[T comparable](set map[T]struct{}, one T) bool {
	if set == nil {
		return true
	}
	_, ok := set[one]
	return ok
}

// isWholeGroup reports whether events of a kind concern a group with all of its topics.
func isWholeGroup(kind protocol.EventKind) bool {
	switch kind {
	case protocol.EventGroupCreated, protocol.EventGroupExpired, protocol.EventGroupDeleted, protocol.EventOwnersCleared:
		return true
	}
	return false
}

// watchCapacity is the number of events that a watcher may leave unread before it misses some.
const watchCapacity = 65_536

// eventBytes returns the memory of an event that nobody has read yet. Its names count, since it keeps them from being freed.
func eventBytes(event protocol.Event) int {
	return int(unsafe.Sizeof(event)) + len(event.Cluster) + len(event.Group) + len(event.Topic) + len(event.Owner) + len(event.ClientID)
}

// Watch returns the changes in the store from the call on: groups and topics that come and go, partitions that were
// recreated, owners that change. A list fetched afterwards and the events together miss nothing. The loop over the result
// waits for events; it ends when the context is done, the loop is left or the store is closed. No writer waits for it: a
// watcher that leaves more than 65,536 events unread gets an EventMissed with the number of events that it missed, and must
// list again. The unread events of all watchers take at most 32 MiB: beyond that, the watcher that holds most loses its
// events and gets an EventMissed too.
//
// A watcher counts from the call until its loop ends or the context is done, even if the loop never begins. Watch returns
// ErrTooManyWatchers for the 257th, and ErrStopped if the store is closed.
func (db *DB) Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error) {
	watcher := db.hub.Watch(watchCapacity, filter.Matcher(), func(n uint64) protocol.Event {
		return protocol.Event{Kind: protocol.EventMissed, Missed: n}
	})
	// Close sets over before it closes the watchers, so a watcher that is being added is closed by one of the two.
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
	// Without this a watcher whose caller never begins its loop would stay for ever.
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

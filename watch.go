package storage

import (
	"context"
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

// Watch tells of changes from the call on: see Coordinator.Watch. On a module that has been stopped there is nothing to
// tell, and the loop ends at once.
func (m *InMemoryStorage) Watch(ctx context.Context, filter WatchFilter) iter.Seq[protocol.Event] {
	watcher := m.hub.Watch(watchCapacity, filter.ready().wants, func(n uint64) protocol.Event {
		return protocol.Event{Kind: protocol.EventMissed, Missed: n}
	})
	// Stop says that it is over before it closes those who watch, so one of the two closes this one.
	if m.over.Load() {
		watcher.Close()
	}
	return eventsOf(ctx, watcher)
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

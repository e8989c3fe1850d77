package storage

import (
	"context"
	"iter"
	"slices"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// WatchFilter says which events a watcher gets. An empty field lets everything through; EventMissed always comes.
type WatchFilter struct {
	Clusters []string
	Groups   []string
	Topics   []string
	Kinds    []protocol.EventKind
}

func (f WatchFilter) wants(event protocol.Event) bool {
	return (len(f.Clusters) == 0 || slices.Contains(f.Clusters, event.Cluster)) &&
		(len(f.Groups) == 0 || slices.Contains(f.Groups, event.Group)) &&
		(len(f.Topics) == 0 || slices.Contains(f.Topics, event.Topic)) &&
		(len(f.Kinds) == 0 || slices.Contains(f.Kinds, event.Kind))
}

// watchCapacity is how many events a watcher may leave unread before it misses some.
const watchCapacity = 65_536

// watch begins to watch at once, and ends when the context is done, the loop over the events is left or the hub closes.
func watch(ctx context.Context, hub *feed.Hub[protocol.Event], filter WatchFilter) iter.Seq[protocol.Event] {
	watcher := hub.Watch(watchCapacity, filter.wants, func(n uint64) protocol.Event {
		return protocol.Event{Kind: protocol.EventMissed, Missed: n}
	})
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

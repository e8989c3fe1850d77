package storage

import (
	"context"
	"errors"

	"github.com/lagkeeper/storage"
	shared "github.com/lagkeeper/storage/protocol"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/metrics"
)

// goes are the events after which series have nothing left to tell. Deletions and expiry are alike.
var goes = []shared.EventKind{
	shared.EventGroupDeleted, shared.EventGroupExpired, shared.EventGroupTopicDeleted, shared.EventGroupTopicExpired,
}

// retire drops the application's series of what leaves the store, until the store stops. It begins to watch at the call, so
// called before Start it misses nothing. done is closed when it has ended.
func retire(ctx context.Context, store *storage.Coordinator, lags *metrics.Lags) (done <-chan struct{}, err error) {
	events, err := store.Watch(ctx, storage.WatchFilter{Kinds: goes})
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event := range events {
			switch event.Kind {
			case shared.EventGroupDeleted, shared.EventGroupExpired:
				lags.DeleteGroup(event.Cluster, event.Group)
			case shared.EventGroupTopicDeleted, shared.EventGroupTopicExpired:
				lags.DeleteGroupTopic(event.Cluster, event.Group, event.Topic)
			case shared.EventMissed:
				// Too many at once. What the store does not hold now has gone.
				keepHeld(ctx, store.Store(), lags)
			}
		}
	}()
	return ended, nil
}

// keepHeld drops the series of groups and topics that the store does not hold.
func keepHeld(ctx context.Context, store storage.Store, lags *metrics.Lags) {
	type key struct{ cluster, group string }
	held := make(map[key]map[string]bool) // topics of the groups that were looked up
	var group shared.Group
	lags.Keep(func(s metrics.Series) bool {
		topics, known := held[key{s.Cluster, s.Group}]
		if !known {
			err := store.Group(ctx, s.Cluster, s.Group, &group)
			if err != nil && !errors.Is(err, storage.ErrUnknownGroup) {
				return true // the store has stopped: nothing is known
			}
			topics = make(map[string]bool)
			for _, topic := range group.Topics {
				topics[topic.Name] = true
			}
			held[key{s.Cluster, s.Group}] = topics
		}
		return topics[s.Topic]
	})
}

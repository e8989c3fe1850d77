package main

import (
	"context"
	"sync"
	"time"

	"github.com/lagkeeper/storage"
)

// restart is what there is to do about a store that began with a snapshot. Its methods may be called on nil.
type restart struct {
	store   storage.Persistent
	typed   storage.Store
	cluster string
	once    sync.Once
}

// newRestart returns nil where the store cannot survive a restart.
func newRestart(coordinator *storage.Coordinator, cluster string) *restart {
	store, err := coordinator.Persistent()
	if err != nil {
		return nil
	}
	return &restart{store: store, typed: coordinator.Store(), cluster: cluster}
}

// tell tells the user where the store began. What was damaged the store itself tells over its log.
func (r *restart) tell(events *eventLog, now time.Time) {
	if r == nil {
		return
	}
	if from := r.store.Restored(); from.File != "" {
		taken := max(0, now.Sub(from.Watermark))
		events.add(now, "restored %s and %s from a snapshot taken %s ago",
			count(from.Groups, "group"), count(from.Topics, "topic"), age(taken))
	}
}

// begins tells the store that the orders of commits begin anew: what is sent from now on comes after what the snapshot brought
// along, even if the system's clock was set back.
func (r *restart) begins(ctx context.Context) error {
	if r == nil {
		return nil
	}
	return r.typed.ForgetOrders(ctx, r.cluster)
}

// replayed tells the store, once a poll has been carried over whole, that it has heard everything that was missed.
func (r *restart) replayed(ctx context.Context, client storeClient) error {
	if r == nil {
		return nil
	}
	var err error
	r.once.Do(func() {
		// An answer means that what was sent before has taken effect.
		_, err = client.topics(ctx)
		r.store.ReplayDone()
	})
	return err
}

package lagredis

import (
	"context"
	"encoding/json"
	"iter"
	"sync"
	"unsafe"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// collector keeps the events that the engine emits while a group or topic is changed, so that they are written together with the
// change. Events from loading a copy are dropped.
type collector struct {
	mu     sync.Mutex
	events map[collected]*[]protocol.Event // guarded by mu
}

// collected is the subject of events: a group, or a topic if group is "".
type collected struct{ cluster, group, topic string }

// take has the form of a watcher's filter, which the engine calls in the order of the events.
func (c *collector) take(event protocol.Event) bool {
	about := collected{event.Cluster, event.Group, ""}
	if event.Group == "" {
		about.topic = event.Topic
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if to := c.events[about]; to != nil {
		*to = append(*to, event)
	}
	return false
}

// collect starts keeping the events of a group or topic, and returns the function that ends it.
func (db *DB) collect(cluster, group, topic string) func() []protocol.Event {
	c, about := &db.collector, collected{cluster, group, topic}
	events := new([]protocol.Event)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[about] = events
	return func() []protocol.Event {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.events, about)
		return *events
	}
}

const (
	fieldEvent = "e"
	// keptEvents is approximately how many events a bucket keeps.
	keptEvents = "10000"
)

// addEvents adds events to a change.
func (db *DB) addEvents(x *change, key string, events []protocol.Event) {
	for i := range events {
		text, err := json.Marshal(&events[i])
		if err != nil {
			db.log.Error("event not written", zap.Error(err)) // cannot happen for a struct of strings and numbers
			continue
		}
		x.run("XADD", key, "MAXLEN", "~", keptEvents, "*", fieldEvent, string(text))
	}
}

// watching reads the streams of all buckets for the watchers.
type watching struct {
	hub feed.Hub[protocol.Event]

	mu sync.Mutex
	// Guarded by mu: the number of watchers, the channel that ends the reading, and the one that is closed when it has ended.
	watchers int
	stop     context.CancelFunc
	stopped  chan struct{}
}

func (w *watching) begin() {
	w.hub.Size = func(event protocol.Event) int {
		return int(unsafe.Sizeof(event)) + len(event.Cluster) + len(event.Group) + len(event.Topic) + len(event.Owner) + len(event.ClientID)
	}
}

func (w *watching) end() { w.hub.CloseAll() }

// watchCapacity is the number of unread events of a watcher, beyond which it misses some.
const watchCapacity = 65_536

// Watch returns the changes of the state from the call on, whichever process made them. It reads the events of all buckets several
// times a second, so they arrive a little later. The events of one group arrive in order, and so do those of one topic. In all else it
// is like DB.Watch of package storage. An event that a failover has lost may be repeated when the state is restored. A bucket keeps
// approximately its newest 10,000 events: if older ones were dropped before they were read, the watcher gets their number, with
// EventMissed.
func (db *DB) Watch(ctx context.Context, filter storage.WatchFilter) (iter.Seq[protocol.Event], error) {
	if err := db.begin(ctx); err != nil {
		return nil, err
	}
	defer db.end()
	if err := db.startReading(ctx); err != nil {
		return nil, err
	}
	watcher := db.watching.hub.Watch(watchCapacity, filter.Matcher(), func(n uint64) protocol.Event {
		return protocol.Event{Kind: protocol.EventMissed, Missed: n}
	})
	if watcher == nil {
		db.stopReading()
		return nil, storage.ErrTooManyWatchers
	}
	leave := sync.OnceFunc(func() {
		watcher.Close()
		db.stopReading()
	})
	// Without this a watcher whose caller never begins its loop would stay for ever.
	forget := context.AfterFunc(ctx, leave)
	return func(yield func(protocol.Event) bool) {
		defer forget()
		defer leave()
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
	}, nil
}

// startReading starts reading the streams unless they are being read.
func (db *DB) startReading(ctx context.Context) error {
	w := &db.watching
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watchers++; w.watchers > 1 {
		return nil
	}
	r := &streamReader{db: db}
	if err := db.persist(ctx, r.begin); err != nil {
		w.watchers--
		return err
	}
	reading, stop := context.WithCancel(db.ctx)
	stopped := make(chan struct{})
	w.stop, w.stopped = stop, stopped
	db.timers.Go(func() {
		defer close(stopped)
		r.run(reading)
	})
	return nil
}

func (db *DB) stopReading() {
	w := &db.watching
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watchers--; w.watchers > 0 {
		return
	}
	w.stop()
	<-w.stopped
}

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

// collector keeps what the engine tells while a group or topic is changed, for it to be written together with the change. What
// it tells while a copy is put in is nobody's.
type collector struct {
	mu     sync.Mutex
	events map[collected]*[]protocol.Event // guarded by mu
}

// collected is what events are about: a group, or a topic if group is "".
type collected struct{ cluster, group, topic string }

// take has the form of a filter of watchers, which the engine calls in the order in which things happen.
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

// collect begins to keep what is told of a group or topic, and returns what ends that.
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
	// keptEvents is about how many events a bucket keeps.
	keptEvents = "10000"
)

// addEvents adds events to a change.
func (db *DB) addEvents(x *change, key string, events []protocol.Event) {
	for i := range events {
		text, err := json.Marshal(&events[i])
		if err != nil {
			db.log.Error("event not written", zap.Error(err)) // a struct of strings and numbers has no such error
			continue
		}
		x.run("XADD", key, "MAXLEN", "~", keptEvents, "*", fieldEvent, string(text))
	}
}

// watching reads the streams of all buckets for those who watch.
type watching struct {
	hub feed.Hub[protocol.Event]

	mu sync.Mutex
	// Guarded by mu: how many watch, what ends the reading, and what is closed when it has ended.
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

// watchCapacity is how many events a watcher may leave unread before it misses some.
const watchCapacity = 65_536

// Watch returns what has changed in the state from the call on, by whichever process. It reads the events of all buckets
// several times a second, so they come a little later; those of one group come in their order, and so do those of one topic. In
// all else it is as DB.Watch of package storage. An event that a failover has lost may come again when the state is healed. A bucket
// keeps its newest 10,000 events or so: of those that went before they were read a watcher gets the number, with EventMissed.
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
	over := context.AfterFunc(ctx, watcher.Close)
	var once sync.Once
	leave := func() {
		over()
		watcher.Close()
		once.Do(db.stopReading)
	}
	context.AfterFunc(ctx, leave)
	return func(yield func(protocol.Event) bool) {
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

// startReading sees to it that the streams are read.
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

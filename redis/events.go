package lagredis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/redis/rueidis"
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

// pollInterval is how often the events of all buckets are read while anybody watches.
const pollInterval = 200 * time.Millisecond

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
// all else it is as DB.Watch of package storage. An event that a failover has lost may come again when the state is healed.
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

// streamReader reads the streams of all buckets, each from where it stopped.
type streamReader struct {
	db   *DB
	keys []string
	next []string // the id of the last event that was read of each
}

// begin notes where the streams end now.
func (r *streamReader) begin(ctx context.Context) error {
	r.keys, r.next = nil, nil
	for bucket := range r.db.options.Buckets {
		r.keys = append(r.keys, r.db.groupEventsKey(bucket), r.db.topicEventsKey(bucket))
	}
	commands := make(rueidis.Commands, len(r.keys))
	for i, key := range r.keys {
		commands[i] = r.db.client.B().Xrevrange().Key(key).End("+").Start("-").Count(1).Build()
	}
	for _, result := range r.db.doMulti(ctx, commands...) {
		last, err := result.AsXRange()
		if err != nil {
			return err
		}
		id := "0-0"
		if len(last) > 0 {
			id = last[0].ID
		}
		r.next = append(r.next, id)
	}
	return nil
}

func (r *streamReader) run(ctx context.Context) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := r.read(ctx); err != nil && !errors.Is(err, context.Canceled) {
			r.db.log.Warn("events not read", zap.Error(err))
		}
	}
}

// mostRead bounds the events that are read of one stream at a time.
const mostRead = 1000

// read hands out what has come.
func (r *streamReader) read(ctx context.Context) error {
	commands := make(rueidis.Commands, len(r.keys))
	for i, key := range r.keys {
		commands[i] = r.db.client.B().Xrange().Key(key).Start("(" + r.next[i]).End("+").Count(mostRead).Build()
	}
	var all []protocol.Event
	var faults []error
	for i, result := range r.db.doMulti(ctx, commands...) {
		entries, err := result.AsXRange()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, entry := range entries {
			r.next[i] = entry.ID
			var event protocol.Event
			if err := json.Unmarshal([]byte(entry.FieldValues[fieldEvent]), &event); err != nil {
				faults = append(faults, fmt.Errorf("read event %s: %w", entry.ID, err))
				continue
			}
			all = append(all, event)
		}
	}
	// Those of one group or topic are in one stream and stay in their order.
	slices.SortStableFunc(all, func(a, b protocol.Event) int { return a.Time.Compare(b.Time) })
	for _, event := range all {
		r.db.watching.hub.Publish(event)
	}
	return errors.Join(faults...)
}

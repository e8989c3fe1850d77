// Package feed delivers events to watchers without ever waiting for one.
package feed

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Hub delivers events to its watchers. The zero value is ready. It may be used by any number of goroutines. A watcher sees
// events in order if one goroutine, or goroutines that exclude each other by a lock, published them.
//
// An event is kept once, however many watchers have yet to read it. The unread events of all watchers together take at most
// MaxBytes: beyond that, the watcher that holds most loses all its events, and gets a missed event.
type Hub[E any] struct {
	// Size returns the bytes of an event; nil stands for DefaultSize. It must not be changed once events are published.
	Size func(E) int
	// MaxBytes limits the memory of unread events; 0 stands for DefaultMaxBytes. Neither it nor MaxWatchers may be changed
	// once there is a watcher.
	MaxBytes int
	// MaxWatchers limits the number of watchers; 0 stands for DefaultMaxWatchers.
	MaxWatchers int

	mu sync.Mutex // guards what follows, and the watchers; watchers is replaced under it and read without it
	// watchers is never changed in place.
	watchers atomic.Pointer[[]*Watcher[E]]
	stats    Stats
}

// The default limits of a Hub.
const (
	DefaultSize        = 256
	DefaultMaxBytes    = 32 << 20
	DefaultMaxWatchers = 256
)

// Stats is what a Hub holds and what it has done.
type Stats struct {
	// Watchers is the number of watchers.
	Watchers int
	// Events is the number of unread events, each counted once for each watcher; Bytes is the memory that they take, in which
	// each event counts once.
	Events, Bytes int
	// Missed counts the events that watchers missed, Refused the watchers for which there was no room.
	Missed, Refused uint64
}

// shared is an event that some watchers have not read yet.
type shared[E any] struct {
	event E
	size  int
	refs  int // guarded by the hub's mu
}

// reference is the memory that a watcher takes for each event in addition to the event itself.
const reference = 8

// Watched reports whether there are watchers: if not, events need not be made.
func (h *Hub[E]) Watched() bool {
	w := h.watchers.Load()
	return w != nil && len(*w) > 0
}

func (h *Hub[E]) list() []*Watcher[E] {
	if w := h.watchers.Load(); w != nil {
		return *w
	}
	return nil
}

// Publish delivers an event to every watcher that wants it.
func (h *Hub[E]) Publish(event E) {
	if !h.Watched() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var kept *shared[E]
	for _, w := range h.list() {
		if w.wants != nil && !w.wants(event) {
			continue
		}
		// Once an event was missed, so are all until the watcher has the missed event: it knows of every hole in what it gets.
		if w.missed > 0 || w.unread() >= w.capacity {
			w.miss(1)
		} else {
			if kept == nil {
				kept = &shared[E]{event: event, size: h.size(event)}
				h.stats.Bytes += kept.size
			}
			kept.refs++
			w.events = append(w.events, kept)
			w.bytes += kept.size + reference
			h.stats.Bytes += reference
			h.stats.Events++
		}
		w.wakeUp()
	}
	for limit := orDefault(h.MaxBytes, DefaultMaxBytes); h.stats.Bytes > limit; {
		h.takeFromTheGreatest()
	}
}

// Lose notes that n events were lost before they could be published: every watcher misses them.
func (h *Hub[E]) Lose(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.list() {
		w.miss(n)
		w.wakeUp()
	}
}

func (h *Hub[E]) size(event E) int {
	if h.Size == nil {
		return DefaultSize
	}
	return h.Size(event)
}

func orDefault(n, byDefault int) int {
	if n > 0 {
		return n
	}
	return byDefault
}

// takeFromTheGreatest takes all events from the watcher that holds most. It expects mu held.
func (h *Hub[E]) takeFromTheGreatest() {
	w := slices.MaxFunc(h.list(), func(a, b *Watcher[E]) int { return a.bytes - b.bytes })
	n := w.unread()
	w.drop(n)
	w.miss(uint64(n))
}

// Watch adds a watcher that holds up to capacity unread events. wants selects its events, is called by publishers and must be
// quick; nil selects all. missed makes the event that replaces a number of events for which there was no room. If there are
// MaxWatchers already, Watch returns nil.
func (h *Hub[E]) Watch(capacity int, wants func(E) bool, missed func(uint64) E) *Watcher[E] {
	w := &Watcher[E]{
		hub: h, capacity: max(capacity, 1), wants: wants, missedEvent: missed, wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	watchers := h.list()
	if len(watchers) >= orDefault(h.MaxWatchers, DefaultMaxWatchers) {
		h.stats.Refused++
		return nil
	}
	watchers = append(slices.Clone(watchers), w)
	h.watchers.Store(&watchers)
	return w
}

// CloseAll closes all watchers; new ones may be added afterwards.
func (h *Hub[E]) CloseAll() {
	for _, watcher := range h.list() {
		watcher.Close()
	}
}

// Stats returns what the hub holds and has done.
func (h *Hub[E]) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	stats := h.stats
	stats.Watchers = len(h.list())
	return stats
}

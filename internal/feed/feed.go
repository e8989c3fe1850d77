// Package feed hands events to watchers without ever waiting for one.
package feed

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Hub passes events on to its watchers. The zero value is ready. It is safe for any number of goroutines; a watcher sees
// the events of one goroutine, or of goroutines that a lock keeps apart, in their order.
//
// An event is kept once, however many watchers have yet to read it, and what all watchers together have not read takes no
// more than MaxBytes: the watcher that holds most loses all that it holds then, and gets a missed event.
type Hub[E any] struct {
	// Size returns the number of bytes that an event takes; nil stands for DefaultSize. It must not be changed while others
	// publish.
	Size func(E) int
	// MaxBytes bounds the memory of the events that were not read, 0 stands for DefaultMaxBytes. It must not be changed once there is
	// a watcher, as MaxWatchers.
	MaxBytes int
	// MaxWatchers bounds the number of watchers, 0 stands for DefaultMaxWatchers.
	MaxWatchers int

	mu sync.Mutex // guards what follows, and the watchers; watchers is replaced under it and read without
	// watchers is never changed in place.
	watchers atomic.Pointer[[]*Watcher[E]]
	stats    Stats
}

// The limits of a Hub that sets none.
const (
	DefaultSize        = 256
	DefaultMaxBytes    = 32 << 20
	DefaultMaxWatchers = 256
)

// Stats is what a Hub holds and what it has done.
type Stats struct {
	// Watchers is the number of watchers.
	Watchers int
	// Events is the number of events that were not read, each counted once for each watcher, and Bytes the memory that
	// they take, in which each event counts once.
	Events, Bytes int
	// Missed counts the events that watchers did not get, Refused the watchers that there was no room for.
	Missed, Refused uint64
}

// shared is an event that some watchers have yet to read.
type shared[E any] struct {
	event E
	size  int
	refs  int // guarded by the hub's mu
}

// reference is the memory that a watcher takes for each event beside the event itself.
const reference = 8

// Watched reports whether anybody watches: what it takes to make an event can be saved otherwise.
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

// Publish hands an event to every watcher that wants it.
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
		// Once one was missed all are, until the watcher has the missed event: what it gets has no holes that it does not know of.
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

// Watch adds a watcher that holds up to capacity events that have not been read. wants says which it is to get, is called
// by those who publish and must be quick; nil means all. missed makes the event that stands for a number of events that
// found no room. It returns nil when there are as many watchers as there may be.
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

// CloseAll ends the watching of all; there may be new watchers afterwards.
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

// Package feed hands events to watchers without ever waiting for one.
package feed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Hub passes events on to its watchers. The zero value is ready. It is safe for any number of goroutines; a watcher sees
// the events of one goroutine, or of goroutines that a lock keeps apart, in their order.
type Hub[E any] struct {
	mu sync.Mutex // held while watchers is replaced
	// watchers is never changed in place.
	watchers atomic.Pointer[[]*Watcher[E]]
}

// Watched says whether anybody watches: what it takes to make an event can be saved otherwise.
func (h *Hub[E]) Watched() bool {
	w := h.watchers.Load()
	return w != nil && len(*w) > 0
}

// Publish hands an event to every watcher that wants it.
func (h *Hub[E]) Publish(event E) {
	if w := h.watchers.Load(); w != nil {
		for _, watcher := range *w {
			watcher.offer(event)
		}
	}
}

// Watch adds a watcher that holds up to capacity events that have not been read. wants says which it is to get; nil means
// all. missed makes the event that stands for a number of events that found no room.
func (h *Hub[E]) Watch(capacity int, wants func(E) bool, missed func(uint64) E) *Watcher[E] {
	w := &Watcher[E]{
		hub: h, capacity: max(capacity, 1), wants: wants, missedEvent: missed, wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	h.replace(func(watchers []*Watcher[E]) []*Watcher[E] { return append(watchers, w) })
	return w
}

func (h *Hub[E]) replace(change func([]*Watcher[E]) []*Watcher[E]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var watchers []*Watcher[E]
	if w := h.watchers.Load(); w != nil {
		watchers = slices.Clone(*w)
	}
	watchers = change(watchers)
	h.watchers.Store(&watchers)
}

// Watcher holds the events that one watcher has yet to read.
type Watcher[E any] struct {
	hub         *Hub[E]
	capacity    int
	wants       func(E) bool
	missedEvent func(uint64) E

	wake   chan struct{} // holds one token when there may be something to read
	closed chan struct{} // closed by Close
	once   sync.Once

	mu     sync.Mutex
	events []E    // guarded by mu
	missed uint64 // events that came after events and found no room; guarded by mu
}

func (w *Watcher[E]) offer(event E) {
	if w.wants != nil && !w.wants(event) {
		return
	}
	w.mu.Lock()
	// Once one was missed all are, until the watcher has been told: what it gets has no holes that it does not know of.
	if w.missed > 0 || len(w.events) >= w.capacity {
		w.missed++
	} else {
		w.events = append(w.events, event)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ErrClosed is returned by Next when the watching has ended and nothing is left to read.
var ErrClosed = errors.New("watcher is closed")

// Next waits for events and returns them, oldest first; they are the caller's. It returns the context's error when the
// context is done first, and ErrClosed.
func (w *Watcher[E]) Next(ctx context.Context) ([]E, error) {
	for {
		if events := w.take(); len(events) > 0 {
			return events, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.closed:
			if events := w.take(); len(events) > 0 {
				return events, nil
			}
			return nil, ErrClosed
		}
	}
}

func (w *Watcher[E]) take() []E {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	if w.missed > 0 {
		events = append(events, w.missedEvent(w.missed))
	}
	w.events, w.missed = nil, 0
	return events
}

// Close ends the watching. It may be called again.
func (w *Watcher[E]) Close() {
	w.hub.replace(func(watchers []*Watcher[E]) []*Watcher[E] {
		return slices.DeleteFunc(watchers, func(other *Watcher[E]) bool { return other == w })
	})
	w.once.Do(func() { close(w.closed) })
}

// CloseAll ends the watching of all; there may be new watchers afterwards.
func (h *Hub[E]) CloseAll() {
	if w := h.watchers.Load(); w != nil {
		for _, watcher := range *w {
			watcher.Close()
		}
	}
}

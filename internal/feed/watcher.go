package feed

import (
	"context"
	"errors"
	"slices"
)

// maxBatch is the greatest number of events that Next returns: events that a watcher has taken and not processed are counted
// nowhere.
const maxBatch = 256

// Watcher holds the events that one watcher has not read yet.
type Watcher[E any] struct {
	hub         *Hub[E]
	capacity    int
	wants       func(E) bool
	missedEvent func(uint64) E

	wake   chan struct{} // holds one token when there may be something to read
	closed chan struct{} // closed by Close

	// The fields below are guarded by the hub's mu.
	over   bool // from Close on the hub counts none of its events
	events []*shared[E]
	read   int // of events
	bytes  int
	missed uint64 // events for which there was no room since the newest
}

func (w *Watcher[E]) unread() int { return len(w.events) - w.read }

func (w *Watcher[E]) miss(n uint64) {
	w.missed += n
	w.hub.stats.Missed += n
}

func (w *Watcher[E]) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drop forgets the oldest n events. It expects the hub's mu held.
func (w *Watcher[E]) drop(n int) {
	if !w.over {
		w.release(n)
	}
	clear(w.events[w.read : w.read+n])
	if w.read += n; w.read == len(w.events) {
		w.events, w.read = nil, 0
	}
}

// release subtracts the oldest n events from the counts of the hub. It expects the hub's mu held.
func (w *Watcher[E]) release(n int) {
	h := w.hub
	for _, e := range w.events[w.read : w.read+n] {
		w.bytes -= e.size + reference
		h.stats.Bytes -= reference
		if e.refs--; e.refs == 0 {
			h.stats.Bytes -= e.size
		}
	}
	h.stats.Events -= n
}

// ErrClosed is returned by Next when the watcher is closed and nothing is left to read.
var ErrClosed = errors.New("watcher is closed")

// Next waits for events and returns some, oldest first; the caller may keep them. If the context is done first, it returns
// the context's error; if the watcher is closed and nothing is left, ErrClosed.
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
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	n := min(w.unread(), maxBatch)
	if n == 0 && w.missed == 0 {
		return nil
	}
	events := make([]E, 0, n+1)
	for _, e := range w.events[w.read : w.read+n] {
		events = append(events, e.event)
	}
	w.drop(n)
	if w.missed > 0 && w.unread() == 0 {
		events = append(events, w.missedEvent(w.missed))
		w.missed = 0
	}
	return events
}

// Close ends the delivery. What was not read can still be read, and is not counted any more. It may be called again.
func (w *Watcher[E]) Close() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.over {
		return
	}
	w.release(w.unread())
	w.over = true
	watchers := slices.DeleteFunc(slices.Clone(h.list()), func(other *Watcher[E]) bool { return other == w })
	h.watchers.Store(&watchers)
	close(w.closed)
}

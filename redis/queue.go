package lagredis

import (
	"context"
	"sync"

	"github.com/lagkeeper/storage"
)

// queue holds the ops of one group or topic. One goroutine at a time takes all ops that have arrived, so calls that arrive during a
// round trip share the next one.
type queue[Op any] struct {
	mu      sync.Mutex
	waiting []Op // guarded by mu
	running bool // guarded by mu
}

// add reports whether the caller must start a goroutine that calls take.
func (q *queue[Op]) add(op Op) (idle bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, op)
	idle = !q.running
	q.running = true
	return idle
}

// take returns the ops that have arrived; if there are none the caller must stop.
func (q *queue[Op]) take() []Op {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	q.running = len(all) > 0
	return all
}

// busy reports whether any op waits or is being carried out.
func (q *queue[Op]) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running
}

// mostUnderWay bounds the calls that wait for the server.
const mostUnderWay = 16_384

// begin waits until there is room for another call. end must be called if it returns no error.
func (db *DB) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	db.life.RLock()
	defer db.life.RUnlock()
	if db.closed {
		<-db.room
		return storage.ErrStopped
	}
	db.underWay.Add(1)
	return nil
}

func (db *DB) end() {
	<-db.room
	db.underWay.Done()
}

package channel

import (
	"runtime"
	"sync/atomic"

	"github.com/lagkeeper/storage/protocol"
)

const (
	// queueLength is the number of requests that may wait. A batch for a store that is a round trip away is at most as long.
	queueLength = 256
	// idleLooks is how often an empty queue is looked at before its goroutine parks, which takes some 20 µs: to wake one takes
	// longer than to handle dozens of requests.
	idleLooks = 100
)

// queue lets a goroutine of its own handle requests, in their order, while another one receives: the hand-off over a channel
// costs as much as most requests do. It holds copies, so that a requester may use a request again when the next one has been
// received. One goroutine may push.
type queue struct {
	handle func([]protocol.StorageRequest)
	ring   []protocol.StorageRequest

	_ [64]byte // pushed and handled are written by different goroutines
	// pushed counts the requests that were put in.
	pushed atomic.Uint64
	_      [64]byte
	// handled counts the requests that have been handled.
	handled atomic.Uint64
	_       [64]byte
	closed  atomic.Bool

	work, room parking
	done       chan struct{} // closed when the goroutine has ended
}

func startQueue(handle func([]protocol.StorageRequest)) *queue {
	q := &queue{
		handle: handle, ring: make([]protocol.StorageRequest, queueLength),
		work: newParking(), room: newParking(), done: make(chan struct{}),
	}
	go q.run()
	return q
}

// empty reports whether everything that was pushed has been handled.
func (q *queue) empty() bool { return q.pushed.Load() == q.handled.Load() }

// push puts a request in, and waits for room.
func (q *queue) push(request *protocol.StorageRequest) {
	n := q.pushed.Load()
	if n-q.handled.Load() == queueLength {
		// Half of it is waited for, or there would be a wake-up for each request.
		q.room.wait(func() bool { return n-q.handled.Load() <= queueLength/2 })
	}
	q.ring[n%queueLength] = *request
	q.pushed.Store(n + 1)
	q.work.wake()
}

// close lets everything be handled that was pushed, and returns when that is done.
func (q *queue) close() {
	q.closed.Store(true)
	q.work.wake()
	<-q.done
}

func (q *queue) run() {
	defer close(q.done)
	for n := uint64(0); ; {
		pushed := q.pushed.Load()
		if n == pushed {
			if q.closed.Load() && n == q.pushed.Load() {
				return
			}
			q.await(n)
			continue
		}
		from := n % queueLength
		some := q.ring[from:min(from+pushed-n, queueLength)]
		q.handle(some)
		for i := range some {
			some[i].Reply = nil // it may hold an answer
		}
		n += uint64(len(some))
		q.handled.Store(n)
		q.room.wake()
	}
}

// await returns when more than n requests were pushed, or the queue is closed.
func (q *queue) await(n uint64) {
	more := func() bool { return q.pushed.Load() != n || q.closed.Load() }
	for range idleLooks {
		if more() {
			return
		}
		runtime.Gosched()
	}
	q.work.wait(more)
}

// parking is where one goroutine waits for what another one does.
type parking struct {
	parked atomic.Bool
	token  chan struct{}
}

func newParking() parking { return parking{token: make(chan struct{}, 1)} }

// wait returns when holds does. It is woken by wake, which is to be called after whatever makes it hold.
func (p *parking) wait(holds func() bool) {
	for {
		p.parked.Store(true)
		if holds() {
			if !p.parked.CompareAndSwap(true, false) {
				<-p.token // of a wake that came in between
			}
			return
		}
		<-p.token
	}
}

func (p *parking) wake() {
	if p.parked.Load() && p.parked.CompareAndSwap(true, false) {
		p.token <- struct{}{}
	}
}

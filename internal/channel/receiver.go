package channel

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage/protocol"
)

// Receiver passes what comes over a channel of requests to one function, one after the other. It waits on that channel alone:
// a select on a second channel, to be stopped by, would cost half as much again as the whole hand-off. So it is stopped
// by a request of its own sent down the same channel, which has the virtue of coming after all that was sent before.
//
// A request is handled by the goroutine that receives it, at once. Only if one sender sends faster than that, or if many
// requests are handled faster than one by one, another goroutine handles what was received.
type Receiver struct {
	channel chan *protocol.StorageRequest
	handle  Handler
	// queue is nil until senders have had to wait. Only the goroutine that receives uses it.
	queue *queue
	// rush is high while one sender sends faster than its requests are handled, streak how many requests in a row were there
	// already; see judge.
	rush, streak int
	// parallel is false if requests must not be copied, and on one processor, which two goroutines would only share.
	parallel bool

	last *protocol.StorageRequest // the request that stops this receiver
	done chan struct{}            // closed when the goroutine has ended

	// closed is true when the channel is closed and nothing is left in it.
	closed   atomic.Bool
	stopping atomic.Bool
	// over is true when the last request has been taken, by another receiver of the channel, or is waited for no longer.
	over atomic.Bool
	// handled counts how often the handler has returned since Stop was called.
	handled atomic.Uint64
	// passes counts how often another has passed the last request on.
	passes atomic.Uint64
}

// Handler is what a Receiver passes requests to, one call after the other.
type Handler struct {
	// One handles a request. A nil one may come while others are handled.
	One func(*protocol.StorageRequest)
	// Many handles requests that are not nil, in their order; nil if there is nothing to gain over One.
	Many func([]protocol.StorageRequest)
	// Copies says that neither keeps a request. One that is kept must be the sender's own, so no other goroutine handles copies.
	Copies bool
}

// lastRequest and lastReply together mark a request that stops a receiver.
const lastRequest protocol.StorageRequestConstant = -1 << 30

var lastReply = make(chan interface{})

// receivers finds the receiver of a last request, for the case that two receivers share a channel and one takes the
// other's.
var receivers sync.Map // *protocol.StorageRequest → *Receiver

// StartReceiver begins to receive from a channel.
func StartReceiver(channel chan *protocol.StorageRequest, handle Handler) *Receiver {
	r := &Receiver{
		channel: channel, handle: handle, parallel: handle.Copies && runtime.GOMAXPROCS(0) > 1,
		last: &protocol.StorageRequest{RequestType: lastRequest, Reply: lastReply}, done: make(chan struct{}),
	}
	receivers.Store(r.last, r)
	select {
	case first, open := <-channel:
		if !open {
			r.closed.Store(true)
			r.end()
			return r
		}
		go r.run(first, true)
	default:
		go r.run(nil, false)
	}
	return r
}

// Closed reports whether the channel is closed and nothing is left in it.
func (r *Receiver) Closed() bool { return r.closed.Load() }

func (r *Receiver) end() {
	if r.queue != nil {
		r.queue.close()
	}
	receivers.Delete(r.last)
	close(r.done)
}

const (
	// inRush is how high rush must be for requests to be queued, and mostRush how high it gets: a rush is over after some dozens
	// of requests that were waited for.
	inRush, mostRush = 32, 64
	// crowd is the number of requests in a row that are there already only if several senders send, and afterCrowd what rush is then: some
	// thousands of requests must come as one sender sends them.
	crowd, afterCrowd = 4, -8192
)

// next returns the next request.
func (r *Receiver) next() (request *protocol.StorageRequest, open bool) {
	select {
	case request, open = <-r.channel:
		r.judge(true)
	default:
		r.judge(false)
		request, open = <-r.channel
	}
	return request, open
}

// judge sees whether there is a rush, by whether the next request is there already: its sender then had to wait. One sender
// without a pause is found waiting about every second time, so that counts twice as much as a request that is waited for. A
// crowd of senders is no rush: they run on other processors while the requests of some are handled here, and one more
// goroutine would be in their way.
func (r *Receiver) judge(there bool) {
	if !there {
		r.streak = 0
		if r.rush > 0 {
			r.rush--
		}
		return
	}
	r.rush = min(r.rush+2, mostRush)
	if r.streak++; r.streak > crowd {
		r.rush = afterCrowd
	}
}

// pass hands a request to the handler, or to the goroutine that does so while this one receives. A nil request has no place in
// the order of others.
func (r *Receiver) pass(request *protocol.StorageRequest) {
	rush := r.rush >= inRush && r.parallel || r.handle.Many != nil
	if r.queue == nil && rush {
		r.queue = startQueue(r.many)
	}
	if request != nil && r.queue != nil && (rush || !r.queue.empty()) {
		r.queue.push(request)
		return
	}
	r.one(request)
}

func (r *Receiver) one(request *protocol.StorageRequest) {
	r.handle.One(request)
	r.progress()
}

func (r *Receiver) many(requests []protocol.StorageRequest) {
	if r.handle.Many != nil {
		r.handle.Many(requests)
		r.progress()
		return
	}
	for i := range requests {
		r.one(&requests[i])
	}
}

// progress shows a Stop that the handler has returned.
func (r *Receiver) progress() {
	if r.stopping.Load() {
		r.handled.Add(1)
	}
}

// run takes requests until the channel is closed or the last request has come; there says that first is one.
func (r *Receiver) run(first *protocol.StorageRequest, there bool) {
	defer r.end()
	if there && r.take(first) {
		return
	}
	for {
		request, open := r.next()
		if !open {
			r.closed.Store(true)
			return
		}
		if r.take(request) {
			return
		}
	}
}

// take handles a request, and reports whether it was the last.
func (r *Receiver) take(request *protocol.StorageRequest) (last bool) {
	if request == nil || request.RequestType != lastRequest || request.Reply != lastReply {
		r.pass(request)
		return r.stopping.Load() && r.over.Load()
	}
	if request == r.last {
		return true
	}
	// Another's: pass it on, unless that has ended.
	if other, ok := receivers.Load(request); ok {
		go other.(*Receiver).passedBy()
	}
	return false
}

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

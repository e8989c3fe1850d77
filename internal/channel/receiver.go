package channel

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage/protocol"
)

// Receiver passes the requests of a channel to one function, one after the other. It waits on that channel alone: a select
// with a second channel to be stopped by would make the whole hand-off half as expensive again. It is stopped by a request of
// its own, sent over the same channel and so behind everything that was sent before.
//
// A request is handled at once by the goroutine that receives it. Only if a sender is faster than that, or if many requests
// are handled faster together, another goroutine handles them.
type Receiver struct {
	channel chan *protocol.StorageRequest
	handle  Handler
	// queue is nil until senders have had to wait. Only the goroutine that receives uses it.
	queue *queue
	// rush is high while one sender sends faster than its requests are handled; streak is how many successive requests were
	// there already. See judge.
	rush, streak int
	// parallel is false if requests must not be copied, and on a single processor, where a second goroutine gains nothing.
	parallel bool

	last *protocol.StorageRequest // the request that stops this receiver
	done chan struct{}            // closed when the goroutine has ended

	// closed is true when the channel is closed and empty.
	closed   atomic.Bool
	stopping atomic.Bool
	// over is true when another receiver of the channel has taken the last request, or Stop waits for it no longer.
	over atomic.Bool
	// handled counts how often the handler has returned since Stop was called.
	handled atomic.Uint64
	// passes counts how often another receiver has passed the last request on.
	passes atomic.Uint64
}

// Handler handles the requests of a Receiver, one call after the other.
type Handler struct {
	// One handles a request. A nil request may come while others are being handled.
	One func(*protocol.StorageRequest)
	// Lone handles a request while no other is known to be waiting; nil stands for One.
	Lone func(*protocol.StorageRequest)
	// Many handles several requests, none of them nil, in their order; nil if it would gain nothing over One.
	Many func([]protocol.StorageRequest)
	// Slow says that handling a request takes longer than waking a goroutine, so another one handles all of them.
	Slow bool
	// Copies says that neither keeps a request. A request that is kept must be the sender's own, so copies must not be handled
	// by another goroutine.
	Copies bool
}

// lastRequest and lastReply together mark a request that stops a receiver.
const lastRequest protocol.StorageRequestConstant = -1 << 30

var lastReply = make(chan interface{})

// receivers finds the receiver of a last request, in case two receivers share a channel and one takes the other's.
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

// Closed reports whether the channel is closed and empty.
func (r *Receiver) Closed() bool { return r.closed.Load() }

func (r *Receiver) end() {
	if r.queue != nil {
		r.queue.close()
	}
	receivers.Delete(r.last)
	close(r.done)
}

const (
	// inRush is how high rush must be for requests to be queued, and mostRush its maximum: a rush is over after some dozens of
	// requests that had to be waited for.
	inRush, mostRush = 32, 64
	// crowd is the number of successive requests that are there already only if several senders send, and afterCrowd what rush
	// becomes then: it takes some thousands of requests from a single sender to recover.
	crowd, afterCrowd = 4, -8192
)

// next returns the next request.
func (r *Receiver) next() (request *protocol.StorageRequest, open bool) {
	select {
	case request, open = <-r.channel:
		r.judge(true)
	default:
		r.judge(false)
		if r.queue != nil {
			r.queue.publish()
		}
		request, open = <-r.channel
	}
	return request, open
}

// judge recognises a rush by whether the next request is there already, which means that its sender had to wait. A single
// sender without a pause has a request there about every second time, so that counts twice as much as a request that had to
// be waited for. A crowd of senders is no rush: they run on other processors while requests are handled here, and one more
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

// pass hands a request to the handler, or to the goroutine that calls it while this one receives. A nil request has no place
// in the order of the others.
func (r *Receiver) pass(request *protocol.StorageRequest) {
	rush := r.rush >= inRush && r.parallel || r.handle.Slow
	if r.queue == nil && rush {
		r.queue = startQueue(r.many)
	}
	if request != nil && r.queue != nil && (rush || !r.queue.empty()) {
		r.queue.push(request)
		return
	}
	r.one(request, r.streak == 0)
}

func (r *Receiver) one(request *protocol.StorageRequest, lone bool) {
	if lone && r.handle.Lone != nil {
		r.handle.Lone(request)
	} else {
		r.handle.One(request)
	}
	r.progress()
}

func (r *Receiver) many(requests []protocol.StorageRequest) {
	if r.handle.Many != nil && (len(requests) > 1 || r.handle.Slow) {
		r.handle.Many(requests)
		r.progress()
		return
	}
	for i := range requests {
		r.one(&requests[i], len(requests) == 1)
	}
}

// progress shows Stop that the handler has returned.
func (r *Receiver) progress() {
	if r.stopping.Load() {
		r.handled.Add(1)
	}
}

// run takes requests until the channel is closed or the last request has come. If there is true, first is the first request.
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

// take handles a request, and reports whether it was the last one.
func (r *Receiver) take(request *protocol.StorageRequest) (last bool) {
	if request == nil || request.RequestType != lastRequest || request.Reply != lastReply {
		r.pass(request)
		return r.stopping.Load() && r.over.Load()
	}
	if request == r.last {
		return true
	}
	// Another receiver's: pass it on, unless that has ended.
	if other, ok := receivers.Load(request); ok {
		go other.(*Receiver).passedBy()
	}
	return false
}

const (
	// queueLength is the number of requests that may wait. It also limits the batches for a store that is a round trip away.
	queueLength = 256
	// mostUnpublished is the number of requests that may be pushed before they are published.
	mostUnpublished = 8
	// idleLooks is how often an empty queue is checked, for some 20 µs in all, before its goroutine parks: waking it takes
	// longer than handling dozens of requests. It lets others run after some of these looks, as that takes a lock that all share.
	idleLooks, looksInARow = 1000, 100
)

// queue lets a second goroutine handle requests, in their order, while the first receives: the hand-off over a channel costs
// as much as most requests. It holds copies, so that a sender may reuse a request once the next one has been received. Only
// one goroutine may push and publish.
type queue struct {
	handle func([]protocol.StorageRequest)
	ring   []protocol.StorageRequest

	_ [64]byte // what different goroutines write gets cache lines of its own
	// next counts the requests that were pushed; they may be published later. free is handled as it was last seen, and the length.
	// Only the goroutine that pushes uses them.
	next, free uint64
	_          [64]byte
	// pushed counts the requests that were published: to publish takes as long as to push, since what the other processor has read
	// must come back first.
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
		handle: handle, ring: make([]protocol.StorageRequest, queueLength), free: queueLength,
		work: newParking(), room: newParking(), done: make(chan struct{}),
	}
	go q.run()
	return q
}

// empty reports whether everything that was pushed has been handled.
func (q *queue) empty() bool { return q.next == q.handled.Load() }

// push adds a request, and waits for room. The request may be handled when publish is called.
func (q *queue) push(request *protocol.StorageRequest) {
	if q.next == q.free {
		q.makeRoom()
	}
	q.ring[q.next%queueLength] = *request
	q.next++
	if q.next%mostUnpublished == 0 {
		q.publish()
	}
}

// publish lets what was pushed be handled.
func (q *queue) publish() {
	if q.pushed.Load() != q.next {
		q.pushed.Store(q.next)
		q.work.wake()
	}
}

func (q *queue) makeRoom() {
	q.publish()
	if q.free = q.handled.Load() + queueLength; q.next == q.free {
		// Waiting until half of it is free avoids a wake-up for each request.
		q.room.wait(func() bool { return q.next-q.handled.Load() <= queueLength/2 })
		q.free = q.handled.Load() + queueLength
	}
}

// close returns when everything that was pushed has been handled.
func (q *queue) close() {
	q.publish()
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
			if some[i].Reply != nil {
				some[i].Reply = nil // it may hold an answer
			}
		}
		n += uint64(len(some))
		q.handled.Store(n)
		q.room.wake()
	}
}

// await returns when more than n requests were published or the queue is closed.
func (q *queue) await(n uint64) {
	more := func() bool { return q.pushed.Load() != n || q.closed.Load() }
	for look := range idleLooks {
		if more() {
			return
		}
		if look%looksInARow == 0 {
			runtime.Gosched()
		}
	}
	q.work.wait(more)
}

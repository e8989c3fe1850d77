package channel

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// Receiver passes what comes over a channel of requests to one function, on one goroutine. It waits on that channel alone:
// a select on a second channel, to be stopped by, would cost half as much again as the whole hand-off. So it is stopped
// by a request of its own sent down the same channel, which has the virtue of coming after all that was sent before.
type Receiver struct {
	channel chan *protocol.StorageRequest
	handle  func(*protocol.StorageRequest)

	last *protocol.StorageRequest // the request that stops this receiver
	done chan struct{}            // closed when the goroutine has ended

	// closed is true when the channel is closed and nothing is left in it.
	closed   atomic.Bool
	stopping atomic.Bool
	// over is true when the last request has been taken, by another receiver of the channel, or is waited for no longer.
	over atomic.Bool
	// handled counts the requests that were handled since Stop was called.
	handled atomic.Uint64
	// passes counts how often another has passed the last request on.
	passes atomic.Uint64
}

// lastRequest and lastReply together mark a request that stops a receiver.
const lastRequest protocol.StorageRequestConstant = -1 << 30

var lastReply = make(chan interface{})

// receivers finds the receiver of a last request, for the case that two receivers share a channel and one takes the
// other's.
var receivers sync.Map // *protocol.StorageRequest → *Receiver

const (
	// StopPatience is how long a Stop waits for a request or an answer that is being handled and gets no further.
	StopPatience = 3 * time.Second
	// passInterval is the time between two passes of a last request between receivers none of which it is for. The one that it
	// is for may be busy for a while.
	passInterval = 10 * time.Millisecond
)

// StartReceiver begins to receive from a channel.
func StartReceiver(channel chan *protocol.StorageRequest, handle func(*protocol.StorageRequest)) *Receiver {
	r := &Receiver{
		channel: channel, handle: handle,
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
	receivers.Delete(r.last)
	close(r.done)
}

// run takes requests until the channel is closed or the last request has come; there says that first is one.
func (r *Receiver) run(first *protocol.StorageRequest, there bool) {
	defer r.end()
	if there && r.take(first) {
		return
	}
	for request := range r.channel {
		if r.take(request) {
			return
		}
	}
	r.closed.Store(true)
}

// take handles a request, and reports whether it was the last.
func (r *Receiver) take(request *protocol.StorageRequest) (last bool) {
	if request == nil || request.RequestType != lastRequest || request.Reply != lastReply {
		r.handle(request)
		if r.stopping.Load() {
			r.handled.Add(1)
			return r.over.Load()
		}
		return false
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

// passedBy is called when another has taken the last request. A receiver that is busy sees that it is over when it has
// handled its request; one that waits needs the request.
func (r *Receiver) passedBy() {
	r.over.Store(true)
	if r.passes.Add(1) > 1 && closedWithin(r.done, passInterval) {
		return
	}
	// The owner of the channel may have closed it, which ends the receiver too.
	defer func() { _ = recover() }()
	select {
	case <-r.done:
		return // and leave nothing in a channel with room
	default:
	}
	select {
	case r.channel <- r.last:
	case <-r.done:
	}
}

// Stop returns when everything sent before has been handled and the receiver has ended. It gives up, and returns false, when
// for as long as patience no request got handled; the receiver ends when its handler returns then. It may be called again.
func (r *Receiver) Stop(patience time.Duration) bool {
	r.stopping.Store(true)
	begun := time.Now()
	sent := false
	for {
		handled, length := r.handled.Load(), len(r.channel)
		if r.stopped(&sent, patience/3) {
			return true
		}
		switch {
		case r.handled.Load() != handled || len(r.channel) < length:
			begun = time.Now()
		case time.Since(begun) >= patience:
			r.over.Store(true)
			return false
		case len(r.channel) == 0:
			// Somebody else who receives from the channel may have taken the request.
			sent = false
		}
	}
}

// stopped sends the last request, unless it is sent, and reports whether the receiver ends before the time is over.
func (r *Receiver) stopped(sent *bool, patience time.Duration) (ended bool) {
	defer func() {
		// The owner of the channel may have closed it, which ends the receiver too.
		if recover() != nil {
			*sent = true
		}
	}()
	select {
	case <-r.done:
		return true // and leave nothing in a channel with room
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	if !*sent {
		select {
		case r.channel <- r.last:
			*sent = true
		case <-r.done:
			return true
		case <-timer.C:
			return false
		}
	}
	select {
	case <-r.done:
		return true
	case <-timer.C:
		return false
	}
}

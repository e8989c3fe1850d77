package storage

import (
	"sync"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// receiver passes what comes over a channel of requests to one function, on one goroutine. It waits on that channel alone:
// a select on a second channel, to be stopped by, would cost half as much again as the whole hand-off. So it is stopped
// by a request of its own sent down the same channel, which has the virtue of coming after all that was sent before.
type receiver struct {
	channel chan *protocol.StorageRequest
	handle  func(*protocol.StorageRequest)

	last *protocol.StorageRequest // the request that stops this receiver
	done chan struct{}            // closed when the goroutine has ended
}

// lastRequest and lastReply together mark a request that stops a receiver.
const lastRequest protocol.StorageRequestConstant = -1 << 30

var lastReply = make(chan interface{})

// receivers finds the receiver of a last request, for the case that two receivers share a channel and one takes the
// other's.
var receivers sync.Map // *protocol.StorageRequest → *receiver

func startReceiver(channel chan *protocol.StorageRequest, handle func(*protocol.StorageRequest)) *receiver {
	r := &receiver{
		channel: channel, handle: handle,
		last: &protocol.StorageRequest{RequestType: lastRequest, Reply: lastReply}, done: make(chan struct{}),
	}
	receivers.Store(r.last, r)
	go r.run()
	return r
}

func (r *receiver) run() {
	defer close(r.done)
	defer receivers.Delete(r.last)
	for request := range r.channel {
		if request == nil || request.RequestType != lastRequest || request.Reply != lastReply {
			r.handle(request)
			continue
		}
		if request == r.last {
			return
		}
		// Another's: pass it on, unless that has ended.
		if other, ok := receivers.Load(request); ok {
			go other.(*receiver).sendLast()
		}
	}
}

// stop returns when everything sent before has been handled and the receiver has ended. It may be called again.
func (r *receiver) stop() {
	r.sendLast()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-again.C:
			// Where nothing waits in the channel, somebody else who receives from it has taken the request.
			if len(r.channel) == 0 {
				r.sendLast()
			}
		}
	}
}

func (r *receiver) sendLast() {
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

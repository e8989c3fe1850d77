package storage

import (
	"sync"

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
	once sync.Once
}

// lastRequest is the type of a request that stops a receiver. It is no request type of the protocol, and it alone does
// not make a request the last of a receiver: receivers must hold it too.
const lastRequest protocol.StorageRequestConstant = -1 << 30

// receivers finds the receiver of a last request, for the case that two receivers share a channel and one takes the
// other's.
var receivers sync.Map // *protocol.StorageRequest → *receiver

func startReceiver(channel chan *protocol.StorageRequest, handle func(*protocol.StorageRequest)) *receiver {
	r := &receiver{
		channel: channel, handle: handle,
		last: &protocol.StorageRequest{RequestType: lastRequest}, done: make(chan struct{}),
	}
	receivers.Store(r.last, r)
	go r.run()
	return r
}

func (r *receiver) run() {
	defer close(r.done)
	defer receivers.Delete(r.last)
	for request := range r.channel {
		if request != nil && request.RequestType == lastRequest {
			if request == r.last {
				return
			}
			if other, ok := receivers.Load(request); ok {
				go other.(*receiver).sendLast()
				continue
			}
		}
		r.handle(request)
	}
}

// stop returns when everything sent before has been handled and the receiver has ended. It may be called again.
func (r *receiver) stop() {
	r.once.Do(r.sendLast)
	<-r.done
}

func (r *receiver) sendLast() {
	// The owner of the channel may have closed it, which ends the receiver too.
	defer func() { _ = recover() }()
	select {
	case r.channel <- r.last:
	case <-r.done:
	}
}

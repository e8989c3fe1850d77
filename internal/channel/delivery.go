package channel

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// Delivery passes answers to their requesters without waiting for them.
type Delivery struct {
	// Unread holds the answers that were not taken at once.
	Unread *Unread
	// Timeout is how long one of those is held.
	Timeout time.Duration
	Log     *lines.Requests
	Counts  *DeliveryCounts
}

// DeliveryCounts counts the answers that were given up, by reason, and the Replies that requesters had closed.
type DeliveryCounts struct {
	TimedOut, Evicted, LeftAtStop, Closed atomic.Uint64
}

// offers is how often an answer is offered before it is left to a goroutine: most requesters are about to receive.
const offers = 4

// Deliver delivers an answer, or leaves it to a goroutine that waits for the requester.
func (d *Delivery) Deliver(a *Answer, value any) {
	if d.offer(&a.Request, value) {
		return
	}
	if w := d.Unread.Add(a, value); w != nil {
		go d.wait(w)
	} else {
		CloseReply(a.Request.Reply)
	}
}

// Offer delivers an answer and closes the Reply, if the requester is ready. It reports whether the answer is done with.
func (d *Delivery) Offer(request *protocol.StorageRequest, value any) (done bool) {
	defer d.recoverClosed(request, &done)
	select {
	case request.Reply <- value:
		close(request.Reply)
		return true
	default:
		return false
	}
}

// offer is several Offers.
func (d *Delivery) offer(request *protocol.StorageRequest, value any) (done bool) {
	for n := 0; !done && n < offers; n++ {
		if n > 0 {
			runtime.Gosched()
		}
		done = d.Offer(request, value)
	}
	return done
}

// wait holds an answer until its requester takes it.
func (d *Delivery) wait(w *UnreadAnswer) {
	defer d.Unread.Done()
	defer d.Unread.Remove(w)
	timeout := time.NewTimer(d.Timeout)
	defer timeout.Stop()
	count, done := d.hold(w, timeout.C)
	if done || d.offer(&w.Request, w.Value) {
		return
	}
	count.Add(1)
	d.Log.Abandoned(&w.Request)
	d.Unread.Remove(w)
	CloseReply(w.Request.Reply)
}

// hold is Offer with waiting. If the answer is to be given up, it returns the counter for the reason.
func (d *Delivery) hold(w *UnreadAnswer, timeout <-chan time.Time) (count *atomic.Uint64, done bool) {
	defer d.recoverClosed(&w.Request, &done)
	select {
	case w.Request.Reply <- w.Value:
		d.Unread.Remove(w)
		close(w.Request.Reply)
		return nil, true
	case <-timeout:
		return &d.Counts.TimedOut, false
	case <-w.Evicted:
		return &d.Counts.Evicted, false
	case <-d.Unread.GivingUp():
		return &d.Counts.LeftAtStop, false
	}
}

// recoverClosed recovers from the panic of a send on a Reply that its requester has closed or used for two requests.
func (d *Delivery) recoverClosed(request *protocol.StorageRequest, done *bool) {
	if recover() != nil {
		*done = true
		d.Log.Fault(&d.Counts.Closed, "reply channel was closed by its requester", request)
	}
}

// CloseReply closes a Reply. That may be nil, or closed already by a faulty requester.
func CloseReply(reply chan interface{}) {
	if reply == nil {
		return
	}
	defer func() { _ = recover() }()
	close(reply)
}

package channel

import "time"

const (
	// StopPatience is how long a Stop waits for a request or an answer that is being handled and gets no further.
	StopPatience = 3 * time.Second
	// passInterval is the time between two passes of a last request between receivers none of which it is for. The one that it
	// is for may be busy for a while.
	passInterval = 10 * time.Millisecond
)

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

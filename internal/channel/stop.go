package channel

import "time"

const (
	// StopPatience is how long a Stop waits for a request or an answer that makes no progress.
	StopPatience = 3 * time.Second
	// passInterval is how long receivers wait before they pass a last request on that is for none of them: its receiver may be
	// busy for a while.
	passInterval = 10 * time.Millisecond
)

// passedBy is called when another receiver has taken the last request. A busy receiver sees over when it has handled its
// request; one that waits needs the request.
func (r *Receiver) passedBy() {
	r.over.Store(true)
	if r.passes.Add(1) > 1 && closedWithin(r.done, passInterval) {
		return
	}
	// The owner of the channel may have closed it, which ends the receiver too.
	defer func() { _ = recover() }()
	select {
	case <-r.done:
		return // and leave nothing in a buffered channel
	default:
	}
	select {
	case r.channel <- r.last:
	case <-r.done:
	}
}

// Stop returns when everything sent before has been handled and the receiver has ended. If no request was handled for as long
// as patience, it gives up and returns false; the receiver ends when its handler returns. It may be called again.
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
			// Another receiver from the channel may have taken the request.
			sent = false
		}
	}
}

// stopped sends the last request, unless it has been sent, and reports whether the receiver ends in time.
func (r *Receiver) stopped(sent *bool, patience time.Duration) (ended bool) {
	defer func() {
		// The owner of the channel may have closed it, which ends the receiver too.
		if recover() != nil {
			*sent = true
		}
	}()
	select {
	case <-r.done:
		return true // and leave nothing in a buffered channel
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

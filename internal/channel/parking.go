package channel

import "sync/atomic"

// parking lets one goroutine wait for another.
type parking struct {
	parked atomic.Bool
	token  chan struct{}
}

func newParking() parking { return parking{token: make(chan struct{}, 1)} }

// wait returns when holds returns true. Call wake after every change that may make it true.
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

// Package clock gives the time to code that cannot afford a system call.
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how often the coarse time is renewed while anybody reads it.
	tick = 10 * time.Millisecond
	// idleTicks is the number of ticks without a reader after which the clock sleeps.
	idleTicks = 2
	// nearSecond is how close to the next second, in milliseconds, the coarse time is not trusted.
	nearSecond = 2 * int64(tick/time.Millisecond)
)

// Clock is the time of day. Coarse costs a nanosecond or two, since one goroutine reads the system's clock for all readers.
// It sleeps while there are hardly any: a caller that reads less than once a tick gets the system's time. The zero value is
// not usable; make a Clock with Start.
type Clock struct {
	// milliseconds is the coarse time, 0 while the clock sleeps. Written by the goroutine only.
	milliseconds atomic.Int64
	// last is when a sleeping clock was read last.
	last atomic.Int64
	// used is set by each reader and cleared at each tick.
	used atomic.Bool

	// started is the origin of the monotonic clock; never changes.
	started time.Time

	wake chan struct{} // holds one token when a sleeping clock was read
	quit chan struct{} // closed by Stop
	done chan struct{} // closed when the goroutine has ended
	once sync.Once
}

// Start makes a clock and starts its goroutine. Stop ends it.
func Start() *Clock {
	c := &Clock{started: time.Now(), wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

// Stop ends the goroutine and waits for it. The clock still gives the time, from the system.
func (c *Clock) Stop() {
	c.once.Do(func() { close(c.quit) })
	<-c.done
}

// Now returns the time in Unix milliseconds, from the system.
func (c *Clock) Now() int64 { return time.Now().UnixMilli() }

// Read is Now and, at the same moment, the milliseconds of the monotonic clock since Start. That does not change if the
// system's clock is set, and on most systems stands still while the machine is suspended.
func (c *Clock) Read() (now, elapsed int64) {
	t := time.Now()
	return t.UnixMilli(), t.Sub(c.started).Milliseconds()
}

// Coarse returns the time in Unix milliseconds, usually no more than a hundredth of a second old. Its second is right unless
// the machine is so busy that the clock's goroutine does not run.
func (c *Clock) Coarse() int64 {
	ms := c.milliseconds.Load()
	if !c.used.Load() {
		c.used.Store(true)
	}
	if ms != 0 && ms%1000 < 1000-nearSecond {
		return ms
	}
	now := c.Now()
	if ms == 0 && uint64(now-c.last.Swap(now)) < uint64(tick/time.Millisecond) {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return now
}

func (c *Clock) run() {
	defer close(c.done)
	defer c.milliseconds.Store(0)
	for {
		select {
		case <-c.quit:
			return
		case <-c.wake:
		}
		if !c.runWhileUsed() {
			return
		}
	}
}

// runWhileUsed renews the time until nobody has read it for a while; it returns false when the clock was stopped.
func (c *Clock) runWhileUsed() bool {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer c.milliseconds.Store(0)
	c.milliseconds.Store(c.Now())
	for idle := 0; idle < idleTicks; idle++ {
		select {
		case <-c.quit:
			return false
		case <-ticker.C:
		}
		c.milliseconds.Store(c.Now())
		if c.used.Swap(false) {
			idle = 0
		}
	}
	return true
}

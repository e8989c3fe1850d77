package engine

import "sync"

const (
	// expiryGrace is how long, in milliseconds of the monotonic clock, expiry does not follow a wall clock that leapt ahead:
	// long enough for every living group to commit again.
	expiryGrace = 10 * 60_000
	// largestDrift is the longest step of the wall clock, in milliseconds, that is never taken for a leap.
	largestDrift = 60_000
)

// expiryTime is the time by which groups and topics expire. It follows the wall clock until that leaps ahead of the monotonic
// clock: then the clock was set or the machine was suspended, and what looks old may only not have had its turn. For
// expiryGrace after a leap the expiry time continues from where it was; then it follows the wall clock again. Nothing ticks
// for that: a leap is noticed at the next reading, and the sweep reads regularly.
type expiryTime struct {
	clock Clock
	// drift is the most, in milliseconds, that the clocks may part between two readings without that being a leap.
	drift int64

	mu sync.Mutex
	// Guarded by mu: the clocks at the last reading, by how much the expiry time is behind the wall clock, and when, by the
	// monotonic clock, that ends.
	wall, elapsed int64
	held, until   int64
}

// start begins with the clocks as they are. shortest is the shortest time after which anything expires, in milliseconds: a
// leap that is short for a week may be long for that.
func (x *expiryTime) start(clock Clock, shortest int64) {
	x.clock, x.drift = clock, min(largestDrift, shortest/10)
	x.wall, x.elapsed = clock.Read()
}

// now returns the expiry time in Unix milliseconds; it is never later than the wall clock.
func (x *expiryTime) now() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	wall, elapsed := x.clock.Read()
	leap := (wall - x.wall) - (elapsed - x.elapsed)
	x.wall, x.elapsed = wall, elapsed
	if elapsed >= x.until {
		x.held = 0
	}
	switch {
	case leap > x.drift:
		x.held += leap
		x.until = elapsed + expiryGrace
	case leap < 0:
		// The wall clock was set back after the leap.
		x.held = max(x.held+leap, 0)
	}
	return wall - x.held
}

// older reports whether a time is more than age milliseconds ago by the expiry time. That is read only if the coarse wall
// clock leaves it in doubt.
func (e *Engine) older(t, coarse, age int64) bool {
	const doubt = 1000
	return t < coarse-age+doubt && t < e.expiry.now()-age
}

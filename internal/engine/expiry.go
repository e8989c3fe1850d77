package engine

import "sync"

const (
	// expiryGrace is for how long, in milliseconds of the monotonic clock, expiry does not follow a wall clock that jumped
	// forward: long enough for every group that lives to commit again.
	expiryGrace = 10 * 60_000
	// largestDrift is the longest step of the wall clock, in milliseconds, that is never taken for a jump.
	largestDrift = 60_000
)

// expiryTime is the time by which groups and topics expire. It is that of the wall clock, until that runs ahead of the
// monotonic clock in one leap: then the clock was set, or the machine was suspended, and what looks old may just not have
// had its turn. For expiryGrace after a leap the expiry time goes on from where it was; then it follows the wall clock
// again. Nothing ticks for that: a leap is found when somebody looks next, which the sweep does regularly.
type expiryTime struct {
	clock Clock
	// drift is by how many milliseconds at most the clocks may part between two looks without that being a leap.
	drift int64

	mu sync.Mutex
	// Guarded by mu: the clocks as they were at the last look, by how much the expiry time is behind the wall clock, and
	// when, by the monotonic clock, that ends.
	wall, elapsed int64
	held, until   int64
}

// start begins with the clocks as they are. shortest is the shortest time in which anything expires, in
// milliseconds: a leap that is short for a week may be long for that.
func (x *expiryTime) start(clock Clock, shortest int64) {
	x.clock, x.drift = clock, min(largestDrift, shortest/10)
	x.wall, x.elapsed = clock.Read()
}

// now is the expiry time in Unix milliseconds; it is never later than the wall clock.
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
		// The wall clock comes back from where it should not have gone.
		x.held = max(x.held+leap, 0)
	}
	return wall - x.held
}

// older reports whether a time is more than age milliseconds ago by the expiry time, which is read only if the coarse
// time of the wall clock leaves it in doubt.
func (e *Engine) older(t, coarse, age int64) bool {
	const doubt = 1000
	return t < coarse-age+doubt && t < e.expiry.now()-age
}

package engine

import "errors"

// ErrDamaged is returned by Save when a panic has interrupted a change: what it left half-done must not become permanent.
var ErrDamaged = errors.New("a panic interrupted a change of the state")

// Damaged reports whether a panic has interrupted a change of the state. It is never taken back.
func (e *Engine) Damaged() bool { return e.damaged.Load() }

func (e *Engine) damage() { e.damaged.Store(true) }

// release unlocks a shard that was locked for a change. It must be deferred itself: only so does it see the panic that it
// notes, which goes on. No foreign code runs while a shard is locked, so the panic is of our own making.
func (s *shard) release() {
	if cause := recover(); cause != nil {
		if !s.reading {
			s.damage()
		}
		s.reading = false
		s.mu.Unlock()
		panic(cause)
	}
	s.mu.Unlock()
}

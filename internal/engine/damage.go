package engine

import "errors"

// ErrDamaged is returned by Save if a panic has interrupted a change: a half-done change must not become permanent.
var ErrDamaged = errors.New("a panic interrupted a change of the state")

// Damaged reports whether a panic has interrupted a change of the state. It stays true.
func (e *Engine) Damaged() bool { return e.damaged.Load() }

func (e *Engine) damage() { e.damaged.Store(true) }

// release unlocks a shard that was locked for a change. It must be deferred directly: only then does recover see the panic
// that it notes and passes on. No foreign code runs while a shard is locked, so the panic is a bug of the store.
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

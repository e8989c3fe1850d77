package inspector

import (
	"net/http"
	"sync"
)

// maxShared bounds what is kept for others who ask the same. A page is rarely above 100 kB.
const maxShared = 256

// shared holds what was made of the newest reading, so that any number of browsers on one page cost the making of one.
type shared[T any] struct {
	mu       sync.Mutex
	sequence uint64
	made     map[string]func() (T, error) // by what was asked; each makes its answer once
}

// of returns the answer to what is asked of a reading, and makes it if nobody asked before.
func (s *shared[T]) of(sequence uint64, asked string, make func() (T, error)) (T, error) {
	s.mu.Lock()
	if s.sequence != sequence || len(s.made) >= maxShared {
		s.sequence = sequence
		s.made = map[string]func() (T, error){}
	}
	once, ok := s.made[asked]
	if !ok {
		once = sync.OnceValues(make)
		s.made[asked] = once
	}
	s.mu.Unlock()
	return once()
}

// sharedAnswer answers with what make returns, which must depend on nothing but the reading and on what is asked. Nothing is
// shared if not everybody may see the same.
func (h *Handler) sharedAnswer(w http.ResponseWriter, r *http.Request, current *reading, asked string, make func() (*body, error)) {
	var b *body
	var err error
	if h.options.Allow != nil {
		b, err = make()
	} else {
		b, err = h.bodies.of(current.sequence, asked, make)
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	b.serve(w, r)
}

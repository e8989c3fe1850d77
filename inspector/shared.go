package inspector

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

const (
	// maxShared and maxSharedBytes bound what is kept for others who ask the same: a page is rarely above 100 kB, but one of a
	// group of thousands of partitions takes megabytes.
	maxShared      = 256
	maxSharedBytes = 32 << 20
)

// shared holds what was made of the newest reading, so that any number of browsers on one page cost the making of one.
type shared[T interface{ size() int }] struct {
	mu       sync.Mutex
	sequence uint64                       // guarded by mu, as all below
	made     map[string]func() (T, error) // by what was asked; each makes its answer once
	bytes    int                          // of the answers in made
}

// of returns the answer to what is asked of a reading, and makes it if nobody asked before.
func (s *shared[T]) of(sequence uint64, asked string, make func() (T, error)) (T, error) {
	s.mu.Lock()
	if s.made == nil || s.sequence != sequence || len(s.made) >= maxShared || s.bytes > maxSharedBytes {
		s.sequence, s.made, s.bytes = sequence, map[string]func() (T, error){}, 0
	}
	once, ok := s.made[asked]
	if !ok {
		once = sync.OnceValues(func() (T, error) {
			value, err := make()
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case s.sequence != sequence:
			case err != nil:
				delete(s.made, asked) // the next request tries again
			default:
				s.bytes += value.size()
			}
			return value, err
		})
		s.made[asked] = once
	}
	s.mu.Unlock()
	return once()
}

// sharedAnswer answers with what make returns of the newest reading, which must depend on nothing but that and what is asked.
func (h *Handler) sharedAnswer(w http.ResponseWriter, r *http.Request, asked string, make func(*reading) (*body, error)) {
	current, err := h.collector.wait(r.Context(), h.quit)
	if err != nil {
		h.fail(w, err)
		return
	}
	b, err := h.shareIfAlike(current, asked, func() (*body, error) { return make(current) })
	h.serve(w, r, b, err)
}

// shareIfAlike returns what make returns, which is made once for each reading if everybody may see the same.
func (h *Handler) shareIfAlike(current *reading, asked string, make func() (*body, error)) (*body, error) {
	if h.options.Allow != nil {
		return make()
	}
	return h.bodies.of(current.sequence, asked, make)
}

// sharedGroup returns what is made of the group that a request names. A group is read from the store itself and not from the
// last reading, but once a second at most however many ask.
func (h *Handler) sharedGroup(r *http.Request, what string, make func(*GroupDetail) (*body, error)) (*body, error) {
	cluster, name, err := h.named(r, true)
	if err != nil {
		return nil, err
	}
	return h.shareNow(fmt.Sprintf("%s %q %q", what, cluster, name), func() (*body, error) {
		// It is made for others too, so it does not end with the request.
		detail, err := h.group(untilClosed{context.Background(), h.quit}, cluster, name)
		if err != nil {
			return nil, err
		}
		return make(detail)
	})
}

// shareNow returns what make returns, which is made once a second at most however many ask. All who ask must be allowed to see it.
func (h *Handler) shareNow(asked string, make func() (*body, error)) (*body, error) {
	var sequence uint64
	if current, _ := h.collector.want(); current != nil {
		sequence = current.sequence
	}
	return h.bodies.of(sequence, fmt.Sprintf("%s at %d", asked, h.options.Now().Unix()), make)
}

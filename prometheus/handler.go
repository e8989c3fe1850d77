package prometheus

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Handler serves what a Gatherer gathers, as text. Unlike promhttp, it gathers and renders once for all requests that arrive
// meanwhile, and keeps the page compressed while it is sent: a client that does not read costs a few MB at most, however many
// series there are, and no gathering of its own.
type Handler struct {
	gatherer prom.Gatherer
	free     chan struct{} // has one element for each request that may still be accepted

	mu      sync.Mutex
	current *page // guarded by mu; nil if none is being made
}

// page is a scrape that is shared.
type page struct {
	done chan struct{} // closed when the rest is set
	gzip []byte
	err  error
}

// format is what is served: the text format that every Prometheus reads.
var format = expfmt.NewFormat(expfmt.TypeTextPlain)

// NewHandler makes a Handler that serves at most inFlight requests at a time, at least 1. Others get a 503.
func NewHandler(gatherer prom.Gatherer, inFlight int) *Handler {
	return &Handler{gatherer: gatherer, free: full(max(inFlight, 1))}
}

func full(n int) chan struct{} {
	free := make(chan struct{}, n)
	for range n {
		free <- struct{}{}
	}
	return free
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-h.free:
		defer func() { h.free <- struct{}{} }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("%d scrapes are being served, which is the limit", cap(h.free)), http.StatusServiceUnavailable)
		return
	}
	p := h.join()
	select {
	case <-p.done:
	case <-r.Context().Done():
		return
	}
	if p.err != nil {
		http.Error(w, p.err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", string(format))
	header.Set("Vary", "Accept-Encoding")
	// A failed write need not be reported: the client has gone, or the server's time limit has passed.
	if acceptsGzip(r.Header) {
		header.Set("Content-Encoding", "gzip")
		_, _ = w.Write(p.gzip)
		return
	}
	text, err := gzip.NewReader(bytes.NewReader(p.gzip))
	if err == nil {
		_, _ = io.Copy(w, text)
	}
}

// join returns the page that is being made, or one that it makes.
func (h *Handler) join() *page {
	h.mu.Lock()
	if shared := h.current; shared != nil {
		h.mu.Unlock()
		return shared
	}
	own := &page{done: make(chan struct{})}
	h.current = own
	h.mu.Unlock()
	// If a collector panics before the page is complete, those who wait get this error.
	own.err = fmt.Errorf("make page: a collector panicked")
	defer func() {
		h.mu.Lock()
		h.current = nil
		h.mu.Unlock()
		close(own.done)
	}()
	own.gzip, own.err = render(h.gatherer)
	return own
}

// render gathers the metrics and returns the compressed text.
func render(gatherer prom.Gatherer) ([]byte, error) {
	families, err := gatherer.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var b bytes.Buffer
	// Speed matters more than the last tenth of the size: compression is most of what a scrape costs.
	out, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("render metrics: %w", err)
	}
	encoder := expfmt.NewEncoder(out, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, fmt.Errorf("render metrics: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return nil, fmt.Errorf("render metrics: %w", err)
	}
	return bytes.Clone(b.Bytes()), nil
}

// acceptsGzip reports whether a client accepts the page as it is kept.
func acceptsGzip(header http.Header) bool {
	for _, list := range header.Values("Accept-Encoding") {
		for _, item := range strings.Split(list, ",") {
			name, weight, _ := strings.Cut(item, ";")
			name, weight = strings.TrimSpace(name), strings.ReplaceAll(weight, " ", "")
			if strings.EqualFold(name, "gzip") {
				return weight != "q=0" && weight != "q=0.0" && weight != "q=0.00" && weight != "q=0.000"
			}
		}
	}
	return false
}

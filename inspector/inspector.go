// Package inspector shows a store in a browser: its groups and topics, the lag of each in messages and in time with its
// margin, what changes, and how the store itself fares. It is an http.Handler that an application mounts if it likes,
// made of the standard library alone; its pages are part of the binary.
//
//	h, err := inspector.New(db, inspector.Options{}) // or coordinator.Store()
//	mux.Handle("/lag/", http.StripPrefix("/lag", h))
//	defer h.Close()
//
// Everything that the pages show is also JSON below api/v1/. All addresses are relative, so any prefix works without
// configuration. Nothing can be changed through it: it answers GET and HEAD.
//
// One collector reads the store for all browsers, at Options.Interval. It rests while nobody looks, unless history is kept.
package inspector

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// Source is what an inspector reads: a *storage.DB, or the Store of a Coordinator. If it is a storage.Watcher or a
// storage.StatsSource too, as both are, the pages show changes and statistics.
type Source interface {
	Clusters(ctx context.Context) ([]string, error)
	Groups(ctx context.Context, cluster string) (iter.Seq[string], error)
	Topics(ctx context.Context, cluster string) (iter.Seq[string], error)
	EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error)
	Group(ctx context.Context, cluster, group string, into *protocol.Group) error
}

// Options are the settings of an inspector. The zero value stands for the defaults.
type Options struct {
	// Title stands at the top of each page; default "Consumer lag".
	Title string
	// Interval is the time between two readings of the store; default 10 s, at least 100 ms.
	Interval time.Duration
	// History is how far back the lag of each group and topic is kept; default one hour, negative for none. It is kept in
	// memory alone.
	History time.Duration
	// HistoryBytes bounds the memory of the history; default 64 MiB. Groups and topics that find no room have no history,
	// which the store page says.
	HistoryBytes int64
	// Listeners bounds the live connections; default 1,000. One more has to poll.
	Listeners int
	// Events is the number of changes that the changes page remembers; default 1,000.
	Events int
	// Allow reports whether a request may see a group; nil shows every group. What it hides is in no page, sum, change or
	// error. Called with two empty names it reports whether the request may see everything: only then are the statistics
	// shown, of the store and of the inspector, which count all groups. Clusters, topics and end offsets are shown to everybody,
	// and the bounds above are shared by all. It is called often and must be fast.
	Allow func(r *http.Request, cluster, group string) bool
	// Status says how patient the judgement of a group is.
	Status status.Options
	// Now returns the time; nil stands for time.Now.
	Now func() time.Time
}

func (o *Options) validate() error {
	var faults []error
	check := func(ok bool, format string, arguments ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, arguments...))
		}
	}
	check(o.Interval == 0 || o.Interval >= 100*time.Millisecond, "invalid Interval %v: must be at least 100ms", o.Interval)
	check(o.HistoryBytes >= 0, "invalid HistoryBytes %d: must not be negative", o.HistoryBytes)
	check(o.Listeners >= 0, "invalid Listeners %d: must not be negative", o.Listeners)
	check(o.Events >= 0, "invalid Events %d: must not be negative", o.Events)
	return errors.Join(faults...)
}

func (o *Options) setDefaults() {
	if o.Title == "" {
		o.Title = "Consumer lag"
	}
	if o.Interval == 0 {
		o.Interval = 10 * time.Second
	}
	if o.History == 0 {
		o.History = time.Hour
	}
	if o.HistoryBytes == 0 {
		o.HistoryBytes = 64 << 20
	}
	if o.Listeners == 0 {
		o.Listeners = 1000
	}
	if o.Events == 0 {
		o.Events = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Handler serves the pages and the JSON of an inspector. Make it with New.
type Handler struct {
	options Options
	source  Source
	mux     *http.ServeMux

	collector *collector
	bodies    shared[*body]
	assets    shared[*body]
	lists     shared[*liveList]
	events    *eventLog
	listeners chan struct{} // holds one token for each live connection

	close sync.Once
	quit  chan struct{} // closed by Close
	done  sync.WaitGroup
}

// New makes an inspector of a source. It returns an error that names every option that is out of range, and for a nil
// source. Close ends it.
func New(source Source, options Options) (*Handler, error) {
	if source == nil {
		return nil, errors.New("new inspector: source is nil")
	}
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("new inspector: %w", err)
	}
	options.setDefaults()
	h := &Handler{
		options: options, source: source, mux: http.NewServeMux(),
		events: newEventLog(options.Events, options.Now), listeners: make(chan struct{}, options.Listeners), quit: make(chan struct{}),
	}
	h.collector = newCollector(source, options)
	h.routes()
	h.done.Go(func() { h.collector.run(h.quit) })
	if w, ok := source.(storage.Watcher); ok {
		h.done.Go(func() { h.events.follow(w, h.quit) })
	}
	return h, nil
}

// Close ends the collector and every live connection, and waits for the former. It may be called again; requests that come
// later are answered with 503.
func (h *Handler) Close() error {
	h.close.Do(func() { close(h.quit) })
	h.done.Wait()
	return nil
}

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	select {
	case <-h.quit:
		http.Error(w, "inspector closed", http.StatusServiceUnavailable)
		return
	default:
	}
	h.mux.ServeHTTP(w, r)
}

// allow returns which groups a request may see, nil for all.
func (h *Handler) allow(r *http.Request) func(cluster, group string) bool {
	if h.options.Allow == nil {
		return nil
	}
	return func(cluster, group string) bool { return h.options.Allow(r, cluster, group) }
}

// seesAll reports whether a request may see what is not of single groups, as the statistics of the store.
func (h *Handler) seesAll(r *http.Request) bool {
	return h.options.Allow == nil || h.options.Allow(r, "", "")
}

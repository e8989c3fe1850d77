package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/kafkafeed"
	lagprom "github.com/lagkeeper/storage/prometheus"
)

const (
	// maxConnections bounds memory: a connection costs some 10 kB; one that is over the limit waits in the system's queue.
	maxConnections = 1100 // more than the listeners of the inspector
	// maxScrapes is the number of scrapes that are answered at a time. Each may hold its own page for as long as its client
	// takes to read it: a few MB, compressed.
	maxScrapes = 16
	// requestTimeout bounds the reading of a request, answerTimeout the time until the client has the answer (Prometheus gives
	// up after 10 s by default; the inspector extends it for its live connections), and idleTimeout the time until the next
	// request: scrapes are mostly 15 to 60 s apart.
	requestTimeout = 5 * time.Second
	answerTimeout  = 15 * time.Second
	idleTimeout    = 75 * time.Second
	// maxHeader has room for the address of a group with the longest name that Kafka allows: 32,767 bytes, each escaped as
	// three.
	maxHeader = 128 << 10
	// goodbye is how long an answer that is being sent may still take when the monitor ends.
	goodbye = time.Second
)

// server serves its handler until it is closed.
type server struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when the server has ended
}

// serve listens on an address and serves.
func serve(address string, handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", loopbackUnlessNamed(address))
	if err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	s := &server{listener: limitConnections(listener, maxConnections), done: make(chan struct{})}
	s.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(s.listener) // http.ErrServerClosed, or an error of Accept: nothing can be served any more
	}()
	return s, nil
}

// loopbackUnlessNamed returns the address to listen on. Group names and lags are visible to other machines only if the
// address says so: :9099 is this machine alone, 0.0.0.0:9099 every interface.
func loopbackUnlessNamed(address string) string {
	if port, ok := strings.CutPrefix(address, ":"); ok {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// url is the address of the server on this machine.
func (s *server) url() string {
	address := s.listener.Addr().String()
	for _, every := range []string{"[::]:", "0.0.0.0:"} {
		if port, ok := strings.CutPrefix(address, every); ok {
			address = "localhost:" + port
		}
	}
	return "http://" + address
}

// close stops the server: it accepts no more requests, and lets those being answered finish within goodbye.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
	<-s.done
}

// health answers /healthz: the store answers, whatever the state of Kafka.
func (m *monitorState) health(w http.ResponseWriter, r *http.Request) {
	if _, err := m.store.Clusters(r.Context()); err != nil {
		http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// lateAfter is the number of intervals without a poll after which a cluster is not ready any more.
const lateAfter = 5

// ready answers /readyz: every cluster has been read whole, and polls come.
func (m *monitorState) ready(w http.ResponseWriter, _ *http.Request) {
	var late []string
	for _, s := range m.sources {
		switch state := s.state(); {
		case !state.Ready:
			late = append(late, s.name+": "+strings.Join(state.Missing, "; "))
		case time.Now().UnixMilli()-*state.LastPoll > lateAfter*m.cfg.interval.Milliseconds()+state.PollMs:
			late = append(late, fmt.Sprintf("%s: the last poll was %s ago", s.name, age(time.Now().UnixMilli()-*state.LastPoll)))
		}
	}
	if len(late) > 0 {
		http.Error(w, strings.Join(late, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// handlers returns the handler of each address: the pages, the metrics, or both at one address. close ends the pages.
func (m *monitorState) handlers(opts options) (served map[string]*http.ServeMux, end func(), err error) {
	served, end = make(map[string]*http.ServeMux), func() {}
	mux := func(address string) *http.ServeMux {
		if served[address] == nil {
			served[address] = http.NewServeMux()
			served[address].HandleFunc("GET /healthz", m.health)
			served[address].HandleFunc("GET /readyz", m.ready)
		}
		return served[address]
	}
	if opts.metrics != "" {
		collector, err := lagprom.New(m.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		if err != nil {
			return nil, end, fmt.Errorf("serve metrics: %w", err)
		}
		feeds := make([]func() lagprom.FeedStatus, len(m.sources))
		for i, s := range m.sources {
			feeds[i] = func() lagprom.FeedStatus { return feedMetrics(s.feed.Status()) }
		}
		feed, err := lagprom.NewFeed(lagprom.Options{}, feeds...)
		if err != nil {
			return nil, end, fmt.Errorf("serve metrics: %w", err)
		}
		registry := prometheus.NewRegistry()
		registry.MustRegister(collector, feed, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		mux(opts.metrics).Handle("GET /metrics", lagprom.NewHandler(registry, maxScrapes))
	}
	if opts.http != "" {
		pages, err := inspector.New(m.store, inspector.Options{Interval: m.cfg.interval})
		if err != nil {
			return nil, end, fmt.Errorf("serve pages: %w", err)
		}
		end = func() { _ = pages.Close() }
		mux(opts.http).Handle("/", pages)
	}
	return served, end, nil
}

// feedMetrics converts the status of a feed into metrics.
func feedMetrics(s kafkafeed.Status) lagprom.FeedStatus {
	to := lagprom.FeedStatus{Cluster: s.Cluster, Mode: string(s.Mode), Ready: s.Ready, Records: make(map[string]uint64), Errors: s.Errors,
		Refused: len(s.Refused), Early: s.Early, EarlyDropped: s.EarlyDropped, OpenPartitions: s.OpenPartitions,
		LastPoll: s.LastPoll, PollDuration: s.PollDuration}
	for kind, n := range s.Records {
		to.Records[string(kind)] = n
	}
	for _, log := range s.Logs {
		to.Logs = append(to.Logs, lagprom.FeedLog(log))
	}
	return to
}

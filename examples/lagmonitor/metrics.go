package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	lagprom "github.com/lagkeeper/storage/prometheus"
)

const (
	metricsPath = "/metrics"
	// maxSeries and maxSeriesBytes bound what a Prometheus has to take in; the metrics say what was left out.
	maxSeries      = 100_000
	maxSeriesBytes = 64 << 20
	// maxConnections is for a few Prometheus servers and whoever looks with curl. A connection costs some 10 kB; one that
	// is over the limit waits in the system's queue.
	maxConnections = 64
	// maxScrapes is how many scrapes are answered at a time. Each may hold a page of its own for as long as its client
	// takes to read it: a few MB, compressed.
	maxScrapes = 16
	// requestTimeout is how long a client may take to ask, answerTimeout until it has the answer (a Prometheus gives up
	// after 10 s unless told otherwise), and idleTimeout until it asks again: scrapes are mostly 15 to 60 s apart.
	requestTimeout = 5 * time.Second
	answerTimeout  = 15 * time.Second
	idleTimeout    = 75 * time.Second
	// maxHeader is far more than any Prometheus sends.
	maxHeader = 16 << 10
	// goodbye is how long a scrape that is going on may take once the monitor ends.
	goodbye = time.Second
)

// metricsServer serves what the store knows and does to Prometheus.
type metricsServer struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when the server has ended
}

// serveMetrics listens on an address and serves. polling is held while a poll is carried into the store, so that no
// collection sees half of one.
func serveMetrics(address string, source lagprom.Source, polling sync.Locker) (*metricsServer, error) {
	collector, err := lagprom.New(source, lagprom.Options{
		Lags: &lagprom.LagOptions{MaxSeries: maxSeries, MaxBytes: maxSeriesBytes},
	})
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		wholePolls{collector, polling},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	listener, err := net.Listen("tcp", loopbackUnlessNamed(address))
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, lagprom.NewHandler(registry, maxScrapes))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "lagmonitor: the metrics are at %s\n", metricsPath)
	})
	m := &metricsServer{listener: limitConnections(listener, maxConnections), done: make(chan struct{})}
	m.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
	}
	go func() {
		defer close(m.done)
		_ = m.server.Serve(m.listener) // http.ErrServerClosed, or what Accept has met: there is nobody left to serve
	}()
	return m, nil
}

// loopbackUnlessNamed returns the address to listen on. Group names and lags are nobody's business unless somebody says so:
// :9099 is this machine alone, 0.0.0.0:9099 every interface.
func loopbackUnlessNamed(address string) string {
	if port, ok := strings.CutPrefix(address, ":"); ok {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// url is where the metrics are, for this machine.
func (m *metricsServer) url() string {
	address := m.listener.Addr().String()
	for _, every := range []string{"[::]:", "0.0.0.0:"} {
		if port, ok := strings.CutPrefix(address, every); ok {
			address = "localhost:" + port
		}
	}
	return "http://" + address + metricsPath
}

// close ends the serving.
func (m *metricsServer) close() {
	// Take no more requests, and let those that are answered have their answer.
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		_ = m.server.Close()
	}
	<-m.done
}

// wholePolls collects between polls only.
type wholePolls struct {
	prometheus.Collector
	polling sync.Locker
}

func (w wholePolls) Collect(out chan<- prometheus.Metric) {
	w.polling.Lock()
	defer w.polling.Unlock()
	w.Collector.Collect(out)
}

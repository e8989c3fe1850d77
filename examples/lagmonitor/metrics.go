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
	"github.com/prometheus/client_golang/prometheus/promhttp"

	lagprom "github.com/lagkeeper/storage/prometheus"
)

const (
	metricsPath = "/metrics"
	// maxSeries bounds what a Prometheus has to take in; the metrics say what was left out.
	maxSeries = 100_000
	// headerTimeout is how long a client may take to ask.
	headerTimeout = 5 * time.Second
	// goodbye is how long a scrape that is going on may take once the monitor ends.
	goodbye = time.Second
)

// metricsServer serves what the store knows and does to Prometheus.
type metricsServer struct {
	collector *lagprom.Collector
	listener  net.Listener
	server    *http.Server
	done      chan struct{} // closed when the server has ended
}

// serveMetrics listens on an address and serves. polling is held while a poll is carried into the store, so that no
// collection sees half of one.
func serveMetrics(address string, source lagprom.Source, polling sync.Locker) (*metricsServer, error) {
	collector, err := lagprom.New(source, lagprom.Options{Lags: &lagprom.LagOptions{MaxSeries: maxSeries}})
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		wholePolls{collector, polling},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m := &metricsServer{collector: collector, done: make(chan struct{})}
	if m.listener, err = net.Listen("tcp", address); err != nil {
		collector.Close()
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "lagmonitor: the metrics are at %s\n", metricsPath)
	})
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(m.done)
		_ = m.server.Serve(m.listener) // http.ErrServerClosed, or what Accept has met: there is nobody left to serve
	}()
	return m, nil
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
	// 1. Take no more requests, and let those that are answered have their answer.
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		_ = m.server.Close()
	}
	<-m.done
	// 2. Follow the store no longer.
	m.collector.Close()
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

package prometheus

import (
	"context"
	"fmt"
	"sync"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/lagkeeper/storage"
)

// Source is what a Collector reads. *storage.Coordinator is one, and Of makes one of a store.
type Source interface {
	// Stats returns what the store holds and has done. If it returns an error, the statistics are left out.
	Stats() (storage.Stats, error)
	// Store returns the typed API, nil if there is none yet.
	Store() storage.Store
}

var _ Source = (*storage.Coordinator)(nil)

// Of returns a Source of one store, such as a *storage.DB. If the store is no storage.StatsSource, it has no statistics.
func Of(store storage.Store) Source { return one{store} }

type one struct{ store storage.Store }

func (o one) Store() storage.Store { return o.store }

func (o one) Stats() (storage.Stats, error) {
	if source, ok := o.store.(storage.StatsSource); ok {
		return source.Stats()
	}
	return storage.Stats{}, storage.ErrUnsupported
}

// Collector exports a store. It is a prometheus.Collector, may be used by any number of goroutines, and holds nothing between
// two collections, so there is nothing to close. The Source may be configured, started, stopped and started again at any
// time, before and after the Collector was made.
//
// Callers that collect at the same time share one collection. What the Collector reads does not count as requests of the
// store.
type Collector struct {
	source Source
	stats  *statsMetrics
	lags   *lagMetrics // nil if no lags are exported

	mu      sync.Mutex
	current *collection // guarded by mu; nil if none is under way
}

var _ prom.Collector = (*Collector)(nil)

// collection is shared by all callers at the same time.
type collection struct {
	done    chan struct{} // closed when metrics is complete
	metrics []prom.Metric
}

// New makes a Collector. It returns an error that names every fault of the options.
func New(source Source, options Options) (*Collector, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("make collector: %w", err)
	}
	options = options.withDefaults()
	c := &Collector{source: source, stats: newStatsMetrics(options)}
	if options.Lags != nil {
		c.lags = newLagMetrics(options)
	}
	return c, nil
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prom.Desc) {
	c.stats.describe(out)
	if c.lags != nil {
		c.lags.describe(out)
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prom.Metric) {
	for _, metric := range c.join() {
		out <- metric
	}
}

// join returns the metrics of the current collection, or of one that it makes.
func (c *Collector) join() []prom.Metric {
	c.mu.Lock()
	if shared := c.current; shared != nil {
		c.mu.Unlock()
		<-shared.done
		return shared.metrics
	}
	own := &collection{done: make(chan struct{})}
	c.current = own
	c.mu.Unlock()
	// Deferred because Allow and Deny belong to the application and may panic: others must not wait for ever.
	defer func() {
		c.mu.Lock()
		c.current = nil
		c.mu.Unlock()
		close(own.done)
	}()
	own.metrics = c.read()
	return own.metrics
}

// read makes a collection.
func (c *Collector) read() []prom.Metric {
	stopped := []prom.Metric{c.stats.isRunning(false)}
	ctx := storage.Uncounted(context.Background())
	store := c.source.Store()
	if store == nil {
		return stopped
	}
	clusters, err := store.Clusters(ctx)
	if err != nil {
		// When the store is started it counts from 0 again, and zeros now would look like an empty store.
		return stopped
	}
	metrics := []prom.Metric{c.stats.isRunning(true)}
	if stats, err := c.source.Stats(); err == nil {
		metrics = c.stats.appendTo(metrics, stats)
	}
	if c.lags == nil {
		return metrics
	}
	if metrics, err = c.lags.appendTo(ctx, metrics, store, clusters); err != nil {
		return stopped // half of the groups would look like all of them
	}
	return metrics
}

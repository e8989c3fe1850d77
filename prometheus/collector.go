package prometheus

import (
	"context"
	"fmt"
	"iter"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// Source is where a Collector reads; *storage.Coordinator is one.
type Source interface {
	// Stats tells what the store holds and has done. An error leaves the statistics out.
	Stats() (storage.Stats, error)
	// Watch tells of changes in the store. An error makes the Collector list the groups at each collection.
	Watch(ctx context.Context, filter storage.WatchFilter) (iter.Seq[protocol.Event], error)
	// Store returns the typed API, nil where there is none yet. It is a pointer, another one for another store.
	Store() storage.Store
}

var _ Source = (*storage.Coordinator)(nil)

// Collector exports a store. It is a prometheus.Collector, safe for any number of goroutines. The Source may be configured,
// started, stopped and started again at any time, before and after the Collector was made.
//
// The Collector reads the store with the calls that anybody uses, so they count: one Clusters at each collection and, with
// lags, one Group for each group.
type Collector struct {
	source Source
	stats  *statsMetrics
	lags   *lagMetrics // nil where no lags are exported

	ctx    context.Context // done when Close is called
	cancel context.CancelFunc
}

var _ prom.Collector = (*Collector)(nil)

// New makes a Collector. It returns an error that says all that is wrong with the options.
func New(source Source, options Options) (*Collector, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("make collector: %w", err)
	}
	options = options.withDefaults()
	c := &Collector{source: source, stats: newStatsMetrics(options)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if options.Lags != nil {
		c.lags = newLagMetrics(source, options)
	}
	return c, nil
}

// Close ends what the Collector runs; from then on it exports nothing. It may be called again. Unregister the Collector
// first, or its series go stale only with the next collection.
func (c *Collector) Close() {
	c.cancel()
	if c.lags != nil {
		c.lags.feed.close()
	}
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
	if c.ctx.Err() != nil {
		return
	}
	store := c.source.Store()
	running := false
	if store != nil {
		_, err := store.Clusters(c.ctx)
		running = err == nil
	}
	c.stats.collectRunning(out, running)
	if !running {
		// The store counts from 0 again when it is started, and zeros now would look like a store that is empty.
		return
	}
	if stats, err := c.source.Stats(); err == nil {
		c.stats.collect(out, stats)
	}
	if c.lags != nil {
		c.lags.collect(c.ctx, out, store)
	}
}

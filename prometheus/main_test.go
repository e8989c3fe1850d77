package prometheus_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// TestMain fails if a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	leaktest.Main(m)
}

const cluster = "local"

// world is a running store and what a test does to it. It lives in a synctest bubble, whose clock begins at a fixed time.
type world struct {
	t           testing.TB
	settings    map[string]any
	coordinator *storage.Coordinator
	store       storage.Store
}

func newWorld(t testing.TB, settings map[string]any) *world {
	w := &world{t: t, settings: settings, coordinator: &storage.Coordinator{
		App:   &protocol.ApplicationContext{},
		Viper: viper.New(),
	}}
	w.coordinator.Viper.Set("cluster."+cluster+".class-name", "kafka")
	for key, value := range settings {
		w.coordinator.Viper.Set("storage.test."+key, value)
	}
	w.start()
	return w
}

func (w *world) start() {
	w.coordinator.Configure()
	require.NoError(w.t, w.coordinator.Start())
	w.store = w.coordinator.Store()
}

func (w *world) stop() { require.NoError(w.t, w.coordinator.Stop()) }

// wait lets time pass on the clock of the bubble, and what was due by then happen: the sweep, the tick of the store's clock.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func now() int64 { return time.Now().UnixMilli() }

// end stores the end offset of a partition, seen now.
func (w *world) end(topic string, partition int32, offset, logStart int64) {
	w.t.Helper()
	require.NoError(w.t, w.store.SetEndOffset(context.Background(), cluster, topic, protocol.EndOffset{
		Partition: partition, Offset: offset, Timestamp: now(), LogStartOffset: logStart,
	}))
}

// commit stores a commit, made now.
func (w *world) commit(group, topic string, partition int32, offset int64) {
	w.t.Helper()
	require.NoError(w.t, w.store.Commit(context.Background(), cluster, group, protocol.Commit{
		Topic: topic, Partition: partition, Offset: offset, Timestamp: now(),
	}))
}

// newCollector makes a Collector and a registry that has it.
func newCollector(t testing.TB, source lagprom.Source, options lagprom.Options) (*lagprom.Collector, *prom.Registry) {
	t.Helper()
	collector, err := lagprom.New(source, options)
	require.NoError(t, err)
	registry := prom.NewPedanticRegistry()
	require.NoError(t, registry.Register(collector))
	return collector, registry
}

// lint fails a test if the names of its metrics break Prometheus' conventions.
func lint(t testing.TB, registry prom.Gatherer) {
	t.Helper()
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// value returns the value of the one series of a metric with these labels; ok is false if there is none.
func value(t testing.TB, registry prom.Gatherer, metric string, labels map[string]string) (value float64, ok bool) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			has := make(map[string]string)
			for _, pair := range m.GetLabel() {
				has[pair.GetName()] = pair.GetValue()
			}
			for name, want := range labels {
				if has[name] != want {
					continue series
				}
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

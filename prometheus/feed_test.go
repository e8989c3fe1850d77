package prometheus_test

import (
	"context"
	"iter"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// deaf is a coordinator whose feed is lost: instead of each event it tells that it was missed, or it has no feed at all.
type deaf struct {
	*storage.Coordinator
	none bool
}

func (d deaf) Watch(ctx context.Context, filter storage.WatchFilter) (iter.Seq[protocol.Event], error) {
	if d.none {
		return nil, storage.ErrUnsupported
	}
	events, err := d.Coordinator.Watch(ctx, filter)
	return func(yield func(protocol.Event) bool) {
		for range events {
			if !yield(protocol.Event{Kind: protocol.EventMissed, Missed: 1}) {
				return
			}
		}
	}, err
}

func TestMissedEventsAndNoFeed(t *testing.T) {
	for _, none := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			defer w.stop()
			collector, registry := newCollector(t, deaf{w.coordinator, none}, lagprom.Options{Lags: &lagprom.LagOptions{}})
			defer collector.Close()
			groups, _ := exportedGroups(t, registry)
			assert.Empty(t, groups)
			w.end("orders", 0, 100, 0)
			w.commit("a", "orders", 0, 1)
			w.commit("b", "orders", 0, 1)
			synctest.Wait()
			groups, _ = exportedGroups(t, registry)
			assert.Equal(t, []string{"a", "b"}, groups)
			require.NoError(t, w.store.DeleteGroup(t.Context(), cluster, "a"))
			groups, _ = exportedGroups(t, registry)
			assert.Equal(t, []string{"b"}, groups, "whatever the feed has told")
			missed, _ := value(t, registry, "lagstore_exporter_missed_events_total", nil)
			assert.Equal(t, !none, missed > 0)
		})
	}
}

// The store may come and go under the Collector.
func TestFollowsAStoreThatIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.stop()
		collector, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		for range 3 {
			running, ok := value(t, registry, "lagstore_running", nil)
			assert.True(t, ok)
			assert.Zero(t, running)
			w.start()
			groups, _ := exportedGroups(t, registry)
			assert.Empty(t, groups)
			w.end("orders", 0, 100, 0)
			w.commit("a", "orders", 0, 1)
			synctest.Wait()
			groups, _ = exportedGroups(t, registry)
			assert.Equal(t, []string{"a"}, groups)
			w.stop()
		}
		w.start()
		defer w.stop()
		_, err := registry.Gather()
		require.NoError(t, err)
		collector.Close()
		collector.Close()
		assert.Zero(t, testutil.CollectAndCount(collector))
	})
}

func TestBeforeConfigure(t *testing.T) {
	collector, registry := newCollector(t, &storage.Coordinator{}, lagprom.Options{Lags: &lagprom.LagOptions{}})
	running, ok := value(t, registry, "lagstore_running", nil)
	assert.True(t, ok)
	assert.Zero(t, running)
	collector.Close()
}

// Collections, writers, deletions, a restart and Close at the same time: for the race detector, and for deadlocks.
func TestAllAtOnce(t *testing.T) {
	w := newWorld(t, map[string]any{"workers": 2})
	collector, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{MaxSeries: 40}})
	var running sync.WaitGroup
	quit := make(chan struct{})
	repeat := func(do func(n int64)) {
		running.Add(1)
		go func() {
			defer running.Done()
			for n := int64(0); ; n++ {
				select {
				case <-quit:
					return
				default:
					do(n)
				}
			}
		}()
	}
	ctx := t.Context()
	for range 2 {
		repeat(func(n int64) {
			store, group := w.coordinator.Store(), string(rune('a'+n%10))
			// Errors are those of a store that is stopped, or of what another writer has deleted.
			_ = store.SetEndOffset(ctx, cluster, "orders", protocol.EndOffset{Partition: int32(n % 3), Offset: n})
			_ = store.Commit(ctx, cluster, group, protocol.Commit{Topic: "orders", Partition: int32(n % 3), Offset: n, Timestamp: now()})
			if n%7 == 0 {
				_ = store.DeleteGroup(ctx, cluster, group)
			}
		})
	}
	for range 20 {
		var gathering sync.WaitGroup
		for range 3 {
			gathering.Add(1)
			go func() {
				defer gathering.Done()
				_, err := registry.Gather()
				assert.NoError(t, err)
			}()
		}
		gathering.Wait()
		if err := w.coordinator.Stop(); assert.NoError(t, err) {
			w.coordinator.Configure()
			assert.NoError(t, w.coordinator.Start())
		}
	}
	collector.Close()
	close(quit)
	running.Wait()
	w.stop()
}

package prometheus_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// The store may start and stop under the Collector.
func TestFollowsAStoreThatIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
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
	})
}

func TestBeforeConfigure(t *testing.T) {
	_, registry := newCollector(t, &storage.Coordinator{}, lagprom.Options{Lags: &lagprom.LagOptions{}})
	running, ok := value(t, registry, "lagstore_running", nil)
	assert.True(t, ok)
	assert.Zero(t, running)
}

// Collections, writers, deletions and restarts at the same time, for the race detector and to find deadlocks.
func TestAllAtOnce(t *testing.T) {
	w := newWorld(t, map[string]any{"workers": 2})
	_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{MaxSeries: 40}})
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
			// The errors are those of a stopped store, or of what another writer has deleted.
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
	close(quit)
	running.Wait()
	w.stop()
}

package prometheus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	lagprom "github.com/lagkeeper/storage/prometheus"
)

// exportedGroups are the groups that have series, sorted, and how many series of lags there are.
func exportedGroups(t testing.TB, registry prometheus.Gatherer) (groups []string, series int) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if !strings.Contains(family.GetName(), "_consumergroup_") {
			continue
		}
		for _, m := range family.GetMetric() {
			series++
			for _, pair := range m.GetLabel() {
				if pair.GetName() == "group" && !slices.Contains(groups, pair.GetValue()) {
					groups = append(groups, pair.GetValue())
				}
			}
		}
	}
	slices.Sort(groups)
	return groups, series
}

// Where there is no room for all, those that are shown stay, and the others are told of.
func TestMaxSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		for partition := range int32(4) {
			w.end("orders", partition, 100, 0)
		}
		w.commit("e", "orders", 0, 50)
		size := func() int {
			collector, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
			defer collector.Close()
			_, series := exportedGroups(t, registry)
			return series
		}() // of a group like e
		for _, group := range []string{"a", "b", "c", "d"} {
			w.commit(group, "orders", 0, 50)
		}
		collector, registry := newCollector(t, w.coordinator, lagprom.Options{
			Lags: &lagprom.LagOptions{MaxSeries: 3*size + 1},
		})
		defer collector.Close()
		check := func(wantGroups string, wantDropped int) {
			t.Helper()
			synctest.Wait()
			for range 2 {
				groups, series := exportedGroups(t, registry)
				assert.Equal(t, wantGroups, strings.Join(groups, ""))
				exported, _ := value(t, registry, "lagstore_exporter_series", nil)
				assert.EqualValues(t, series, exported)
				assert.LessOrEqual(t, series, 3*size+1)
				dropped, _ := value(t, registry, "lagstore_exporter_groups_dropped", nil)
				assert.EqualValues(t, wantDropped, dropped)
				droppedSeries, _ := value(t, registry, "lagstore_exporter_series_dropped", nil)
				assert.Equal(t, wantDropped > 0, droppedSeries > 0)
				assert.GreaterOrEqual(t, droppedSeries, float64(wantDropped*size))
			}
		}
		check("abc", 2)
		ctx := t.Context()
		// A newcomer, even one that is first by name, pushes out nobody.
		w.commit("A", "orders", 0, 50)
		check("abc", 3)
		// Room goes to who waits longest.
		require.NoError(t, w.store.DeleteGroup(ctx, cluster, "b"))
		check("acd", 2)
		// A group that comes back begins anew.
		w.commit("b", "orders", 0, 50)
		check("acd", 3)
		// A group that grows is shown as long as there is room; the newest goes.
		for partition := range int32(4) {
			w.commit("a", "orders", partition, 50)
		}
		check("a", 5)
		for _, group := range []string{"a", "c", "d"} {
			require.NoError(t, w.store.DeleteGroup(ctx, cluster, group))
		}
		check("Abe", 0)
		// One that never fits is left out, and keeps nobody else out.
		require.NoError(t, w.store.DeleteGroup(ctx, cluster, "e"))
		for topic := range 4 {
			name := fmt.Sprint("t", topic)
			w.end(name, 0, 100, 0)
			w.commit("huge", name, 0, 1)
		}
		w.commit("z", "orders", 0, 50)
		check("Abz", 1)
		// Until it holds fewer topics, and there is room.
		require.NoError(t, w.store.DeleteGroup(ctx, cluster, "b"))
		check("Az", 1)
		for _, topic := range []string{"t0", "t1", "t2"} {
			require.NoError(t, w.store.DeleteGroupTopic(ctx, cluster, "huge", topic))
		}
		check("Ahugez", 0)
	})
}

func TestAllowAndDeny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.end("orders", 0, 100, 0)
		w.end("secret", 0, 100, 0)
		for _, group := range []string{"billing", "test-1", "mailer"} {
			w.commit(group, "orders", 0, 1)
			w.commit(group, "secret", 0, 1)
		}
		collector, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{
			By:    lagprom.PerTopic,
			Allow: func(in, _, topic string) bool { return in == cluster && topic != "secret" },
			Deny:  func(_, group, _ string) bool { return strings.HasPrefix(group, "test-") },
		}})
		defer collector.Close()
		groups, _ := exportedGroups(t, registry)
		assert.Equal(t, []string{"billing", "mailer"}, groups)
		_, ok := value(t, registry, "lagstore_consumergroup_lag_messages", map[string]string{"topic": "secret"})
		assert.False(t, ok)
		dropped, _ := value(t, registry, "lagstore_exporter_groups_dropped", nil)
		assert.Zero(t, dropped, "nobody misses what was not wanted")
	})
}

package prometheus_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// exportedGroups returns the groups that have series, sorted, and the number of series of lags.
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

// Groups get room in the order of their names, each that still fits. What is shown depends only on what the store holds.
func TestMaxSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		for partition := range int32(4) {
			w.end("orders", partition, 100, 0)
		}
		// Room for the 10 series of the committed partition, and the states of the other three.
		const size = 13
		for _, group := range []string{"e", "d", "c", "b", "a"} {
			w.commit(group, "orders", 0, 50)
		}
		options := lagprom.Options{Lags: &lagprom.LagOptions{MaxSeries: 3*size + 1}}
		_, registry := newCollector(t, w.coordinator, options)
		check := func(wantGroups string, wantDropped int) {
			t.Helper()
			_, another := newCollector(t, w.coordinator, options)
			for _, r := range []*prometheus.Registry{registry, registry, another} {
				groups, series := exportedGroups(t, r)
				assert.Equal(t, wantGroups, strings.Join(groups, ""))
				exported, _ := value(t, r, "lagstore_exporter_series", nil)
				assert.EqualValues(t, series, exported)
				assert.LessOrEqual(t, series, 3*size+1)
				dropped, _ := value(t, r, "lagstore_exporter_groups_dropped", map[string]string{"reason": "max_series"})
				assert.EqualValues(t, wantDropped, dropped)
				dropped, _ = value(t, r, "lagstore_exporter_groups_dropped", map[string]string{"reason": "max_bytes"})
				assert.Zero(t, dropped)
			}
		}
		ctx := t.Context()
		check("abc", 2)
		require.NoError(t, w.store.DeleteGroup(ctx, cluster, "b"))
		check("acd", 1)
		w.commit("b", "orders", 0, 50)
		check("abc", 2)
		// A state with fewer series makes no room for another group, so that the same groups are shown when it ends.
		w.end("orders", 0, 3, 0)
		w.commit("c", "orders", 0, 1)
		check("abc", 2)
		w.end("orders", 0, 100, 0)
		// A group that does not fit is left out, and does not keep others out.
		for partition := range int32(4) {
			w.commit("a", "orders", partition, 50)
		}
		w.end("clicks", 0, 100, 0)
		w.commit("a", "clicks", 0, 50)
		check("bcd", 2)
		require.NoError(t, w.store.DeleteGroup(ctx, cluster, "a"))
		check("bcd", 1)
	})
}

// Names can be long, so the bytes of a scrape are bounded too.
func TestMaxBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		for partition := range int32(100) {
			w.end("orders", partition, 100, 0)
		}
		for group := range 5 {
			name := fmt.Sprint(group, strings.Repeat("\"", 32_000))
			for partition := range int32(100) {
				w.commit(name, "orders", partition, 50)
			}
		}
		w.commit("small", "orders", 0, 50)
		for _, by := range []lagprom.Aggregation{lagprom.PerPartition, lagprom.PerTopic} {
			_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{By: by}})
			families, err := registry.Gather()
			require.NoError(t, err)
			var b bytes.Buffer
			for _, family := range families {
				_, err := expfmt.MetricFamilyToText(&b, family)
				require.NoError(t, err)
			}
			assert.Less(t, b.Len(), 65<<20)
			dropped, _ := value(t, registry, "lagstore_exporter_groups_dropped", map[string]string{"reason": "max_bytes"})
			groups, _ := exportedGroups(t, registry)
			assert.Equal(t, 6-len(groups), int(dropped))
			assert.Contains(t, groups, "small", "a group that is left out takes no room")
			if by == lagprom.PerPartition {
				assert.Len(t, groups, 2, "one of the others takes 64 kB for each of 1,000 series")
			} else {
				assert.Len(t, groups, 6)
			}
		}

		// A scrape is never larger than MaxBytes, whatever the names are.
		for _, limit := range []int{1, 1000, 10_000, 100_000, 1_000_000} {
			_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{MaxBytes: limit, By: lagprom.PerTopic}})
			families, err := registry.Gather()
			require.NoError(t, err)
			written := 0
			for _, family := range families {
				if strings.Contains(family.GetName(), "_consumergroup_") {
					family.Help = nil
					var b bytes.Buffer
					_, err := expfmt.MetricFamilyToText(&b, family)
					require.NoError(t, err)
					written += b.Len() - len("# TYPE  gauge\n") - len(family.GetName())
				}
			}
			assert.LessOrEqual(t, written, limit)
			told, _ := value(t, registry, "lagstore_exporter_series_bytes", nil)
			assert.LessOrEqual(t, float64(written), told)
		}
	})
}

// A store that holds far more than is exported is not read whole.
func TestReadingStopsWhenNothingFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.end("orders", 0, 100, 0)
		for group := range 1000 {
			w.commit(fmt.Sprintf("%04d", group), "orders", 0, 50)
		}
		_, registry := newCollector(t, reading{w.coordinator, t, 250}, lagprom.Options{Lags: &lagprom.LagOptions{MaxSeries: 1000}})
		groups, _ := exportedGroups(t, registry)
		assert.Len(t, groups, 100)
		dropped, _ := value(t, registry, "lagstore_exporter_groups_dropped", map[string]string{"reason": "max_series"})
		assert.EqualValues(t, 900, dropped, "groups that were not read count too")
	})
}

// reading is a coordinator that limits how many groups may be read in each collection.
type reading struct {
	*storage.Coordinator
	t     *testing.T
	limit int
}

func (r reading) Store() storage.Store {
	return &readingStore{Store: r.Coordinator.Store(), reading: r}
}

type readingStore struct {
	storage.Store
	reading
	reads int
}

func (r *readingStore) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	r.reads++
	assert.LessOrEqual(r.t, r.reads, r.limit)
	return r.Store.Group(ctx, cluster, group, into)
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
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{
			By:    lagprom.PerTopic,
			Allow: func(in, _, topic string) bool { return in == cluster && topic != "secret" },
			Deny:  func(_, group, _ string) bool { return strings.HasPrefix(group, "test-") },
		}})
		groups, _ := exportedGroups(t, registry)
		assert.Equal(t, []string{"billing", "mailer"}, groups)
		_, ok := value(t, registry, "lagstore_consumergroup_lag_messages", map[string]string{"topic": "secret"})
		assert.False(t, ok)
		dropped, _ := value(t, registry, "lagstore_exporter_groups_dropped", nil)
		assert.Zero(t, dropped, "groups that Allow excludes are not counted as dropped")
	})
}

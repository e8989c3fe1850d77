package prometheus_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
)

// page returns everything that a registry exports.
func page(t *testing.T, registry prom.Gatherer) string {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	var b strings.Builder
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&b, family)
		require.NoError(t, err)
	}
	return b.String()
}

// numbers calls do with each number and each bool in a struct, by its path.
func numbers(path string, v reflect.Value, do func(path string, v reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[storage.RequestStats]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			numbers(path+"."+v.Type().Field(i).Name, v.Field(i), do)
		}
	default:
		do(path, v)
	}
}

// Every statistic is exported: a change of any number changes the page.
func TestEveryStatisticIsExported(t *testing.T) {
	source := &counted{store: &clustersOnly{}}
	source.stats.Snapshots.Last = time.UnixMilli(1_700_000_000_500)
	source.stats.Remote.MostCalls = 1
	source.stats.Relay.AbandonedReplies = 100
	_, registry := newCollector(t, source, lagprom.Options{})
	before := page(t, registry)
	count := 0
	numbers("Stats", reflect.ValueOf(&source.stats).Elem(), func(path string, v reflect.Value) {
		old := reflect.ValueOf(v.Interface())
		switch {
		case v.CanUint():
			v.SetUint(v.Uint() + 7)
		case v.CanInt():
			v.SetInt(v.Int() + 7)
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		default:
			require.Failf(t, "a statistic of an unknown type", "%s is a %s", path, v.Type())
		}
		assert.NotEqual(t, before, page(t, registry), path)
		v.Set(old)
		count++
	})
	assert.Greater(t, count, 30)
	assert.Equal(t, before, page(t, registry))
}

// The README describes every metric.
func TestEveryStatisticIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	source := &counted{store: &clustersOnly{}}
	source.stats.Snapshots.Last = time.UnixMilli(1_700_000_000_500)
	source.stats.Remote.MostCalls = 1
	_, registry := newCollector(t, source, lagprom.Options{})
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		assert.Contains(t, string(readme), "`"+strings.TrimPrefix(family.GetName(), "lagstore_")+"`")
	}
}

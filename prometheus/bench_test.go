package prometheus_test

import (
	"fmt"
	"testing"

	prom "github.com/prometheus/client_golang/prometheus"

	lagprom "github.com/lagkeeper/storage/prometheus"
)

// BenchmarkCollect collects 1,000 groups with 10 partitions each: all of them, by topic, and with room for few.
func BenchmarkCollect(b *testing.B) {
	w := newWorld(b, nil)
	defer w.stop()
	for partition := range int32(10) {
		w.end("orders", partition, 100, 0)
	}
	for group := range 1000 {
		for partition := range int32(10) {
			w.commit(fmt.Sprint("group-", group), "orders", partition, 50)
		}
	}
	for name, lags := range map[string]*lagprom.LagOptions{
		"statistics":   nil,
		"perPartition": {},
		"perTopic":     {By: lagprom.PerTopic},
		"capped":       {MaxSeries: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			collector, _ := newCollector(b, w.coordinator, lagprom.Options{Lags: lags})
			b.ReportAllocs()
			for b.Loop() {
				metrics := make(chan prom.Metric, 1024)
				go func() {
					defer close(metrics)
					collector.Collect(metrics)
				}()
				for range metrics {
				}
			}
		})
	}
}

package prometheus_test

import (
	"context"
	"fmt"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// A store is exported with the lags of its groups, one series for each topic of a group.
func Example() {
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	if err != nil {
		panic(err)
	}
	defer db.Close()

	collector, err := lagprom.New(lagprom.Of(db), lagprom.Options{
		Lags: &lagprom.LagOptions{By: lagprom.PerTopic, MaxSeries: 10_000},
	})
	if err != nil {
		panic(err)
	}
	registry := prom.NewRegistry()
	registry.MustRegister(collector)

	ctx, now := context.Background(), time.Now().UnixMilli()
	end := protocol.EndOffset{TopicPartitionCount: 1, Offset: 120, Timestamp: now}
	if err := db.SetEndOffset(ctx, "local", "orders", end); err != nil {
		panic(err)
	}
	commit := protocol.Commit{Topic: "orders", Offset: 100, Timestamp: now}
	if err := db.Commit(ctx, "local", "billing", commit); err != nil {
		panic(err)
	}

	families, err := registry.Gather() // a program serves promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) instead
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if family.GetName() == "lagstore_consumergroup_lag_messages" {
			fmt.Println(family.GetMetric()[0].GetGauge().GetValue(), "messages behind")
		}
	}
	// Output: 20 messages behind
}

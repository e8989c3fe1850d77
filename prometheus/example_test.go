package prometheus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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
		Lags: &lagprom.LagOptions{By: lagprom.PerTopic, MaxSeries: 10_000}, // nil for no lags
	})
	if err != nil {
		panic(err)
	}
	registry := prom.NewRegistry()
	registry.MustRegister(collector)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", lagprom.NewHandler(registry, 16)) // at most 16 requests at once

	ctx, now := context.Background(), time.Now().UnixMilli()
	end := protocol.EndOffset{TopicPartitionCount: 1, Offset: 120, Timestamp: now}
	if err := db.SetEndOffset(ctx, "local", "orders", end); err != nil {
		panic(err)
	}
	commit := protocol.Commit{Topic: "orders", Offset: 100, Timestamp: now}
	if err := db.Commit(ctx, "local", "billing", commit); err != nil {
		panic(err)
	}

	page := httptest.NewRecorder()
	mux.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "lagstore_consumergroup_lag_messages") {
			fmt.Print(line)
		}
	}
	// Output: lagstore_consumergroup_lag_messages{cluster="local",group="billing",topic="orders"} 20
}

// Package prometheus exports a store of github.com/lagkeeper/storage to Prometheus: what the store holds and does and, on
// request, how far the consumer groups are behind.
//
//	collector, err := lagprom.New(coordinator, lagprom.Options{Lags: &lagprom.LagOptions{MaxSeries: 50_000}})
//	if err != nil { … }
//	registry.MustRegister(collector)
//
// A Collector works with any registry. NewHandler makes an http.Handler whose cost does not grow with the number of slow
// clients.
//
// README.md lists the metrics. Three things hold for all of them:
//
//   - What is not known is not exported: there is no 0 that looks healthy. If the lag of a group on a partition cannot be
//     trusted, all there is of it is the series that says so, lagstore_consumergroup_state.
//   - What was deleted or has expired is not exported again: the groups are listed anew at every collection.
//   - No writer of the store waits for a collection for longer than it takes to copy one group, or to count what a few
//     hundred hold.
package prometheus

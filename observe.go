package storage

import (
	"context"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

type uncountedKey struct{}

// Uncounted returns a context with which the reads of a Store do not count as requests in Stats. It is for what watches a
// store from outside, as an exporter of its metrics does: what it reads at its own pace would hide what the application asks.
// Writes count whatever the context.
func Uncounted(ctx context.Context) context.Context {
	return context.WithValue(ctx, uncountedKey{}, true)
}

// count counts the outcome of a request, unless it is a read that is not to count, and returns it as an error.
func count(ctx context.Context, e *engine.Engine, request protocol.StorageRequestConstant, why engine.Reason) error {
	if isRead(request) && ctx.Value(uncountedKey{}) != nil {
		return errorOf(why)
	}
	return errorOf(e.Count(request, why))
}

func isRead(request protocol.StorageRequestConstant) bool {
	switch request {
	case protocol.StorageFetchClusters, protocol.StorageFetchConsumers, protocol.StorageFetchTopics,
		protocol.StorageFetchConsumer, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		return true
	default:
		return false
	}
}

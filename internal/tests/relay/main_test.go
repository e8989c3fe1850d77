package relay_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestMain gives the tests two processors: with one, requests are never queued, and form no runs.
func TestMain(m *testing.M) {
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
	leaktest.Main(m)
}

// backend is a store whose fetches are answered by a test.
type backend struct {
	storage.Backend
	fetch func(*protocol.StorageRequest) (func() any, error)
}

func (b backend) Fetch(ctx context.Context, r *protocol.StorageRequest) (func() any, error) {
	return b.fetch(r)
}

// relayOf starts a Relay whose answers are built by build, and returns it with its log. The caller stops it.
func relayOf(build func(*protocol.StorageRequest) any, options storage.RelayOptions) (*storage.Relay, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	r := storage.NewRelay(backend{fetch: func(r *protocol.StorageRequest) (func() any, error) {
		request := *r
		return func() any { return build(&request) }, nil
	}}, zap.New(core), options)
	r.Start()
	return r, logs
}

func fetch(r *storage.Relay, group string) chan any {
	reply := make(chan any)
	r.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: testkit.Cluster, Group: group, Reply: reply}
	return reply
}

// read returns what is sent on a Reply, which must then be closed.
func read(t *testing.T, reply chan any) any {
	t.Helper()
	value, open := <-reply
	if open {
		_, again := <-reply
		require.False(t, again, "a second answer")
	}
	return value
}

func now() int64 { return time.Now().UnixMilli() }

package storage

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	shared "github.com/lagkeeper/storage/protocol"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/metrics"
)

// More at once than the feed holds is found out by asking.
func TestSeriesAreRetiredAfterMissedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		viper.Reset()
		defer viper.Reset()
		viper.Set("cluster.testcluster.class-name", "kafka")
		inner := &storage.Coordinator{App: &shared.ApplicationContext{StorageChannel: make(chan *shared.StorageRequest)}}
		inner.Configure()
		require.NoError(t, inner.Start())
		defer func() { assert.NoError(t, inner.Stop()) }()
		ctx := t.Context()
		require.NoError(t, inner.Store().SetEndOffset(ctx, "testcluster", "orders", shared.EndOffset{Offset: 10}))
		lags := new(metrics.Lags)
		for _, group := range []string{"held", "gone"} {
			lags.Set(metrics.Series{Cluster: "testcluster", Group: group, Topic: "orders"}, 9)
			lags.Set(metrics.Series{Cluster: "testcluster", Group: group, Topic: "clicks"}, 9)
		}
		require.NoError(t, inner.Store().Commit(ctx, "testcluster", "held", shared.Commit{
			Topic: "orders", Offset: 1, Timestamp: time.Now().UnixMilli(),
		}))
		keepHeld(ctx, inner.Store(), lags)
		assert.Equal(t, map[metrics.Series]uint64{{Cluster: "testcluster", Group: "held", Topic: "orders"}: 9}, lags.Values())
		require.NoError(t, inner.Stop())
		keepHeld(ctx, inner.Store(), lags)
		assert.Len(t, lags.Values(), 1, "nobody is there to ask")
	})
}

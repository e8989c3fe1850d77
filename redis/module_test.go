package lagredis_test

import (
	"context"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

func TestModuleNamesEveryFaultOfItsKeys(t *testing.T) {
	v := viper.New()
	for key, value := range map[string]any{
		"addresses": "redis1", "replica-address": "redis2", "replica-max-age": -1, "cache-bytes": 1000, "buckets": 0, "timeout": 0,
	} {
		v.Set("storage.test."+key, value)
	}
	module := &lagredis.Module{App: new(protocol.ApplicationContext), Log: zap.NewNop(), Viper: v}
	defer func() {
		text, _ := recover().(string)
		for _, key := range []string{"addresses", "replica-address", "replica-max-age", "cache-bytes", "buckets", "timeout"} {
			require.Contains(t, text, "storage.test."+key)
		}
	}()
	module.Configure("test", "storage.test")
}

// The keys reach the store: it reads from the replica that is configured.
func TestModuleReadsFromReplica(t *testing.T) {
	servers := redistest.Replicated(t)
	v := viper.New()
	for key, value := range map[string]any{
		"addresses": servers.Addresses()[:1], "replica-address": servers.Addresses()[1], "replica-max-age": 60, "cache-bytes": 1 << 20,
		"key-prefix": freshPrefix(), "buckets": 4, "timeout": int(patience.Seconds()),
	} {
		v.Set("storage.test."+key, value)
	}
	v.Set("cluster.local.class-name", "kafka")
	module := &lagredis.Module{App: new(protocol.ApplicationContext), Log: zap.NewNop(), Viper: v}
	module.Configure("test", "storage.test")
	require.NoError(t, module.Start())
	defer func() { require.NoError(t, module.Stop()) }()
	until(t, func() bool {
		_, err := module.Store().Groups(context.Background(), "local")
		require.NoError(t, err)
		return statsOf(t, module).Remote.ReplicaReads > 0
	})
}

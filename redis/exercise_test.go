package lagredis_test

import (
	"testing"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
	"github.com/lagkeeper/storage/storagetest"
)

// factory returns a factory of modules that share only the servers.
func factory(servers *redistest.Servers, own map[string]any) storagetest.Factory {
	return func(t *testing.T, config storagetest.Config) storage.Module {
		t.Cleanup(outlastClient)
		v := viper.New()
		v.Set("storage.test.class-name", "redis")
		v.Set("storage.test.addresses", servers.Addresses())
		v.Set("storage.test.key-prefix", freshPrefix())
		v.Set("storage.test.timeout", int(patience.Seconds()))
		for _, settings := range []map[string]any{own, config.Settings} {
			for key, value := range settings {
				v.Set("storage.test."+key, value)
			}
		}
		for _, cluster := range config.Clusters {
			v.Set("cluster."+cluster+".class-name", "kafka")
		}
		module := &lagredis.Module{
			App: &protocol.ApplicationContext{Logger: zap.NewNop()}, Log: zap.NewNop(), Viper: v, Dial: redistest.DialInBubble,
		}
		module.Configure("test", "storage.test")
		return module
	}
}

// outlastClient lets the time of a bubble pass that the client of Redis needs: it closes an unused connection five seconds later, and
// no goroutine may outlive a bubble. Outside of a bubble nothing has to wait for that.
func outlastClient() {
	if now := time.Now(); now.Year() == 2000 {
		time.Sleep(6 * time.Second)
	}
}

// TestExerciseSingleNode runs the suite that all modules pass, including the recorded traces, against one server.
func TestExerciseSingleNode(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, factory(redistest.Single(t), nil))
}

// racing reports whether the race detector is on.
var racing bool

// TestExerciseCluster runs the same suite against a cluster. A list asks every bucket; fewer buckets than the default keep the run
// short, and every node still has some.
func TestExerciseCluster(t *testing.T) {
	if racing {
		t.Skip("the race detector watches the suite with a single node, and the tests of failover with a cluster")
	}
	t.Parallel()
	storagetest.Exercise(t, factory(redistest.Cluster(t, 3, 1), map[string]any{"buckets": 12}))
}

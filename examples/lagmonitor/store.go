package main

import (
	"fmt"
	"sync"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
)

// registerRedis registers the class redis, which a configuration can then name. Any other class is registered in the same way, and
// nothing else changes.
var registerRedis = sync.OnceValue(lagredis.Register)

// newStore configures a store of the class that the configuration names, as any embedding application does. It returns the faults of
// the configuration.
func newStore(v *viper.Viper, logger *zap.Logger) (_ *storage.Coordinator, wrong faults) {
	if err := registerRedis(); err != nil {
		wrong.add("%v", err)
	}
	level := zap.NewAtomicLevelAt(zap.WarnLevel)
	app := &protocol.ApplicationContext{Logger: logger, LogLevel: &level, ConfigurationValid: true}
	coordinator := &storage.Coordinator{App: app, Log: logger, Viper: v}
	defer func() {
		// Configure reports faults only by a panic.
		if refused := recover(); refused != nil {
			wrong.add("%v", refused)
		}
	}()
	coordinator.Configure()
	if coordinator.Store() == nil {
		wrong.add("storage configuration: a store of this class has no typed API, which the monitor needs")
	}
	return coordinator, wrong
}

// restored describes the snapshot that a store was restored from, "" if there was none.
func restored(coordinator *storage.Coordinator) string {
	store, err := coordinator.Persistent()
	if err != nil {
		return ""
	}
	from := store.Restored()
	if from.File == "" {
		return ""
	}
	return fmt.Sprintf("restored %d groups and %d topics from a snapshot of %s", from.Groups, from.Topics, from.Watermark.Format("15:04:05"))
}

// window returns the number of commits per partition that the store keeps.
func window(v *viper.Viper) int {
	for name := range v.GetStringMap("storage") {
		if n := v.GetInt("storage." + name + ".intervals"); n > 0 {
			return n
		}
	}
	return kafkafeed.DefaultWindow
}

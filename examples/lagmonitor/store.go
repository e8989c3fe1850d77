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

// registerRedis makes the class redis known, which a configuration can name. A class of your own is registered in the same
// way, and nothing else changes.
var registerRedis = sync.OnceValue(lagredis.Register)

// newStore configures a store of the class that the configuration names, as an application does that embeds it. It returns
// what is wrong with the configuration.
func newStore(v *viper.Viper, logger *zap.Logger) (_ *storage.Coordinator, wrong faults) {
	if err := registerRedis(); err != nil {
		wrong.add("%v", err)
	}
	level := zap.NewAtomicLevelAt(zap.WarnLevel)
	app := &protocol.ApplicationContext{Logger: logger, LogLevel: &level, ConfigurationValid: true}
	coordinator := &storage.Coordinator{App: app, Log: logger, Viper: v}
	defer func() {
		// Configure has no other way to say it.
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

// restored says where a store began that was restored from a snapshot, "" for one that was not.
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

// window is how many commits of a partition the store keeps.
func window(v *viper.Viper) int {
	for name := range v.GetStringMap("storage") {
		if n := v.GetInt("storage." + name + ".intervals"); n > 0 {
			return n
		}
	}
	return kafkafeed.DefaultWindow
}

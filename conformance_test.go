package storage_test

import (
	"testing"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// TestConformance runs the suite of all modules against the one in memory.
func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, inMemory)
}

// TestConformanceCoordinator runs it against a Coordinator, whose StorageChannel obeys the same contract.
func TestConformanceCoordinator(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, coordinated)
}

// TestConformanceForeign runs it against a Coordinator whose module takes requests over its channel alone, as a module of
// another Go module may.
func TestConformanceForeign(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, foreign)
}

// configuration returns a viper of its own with one module, called "test", and some clusters.
func configuration(config storagetest.Config) *viper.Viper {
	v := viper.New()
	v.Set("storage.test.class-name", "inmemory")
	for key, value := range config.Settings {
		v.Set("storage.test."+key, value)
	}
	for _, cluster := range config.Clusters {
		v.Set("cluster."+cluster+".class-name", "kafka")
	}
	return v
}

// inMemory makes a module without a Coordinator.
func inMemory(_ *testing.T, config storagetest.Config) storage.Module {
	app := &protocol.ApplicationContext{Logger: zap.NewNop()}
	m := &storage.InMemoryStorage{App: app, Log: zap.NewNop(), Viper: configuration(config)}
	m.Configure("test", "storage.test")
	return m
}

// newCoordinator makes and configures a Coordinator with a channel without room.
func newCoordinator(config storagetest.Config) *storage.Coordinator {
	c := &storage.Coordinator{
		App: &protocol.ApplicationContext{
			Logger:         zap.NewNop(),
			StorageChannel: make(chan *protocol.StorageRequest),
		},
		Log:   zap.NewNop(),
		Viper: configuration(config),
	}
	c.Configure()
	return c
}

// asModule lets the suite take a Coordinator for a module: its channel is the application's.
type asModule struct {
	*storage.Coordinator
}

func (m asModule) Configure(string, string) { m.Coordinator.Configure() }

func (m asModule) GetCommunicationChannel() chan *protocol.StorageRequest {
	return m.App.StorageChannel
}

func coordinated(_ *testing.T, config storagetest.Config) storage.Module {
	return asModule{newCoordinator(config)}
}

// channelOnly is a module that has nothing but what Module asks for.
type channelOnly struct {
	storage.Module
}

func init() {
	err := storage.Register("channel-only", func(
		app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper,
	) storage.Module {
		return channelOnly{&storage.InMemoryStorage{App: app, Log: log, Viper: v}}
	})
	if err != nil {
		panic(err)
	}
}

func foreign(t *testing.T, config storagetest.Config) storage.Module {
	t.Helper()
	settings := map[string]any{"class-name": "channel-only"}
	for key, value := range config.Settings {
		settings[key] = value
	}
	return asModule{newCoordinator(storagetest.Config{Settings: settings, Clusters: config.Clusters})}
}

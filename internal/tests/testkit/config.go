package testkit

import (
	"testing"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// Configuration returns a viper of its own with one module, called "test", and some clusters.
func Configuration(config storagetest.Config) *viper.Viper {
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

// InMemory makes a module without a Coordinator. It is a storagetest.Factory and needs no t.
func InMemory(_ *testing.T, config storagetest.Config) storage.Module {
	app := &protocol.ApplicationContext{Logger: zap.NewNop()}
	m := &storage.InMemoryStorage{App: app, Log: zap.NewNop(), Viper: Configuration(config)}
	m.Configure("test", "storage.test")
	return m
}

// NewCoordinator makes and configures a Coordinator with an unbuffered channel.
func NewCoordinator(config storagetest.Config) *storage.Coordinator {
	c := &storage.Coordinator{
		App: &protocol.ApplicationContext{
			Logger:         zap.NewNop(),
			StorageChannel: make(chan *protocol.StorageRequest),
		},
		Log:   zap.NewNop(),
		Viper: Configuration(config),
	}
	c.Configure()
	return c
}

// AsModule lets the suite use a Coordinator as a module: its channel is the application's.
type AsModule struct {
	*storage.Coordinator
}

// Configure ignores its arguments: a Coordinator has no name of its own.
func (m AsModule) Configure(string, string) { m.Coordinator.Configure() }

// GetCommunicationChannel returns the StorageChannel of the application.
func (m AsModule) GetCommunicationChannel() chan *protocol.StorageRequest {
	return m.App.StorageChannel
}

// Centuries are 285 years in seconds: the longest age that fits in a time.Duration. With it, timestamps can be more than an
// int64 apart.
const Centuries = 9_000_000_000

// Config keeps three of everything; settings are pairs of a key and its value.
func Config(settings ...any) storagetest.Config {
	config := storagetest.Config{Settings: map[string]any{"intervals": 3}, Clusters: contract.GeneratorClusters}
	for i := 0; i < len(settings); i += 2 {
		config.Settings[settings[i].(string)] = settings[i+1]
	}
	return config
}

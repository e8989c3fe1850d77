package config_test

import (
	"path/filepath"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// live leads a store through its life cycle, with a warning, a failed start, a dropped request and a snapshot.
func live(t *testing.T, c *storage.Coordinator) {
	t.Helper()
	v := viper.New()
	c.Viper = v
	v.Set("cluster.local.class-name", "kafka")
	v.Set("storage.mine.group-whitelist", ".*")
	v.Set("storage.mine.no-such-key", 1)
	v.Set("storage.mine.snapshot-path", filepath.Join(t.TempDir(), "missing", "snapshot"))
	require.Error(t, c.Start(), "not configured")
	c.Configure()
	require.Error(t, c.Start(), "no such directory")
	v.Set("storage.mine.snapshot-path", filepath.Join(t.TempDir(), "snapshot"))
	c.Configure()
	require.NoError(t, c.Start())
	require.Error(t, c.Start(), "already running")
	c.App.StorageChannel <- nil
	c.App.StorageChannel <- &protocol.StorageRequest{RequestType: 99, Cluster: "local"}
	c.App.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "group", Topic: "topic",
	}
	reply := make(chan interface{})
	c.App.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}
	require.Equal(t, []string{"local"}, <-reply)
	require.NoError(t, c.Stop())
}

// TestNoFieldTwice has loggers with the fields of an application, wherever they can be set.
func TestNoFieldTwice(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	base := zap.New(core)
	own := base.With(zap.String("type", "coordinator"), zap.String("name", "storage"))
	for name, c := range map[string]*storage.Coordinator{
		"app":  {App: &protocol.ApplicationContext{Logger: own}},
		"log":  {App: &protocol.ApplicationContext{}, Log: own},
		"both": {App: &protocol.ApplicationContext{Logger: base}, Log: own},
	} {
		live(t, c)
		lines := logs.TakeAll()
		require.Greater(t, len(lines), 8, name)
		failed := 0
		for _, line := range lines {
			seen := map[string]bool{}
			for _, field := range line.Context {
				require.False(t, seen[field.Key], "%s: %q: %s twice", name, line.Message, field.Key)
				seen[field.Key] = true
			}
			require.True(t, seen["type"] && seen["name"], "%s: %q is not from the application's logger", name, line.Message)
			if line.Message == "start failed" {
				failed++
			}
		}
		require.Equal(t, 3, failed, "each failed Start is logged once")
		require.Equal(t, name == "both" || name == "log", c.Log != nil, "the application's fields are left unchanged")
	}
}

func TestNoLogger(t *testing.T) {
	t.Parallel()
	live(t, &storage.Coordinator{App: &protocol.ApplicationContext{}})
}

// TestFailedStartOfModule has a module without a Coordinator: it logs its own failure.
func TestFailedStartOfModule(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	m := &storage.InMemoryStorage{App: &protocol.ApplicationContext{Logger: zap.New(core)}, Viper: viper.New()}
	require.Error(t, m.Start())
	require.Equal(t, 1, logs.FilterMessage("start failed").FilterLevelExact(zap.ErrorLevel).Len())
}

// panicking is a core whose methods all panic, or all except those before Write.
type panicking struct {
	zapcore.Core
	onlyWrite bool
}

func (p panicking) Enabled(zapcore.Level) bool {
	if !p.onlyWrite {
		panic("Enabled")
	}
	return true
}

func (p panicking) With([]zapcore.Field) zapcore.Core {
	if !p.onlyWrite {
		panic("With")
	}
	return p
}

func (p panicking) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !p.onlyWrite {
		panic("Check")
	}
	return checked.AddCore(entry, p)
}

func (p panicking) Write(zapcore.Entry, []zapcore.Field) error { panic("Write") }

func TestLoggerThatPanics(t *testing.T) {
	t.Parallel()
	core, _ := observer.New(zap.DebugLevel)
	for _, log := range []*zap.Logger{
		zap.New(panicking{}), zap.New(panicking{onlyWrite: true}),
		zap.New(core, zap.Hooks(func(zapcore.Entry) error { panic("hook") })),
		zap.New(zapcore.NewTee(core, panicking{onlyWrite: true}), zap.AddCaller(), zap.AddStacktrace(zap.DebugLevel)),
	} {
		live(t, &storage.Coordinator{App: &protocol.ApplicationContext{}, Log: log})
		live(t, &storage.Coordinator{App: &protocol.ApplicationContext{Logger: log}})
	}
}

// TestCallerAndSampling checks that a logger's callers, stacks and sampling are kept.
func TestCallerAndSampling(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	live(t, &storage.Coordinator{App: &protocol.ApplicationContext{}, Log: zap.New(core, zap.AddCaller())})
	for _, line := range logs.TakeAll() {
		require.True(t, line.Caller.Defined, line.Message)
		require.GreaterOrEqual(t, line.Level, zap.InfoLevel)
	}
	dropped := zapcore.NewSamplerWithOptions(core, 1<<62, 0, 0)
	live(t, &storage.Coordinator{App: &protocol.ApplicationContext{}, Log: zap.New(dropped)})
	require.Empty(t, logs.TakeAll())
}

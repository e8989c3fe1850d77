// Package contract holds docs/contract.md in executable form: a naive model of a store, recorded traces, generators of
// requests, and the suite that package storagetest offers to authors of modules.
package contract

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// Config is the configuration that a case needs: storagetest.Config, which this package cannot import.
type Config struct {
	Settings map[string]any
	Clusters []string
}

// Configuration is any type that a Config can be converted to.
type Configuration interface {
	~struct {
		Settings map[string]any
		Clusters []string
	}
}

// Factory is a storagetest.Factory.
type Factory func(t *testing.T, config Config) storage.Module

// factoryOf returns a factory that takes a Config.
func factoryOf[C Configuration](factory func(*testing.T, C) storage.Module) Factory {
	return func(t *testing.T, config Config) storage.Module { return factory(t, C(config)) }
}

// hangGuard limits calls that must not wait for ever, so that a hang fails with a message. It measures nothing.
const hangGuard = 10 * time.Minute

// Exercise runs the whole suite against the modules of a factory.
func Exercise[C Configuration](t *testing.T, of func(*testing.T, C) storage.Module) {
	t.Helper()
	factory := factoryOf(of)
	t.Run("traces", func(t *testing.T) { exerciseTraces(t, factory) })
	t.Run("end offsets", func(t *testing.T) { exerciseEndOffsets(t, factory) })
	t.Run("dropped commits", func(t *testing.T) { exerciseDrops(t, factory) })
	t.Run("window", func(t *testing.T) { exerciseWindow(t, factory) })
	t.Run("min-distance", func(t *testing.T) { exerciseMinDistance(t, factory) })
	t.Run("group", func(t *testing.T) { exerciseGroup(t, factory) })
	t.Run("judgement", func(t *testing.T) {
		exerciseJudgement(t, factory)
		exerciseJudgementInTime(t, factory)
	})
	t.Run("owners", func(t *testing.T) { exerciseOwners(t, factory) })
	t.Run("deletes", func(t *testing.T) { exerciseDeletes(t, factory) })
	t.Run("names", func(t *testing.T) { exerciseNames(t, factory) })
	t.Run("replies", func(t *testing.T) { exerciseReplies(t, factory) })
	t.Run("order", func(t *testing.T) { exerciseOrder(t, factory) })
	t.Run("time", func(t *testing.T) { exerciseTime(t, factory) })
	t.Run("lifecycle", func(t *testing.T) { exerciseLifecycle(t, factory) })
	t.Run("commit log", func(t *testing.T) { exerciseCommitLog(t, factory) })
	t.Run("typed", func(t *testing.T) { exerciseTyped(t, factory) })
}

// subject is a module under test.
type subject struct {
	module  storage.Module
	channel chan *protocol.StorageRequest
	// store is nil if the module has no typed API.
	store  storage.Backend
	config Config
}

// start makes and starts a module, and stops it when the test ends.
func start(t *testing.T, factory Factory, config Config) *subject {
	t.Helper()
	s := prepare(t, factory, config)
	require.NoError(t, s.module.Start())
	t.Cleanup(func() { stop(t, s.module) })
	s.open()
	return s
}

// prepare makes a module without starting it.
func prepare(t *testing.T, factory Factory, config Config) *subject {
	t.Helper()
	module := factory(t, config)
	require.NotNil(t, module, "the factory made no module")
	return &subject{module: module, config: config}
}

// open uses the interfaces of a module that has been started.
func (s *subject) open() {
	s.channel = s.module.GetCommunicationChannel()
	if typed, ok := s.module.(storage.StoreSource); ok {
		s.store, _ = typed.Store().(storage.Backend)
	}
}

// stop stops a module, and fails the test if that returns an error or hangs.
func stop(t *testing.T, module protocol.Module) {
	t.Helper()
	stopped := make(chan error, 1)
	go func() { stopped <- module.Stop() }()
	select {
	case err := <-stopped:
		require.NoError(t, err)
	case <-time.After(hangGuard):
		require.FailNow(t, "Stop does not return")
	}
}

// with returns a configuration with one key changed.
func (c Config) with(key string, value any) Config {
	settings := map[string]any{key: value}
	for k, v := range c.Settings {
		if k != key {
			settings[k] = v
		}
	}
	return Config{Settings: settings, Clusters: c.Clusters}
}

func (c Config) int(key string, otherwise int) int {
	switch value := c.Settings[key].(type) {
	case nil:
		return otherwise
	case int:
		return value
	default:
		panic(fmt.Sprintf("setting %s is a %T; tests set whole numbers as int", key, value))
	}
}

// expression compiles the first of the keys that is set; nil if none is.
func (c Config) expression(keys ...string) *regexp.Regexp {
	for _, key := range keys {
		if text, _ := c.Settings[key].(string); text != "" {
			return regexp.MustCompile(text)
		}
	}
	return nil
}

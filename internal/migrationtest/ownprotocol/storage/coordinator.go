// Package storage stands where the application's storage subsystem stood and keeps its shape; the library does the work.
package storage

import (
	"errors"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	shared "github.com/lagkeeper/storage/protocol"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/protocol"
)

// Coordinator gives the library the part of the application's context that it needs.
type Coordinator struct {
	App *protocol.ApplicationContext
	Log *zap.Logger

	inner *storage.Coordinator // made by Configure
}

// Configure reads the configuration. The context must have its StorageChannel by now.
func (c *Coordinator) Configure() {
	c.inner = &storage.Coordinator{
		App: &shared.ApplicationContext{
			Logger:         c.App.Logger,
			LogLevel:       c.App.LogLevel,
			StorageChannel: c.App.StorageChannel,
		},
		Log: c.Log,
	}
	c.inner.Configure()
}

// Start starts the store.
func (c *Coordinator) Start() error {
	if c.inner == nil {
		return errors.New("start storage: not configured")
	}
	return c.inner.Start()
}

// Stop stops the store; it is safe twice, and before Start.
func (c *Coordinator) Stop() error {
	if c.inner == nil {
		return nil
	}
	return c.inner.Stop()
}

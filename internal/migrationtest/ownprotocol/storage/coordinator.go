// Package storage stands where the application's storage subsystem stood and keeps its shape; the library does the work.
package storage

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	shared "github.com/lagkeeper/storage/protocol"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/metrics"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/protocol"
)

// Coordinator gives the library the part of the application's context that it needs.
type Coordinator struct {
	App *protocol.ApplicationContext
	Log *zap.Logger
	// Lags are the series that the application exports; nil if it exports none.
	Lags *metrics.Lags

	inner        *storage.Coordinator // made by Configure
	stopRetiring context.CancelFunc   // made by Start, as is retired
	retired      <-chan struct{}      // closed when no more series are retired; nil if none are
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

// Start starts the store, and the retiring of series.
func (c *Coordinator) Start() error {
	if c.inner == nil {
		return errors.New("start storage: not configured")
	}
	if c.Lags == nil {
		return c.inner.Start()
	}
	ctx, cancel := context.WithCancel(context.Background())
	retired, err := retire(ctx, c.inner, c.Lags)
	if err != nil {
		cancel()
		return fmt.Errorf("start storage: %w", err)
	}
	if err := c.inner.Start(); err != nil {
		cancel()
		<-retired
		return err
	}
	c.stopRetiring, c.retired = cancel, retired
	return nil
}

// Stop stops the store, then the retiring; it is safe twice, and before Start.
func (c *Coordinator) Stop() error {
	if c.inner == nil {
		return nil
	}
	err := c.inner.Stop()
	if c.retired != nil {
		c.stopRetiring()
		<-c.retired
	}
	return err
}

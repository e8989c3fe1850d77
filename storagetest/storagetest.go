// Package storagetest holds the suite that every storage module must pass, whatever engine it is built on: it checks what
// docs/contract.md of this repository promises. A module's own test calls Exercise with a Factory; the suite makes, starts
// and stops as many modules as it needs.
//
// The suite uses a module only through its communication channel. If the module is also a storage.StoreSource, and its Store
// a storage.Backend, the same cases run over the typed API.
//
// Cases that depend on time run in testing/synctest bubbles. A module that keeps its state in a server can pass them too,
// provided that its connections read from their sockets only while a reply is owed: then no time passes in the bubble while
// the server works, and none is lost waiting for input. The module must take the time from time.Now, not from the server.
package storagetest

import (
	"testing"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
)

// Config is the configuration of a module that the suite needs.
type Config struct {
	// Settings are the keys below storage.<name>, for example "intervals". Keys that are missing have their defaults.
	Settings map[string]any
	// Clusters are the names of the configured clusters.
	Clusters []string
}

// Factory returns a module that is configured but not started. It is called many times and from many goroutines, also inside
// testing/synctest bubbles, so modules must share nothing. The suite starts and stops the module.
type Factory func(t *testing.T, config Config) storage.Module

// Exercise runs the whole suite against the modules of a factory.
func Exercise(t *testing.T, factory Factory) {
	t.Helper()
	contract.Exercise(t, factory)
}

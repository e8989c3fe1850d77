// Package storagetest holds the suite that every storage module passes, whatever engine it stands on: it asks for what
// docs/contract.md of this repository promises. A module's own test
// calls Exercise with a Factory; the suite makes, starts, asks and stops as many modules as it needs.
//
// The suite talks to a module over its communication channel alone. If the module is also a storage.StoreSource, and
// its Store a storage.Backend, the same cases run over the typed API.
//
// What depends on time runs in bubbles of testing/synctest. If a module keeps its state in a server, it passes there as any other
// does, provided that its connections read from their sockets only while a reply is owed: then no time passes in the bubble
// while the server works, and none is lost by waiting for what comes next. The module must take the time from time.Now, not from the server.
package storagetest

import (
	"testing"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
)

// Config is what a test asks a Factory for.
type Config struct {
	// Settings are the keys below storage.<name>, for example "intervals". What is missing has its default.
	Settings map[string]any
	// Clusters are the names of the configured clusters.
	Clusters []string
}

// Factory returns a module that is configured but not started. It is called many times and from many goroutines, also
// inside testing/synctest bubbles, so what it returns must share nothing with what it returned before. The suite starts
// the module and stops it.
type Factory func(t *testing.T, config Config) storage.Module

// Exercise runs the whole suite against the modules of a factory.
func Exercise(t *testing.T, factory Factory) {
	t.Helper()
	contract.Exercise(t, factory)
}

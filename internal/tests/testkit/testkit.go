// Package testkit makes stores, modules and Coordinators for tests that need only the public API, and the requests of these
// tests.
package testkit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
)

// Cluster is the cluster of the stores that Open makes.
const Cluster = "local"

// Open opens a store of one cluster, with the default options as change, which may be nil, modifies them, and closes it when
// the test ends.
func Open(t *testing.T, change func(*storage.Options)) *storage.DB {
	t.Helper()
	options := storage.Options{Clusters: []string{Cluster}}
	if change != nil {
		change(&options)
	}
	return OpenWith(t, options)
}

// OpenWith opens a store and closes it when the test ends. Its only cluster is Cluster unless the options name others.
func OpenWith(t testing.TB, options storage.Options) *storage.DB {
	t.Helper()
	if options.Clusters == nil {
		options.Clusters = []string{Cluster}
	}
	db, err := storage.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// Package bounds tests that what comes from outside is bounded: names, memory and how long anybody waits.
package bounds_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lagkeeper/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, options storage.Options) *storage.DB {
	t.Helper()
	if options.Clusters == nil {
		options.Clusters = []string{"local"}
	}
	db, err := storage.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

package storage

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// One record that the format has no room for is left out, counted and logged; what comes after it is written.
func TestLeavingOut(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	large := strings.Repeat("x", 16<<20)
	var sink leavingOut
	sink.log(zap.New(core), "snapshot")
	require.Zero(t, logs.Len())
	w := snapshot.NewWriter(io.Discard, snapshot.Header{})
	sink.Sink = w
	require.NoError(t, sink.WriteTopic(&snapshot.Topic{Name: large}))
	require.NoError(t, sink.WriteGroup(&snapshot.Group{Name: "before"}))
	require.NoError(t, sink.WriteGroup(&snapshot.Group{Name: large}))
	require.NoError(t, sink.WriteGroup(&snapshot.Group{Name: "after"}))
	summary, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 2, summary.Groups)
	require.Equal(t, 2, sink.count)
	sink.log(zap.New(core), "snapshot")
	require.Equal(t, 1, logs.Len())
	require.EqualValues(t, 2, logs.All()[0].ContextMap()["records"])
	require.Less(t, len(logs.All()[0].ContextMap()["first"].(string)), 200)

	broken := errors.New("disk is full")
	require.ErrorIs(t, (&leavingOut{}).note(broken), broken)
}

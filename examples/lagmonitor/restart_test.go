package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A monitor that begins with a snapshot knows its groups at once, and trusts nothing of them before it has seen it again.
func TestRestart(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	for _, group := range []string{"g", "gone", "moves"} {
		commit(t, ctx, client, group, 2)
	}
	path := filepath.Join(t.TempDir(), "lags")
	settings := func() *viper.Viper {
		v := viper.New()
		v.Set("storage.kept.snapshot-path", path)
		return v
	}
	before := newRigWith(t, ctx, cluster.ListenAddrs(), settings())
	before.clock = time.Now()
	require.Len(t, before.poll().Rows, 3)
	for range 3 {
		before.poll()
	}
	require.NoError(t, before.coordinator.Stop())

	commit(t, ctx, client, "moves", 4)
	after := newRigWith(t, ctx, cluster.ListenAddrs(), settings())
	after.clock = before.clock.Add(-time.Hour) // the system's clock was set back
	after.poller.restart.tell(after.events, time.Now().Add(time.Minute))
	restored, err := after.view.table(ctx)
	require.NoError(t, err)
	require.Len(t, restored.Rows, 3)
	for _, row := range restored.Rows {
		assert.Equal(t, stateRestored, row.State)
		assert.False(t, row.LagKnown)
		assert.False(t, row.TimeLag.Known)
	}
	taken := after.poller.restart.store.Restored().Watermark

	now := after.poll()
	assert.NotEqual(t, stateRestored, now.row("g", "t").State)
	assert.EqualValues(t, 3, now.row("g", "t").Lag)
	assert.EqualValues(t, 1, now.row("moves", "t").Lag, "commits are newer than those of the snapshot, whatever the clock says")
	assert.NotContains(t, after.eventTexts(), "deleted")
	assert.Contains(t, after.eventTexts(), "restored 3 groups and 1 topic from a snapshot taken 1m")

	// A snapshot that is taken now says that it is of now: the poll has told everything.
	require.NoError(t, after.coordinator.Stop())
	last := newRigWith(t, ctx, cluster.ListenAddrs(), settings())
	assert.True(t, last.poller.restart.store.Restored().Watermark.After(taken))
}

// A topic that was created again with fewer partitions, while nobody looked, leaves nothing behind that is never seen again.
func TestRestartAfterTopicWasRecreated(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)
	settings := viper.New()
	settings.Set("storage.kept.snapshot-path", filepath.Join(t.TempDir(), "lags"))
	before := newRigWith(t, ctx, cluster.ListenAddrs(), settings)
	require.Equal(t, 2, before.poll().row("g", "t").Partitions)
	require.NoError(t, before.coordinator.Stop())

	require.NoError(t, cluster.DeleteTopic("t"))
	require.NoError(t, cluster.CreateTopic("t", 1, nil))
	after := newRigWith(t, ctx, cluster.ListenAddrs(), settings)
	after.clock = before.clock
	after.poll()
	assert.Equal(t, "topic t was deleted and created again", after.eventTexts())
	ends, err := after.view.store.topic(ctx, "t")
	require.NoError(t, err)
	assert.Equal(t, []int64{0}, ends)
}

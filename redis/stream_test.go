package lagredis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// addEvents adds many events to a stream at once, as many processes would within a moment.
func addEvents(t testing.TB, servers *redistest.Servers, key string, n string) {
	t.Helper()
	event, err := json.Marshal(protocol.Event{Kind: protocol.EventGroupCreated, Cluster: "local", Group: "group"})
	require.NoError(t, err)
	servers.Do(0, "EVAL", "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], 'MAXLEN', '~', '10000', '*', 'e', ARGV[2]) end return 1", "1", key,
		n, string(event))
}

// A watcher gets the number of events that were dropped before they could be read.
func TestWatcherIsToldOfEventsThatAreGone(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Buckets = 1 })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	addEvents(t, servers, prefix+"{g0}:events", "100")
	events, err := db.Watch(ctx, storage.WatchFilter{})
	require.NoError(t, err)
	const added = 30_000
	addEvents(t, servers, prefix+"{g0}:events", "30000")
	got, missed := uint64(0), uint64(0)
	for event := range events {
		if event.Kind == protocol.EventMissed {
			missed += event.Missed
		} else {
			got++
		}
		if got+missed >= added {
			break
		}
	}
	require.EqualValues(t, added, got+missed)
	require.Greater(t, missed, uint64(added/2))
	require.Greater(t, got, uint64(9_000))
	require.Equal(t, missed, statsOf(t, db).Watchers.Missed)
}

// After a failover to a server whose clock is behind, or that has restarted empty, new events are still delivered.
func TestWatcherGoesOnWhereAStreamWentBack(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Buckets = 1 })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	events, err := db.Watch(ctx, storage.WatchFilter{Kinds: []protocol.EventKind{protocol.EventGroupCreated}})
	require.NoError(t, err)
	setEnd(t, db, "topic", 0, 100)
	require.NoError(t, db.Commit(ctx, "local", "first", commit("topic", 0, 10, 1)))
	reads := func() string { return line(servers.Do(0, "INFO", "commandstats"), "cmdstat_xrange:") }
	for event := range events {
		if event.Group == "second" {
			return
		}
		require.Equal(t, "first", event.Group)
		// The stream has lower ids from now on.
		key := prefix + "{g0}:events"
		servers.Do(0, "DEL", key)
		servers.Do(0, "XADD", key, "5-1", "e", `{"kind":"group-deleted","cluster":"local","group":"first"}`)
		for range 3 { // the first read may have begun earlier
			before := reads()
			until(t, func() bool { return reads() != before })
		}
		event, err := json.Marshal(protocol.Event{Kind: protocol.EventGroupCreated, Cluster: "local", Group: "second"})
		require.NoError(t, err)
		servers.Do(0, "XADD", key, "6-1", "e", string(event))
	}
}

// line returns the line of a text that has the given prefix.
func line(text, begins string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, begins) {
			return l
		}
	}
	return ""
}

// waitedFor is a context that counts who waits for its end.
type waitedFor struct {
	context.Context
	waiting atomic.Int64
}

func (*waitedFor) Value(any) any { return nil } // or the context package would find the one inside

func (c *waitedFor) AfterFunc(do func()) func() bool {
	c.waiting.Add(1)
	stop := context.AfterFunc(c.Context, do)
	return func() bool {
		c.waiting.Add(-1)
		return stop()
	}
}

// A watcher whose loop has ended leaves nothing behind in a context that goes on.
func TestWatcherThatHasLeftIsForgotten(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Buckets = 1 })
	ctx := &waitedFor{Context: t.Context()}
	for i := range 3 {
		events, err := db.Watch(ctx, storage.WatchFilter{})
		require.NoError(t, err)
		setEnd(t, db, fmt.Sprint("topic-", i), 0, 1)
		for range events {
			break
		}
	}
	require.Zero(t, ctx.waiting.Load())
	require.Zero(t, statsOf(t, db).Watchers.Now)
}

// A process that only reads does not keep the topics that others have deleted.
func TestDeletedTopicsLeaveTheReader(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	writer, reader := open(t, servers, prefix), open(t, servers, prefix)
	const topics = 5
	for i := range topics {
		name := fmt.Sprint("topic-", i)
		setEnd(t, writer, name, 0, 1)
		_, err := reader.EndOffsets(t.Context(), "local", name, nil)
		require.NoError(t, err)
	}
	require.Equal(t, topics, statsOf(t, reader).Topics)
	for i := range topics - 1 {
		require.NoError(t, writer.DeleteTopic(t.Context(), "local", fmt.Sprint("topic-", i)))
	}
	require.NoError(t, reader.Sweep(t.Context()))
	require.Equal(t, 1, statsOf(t, reader).Topics)
	ends, err := reader.EndOffsets(t.Context(), "local", fmt.Sprint("topic-", topics-1), nil)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, ends)
}

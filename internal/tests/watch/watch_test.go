package watch_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func now() int64 { return time.Now().UnixMilli() }

// create creates topics with end offsets, each of which is an event.
func create(t *testing.T, db *storage.DB, prefix string, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, fmt.Sprint(prefix, i), protocol.EndOffset{Offset: 1}))
	}
}

func watchers(t *testing.T, db *storage.DB) storage.WatcherStats {
	t.Helper()
	stats, err := db.Stats()
	require.NoError(t, err)
	return stats.Watchers
}

// TestFiftyThatDoNotRead publishes far more than fifty watchers that read nothing can hold: what they hold together stays
// within the limit, and each learns how many events it missed.
func TestFiftyThatDoNotRead(t *testing.T) {
	t.Parallel()
	db := testkit.Open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	filters := []storage.WatchFilter{{}, {Clusters: []string{testkit.Cluster}}, {Kinds: []protocol.EventKind{protocol.EventTopicCreated}}}
	var before, after runtime.MemStats
	create(t, db, "early", 40_000)
	runtime.GC()
	runtime.ReadMemStats(&before)
	var first func(func(protocol.Event) bool)
	for i := range 50 {
		events, err := db.Watch(ctx, filters[i%len(filters)])
		require.NoError(t, err)
		if i == 0 {
			first = events
		}
	}
	const published = 40_000
	for i := range published {
		require.NoError(t, db.DeleteTopic(t.Context(), testkit.Cluster, fmt.Sprint("early", i)))
		require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, fmt.Sprint("early", i), protocol.EndOffset{Offset: 1}))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	stats := watchers(t, db)
	require.Equal(t, 50, stats.Now)
	require.Positive(t, stats.UnreadEvents)
	require.LessOrEqual(t, stats.UnreadBytes, 32<<20)
	require.Positive(t, stats.Missed)
	t.Logf("50 watchers, %d events each: heap grew by %d KiB, %d KiB counted", stats.UnreadEvents/50,
		(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1024, stats.UnreadBytes/1024)

	got, missed := uint64(0), uint64(0)
	for event := range first {
		if event.Kind == protocol.EventMissed {
			missed = event.Missed
			break
		}
		got++
	}
	require.Positive(t, missed)
	require.EqualValues(t, 2*published, got+missed, "neither delivered nor counted as missed")
}

// TestLongNamesCount leaves events unread whose names keep much memory from being freed.
func TestLongNamesCount(t *testing.T) {
	t.Parallel()
	db := testkit.Open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		_, err := db.Watch(ctx, storage.WatchFilter{})
		require.NoError(t, err)
	}
	name := strings.Repeat("n", 30_000)
	for i := range 2_000 {
		topic := fmt.Sprint(name, i)
		require.NoError(t, db.SetEndOffset(ctx, testkit.Cluster, topic, protocol.EndOffset{Offset: 1}))
		require.NoError(t, db.DeleteTopic(ctx, testkit.Cluster, topic))
		require.LessOrEqual(t, watchers(t, db).UnreadBytes, 32<<20)
	}
	require.Positive(t, watchers(t, db).Missed)
}

// TestTooMany watches more often than there is room for, and again when some have left.
func TestTooMany(t *testing.T) {
	t.Parallel()
	db := testkit.Open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	other, leave := context.WithCancel(ctx)
	for i := range 256 {
		watcher := ctx
		if i%2 == 0 {
			watcher = other
		}
		_, err := db.Watch(watcher, storage.WatchFilter{})
		require.NoError(t, err)
	}
	for range 3 {
		events, err := db.Watch(ctx, storage.WatchFilter{})
		require.ErrorIs(t, err, storage.ErrTooManyWatchers)
		require.Nil(t, events)
	}
	require.Equal(t, storage.WatcherStats{Now: 256, Refused: 3}, watchers(t, db))
	leave()
	require.Eventually(t, func() bool { return watchers(t, db).Now == 128 }, testkit.Patience, 1)
	_, err := db.Watch(ctx, storage.WatchFilter{})
	require.NoError(t, err)
}

// TestGreatFilter names very many groups: a writer waits no longer for that than for one name.
func TestGreatFilter(t *testing.T) {
	t.Parallel()
	db := testkit.Open(t, nil)
	filter := storage.WatchFilter{}
	for i := range 100_000 {
		filter.Topics = append(filter.Topics, fmt.Sprint("topic", i))
		filter.Groups = append(filter.Groups, fmt.Sprint("group", i))
	}
	events, err := db.Watch(t.Context(), filter)
	require.NoError(t, err)
	create(t, db, "topic", 10)
	for _, group := range []string{"other", "group99999", "group0"} {
		for _, topic := range []string{"topic3", "topic7"} {
			require.NoError(t, db.Commit(t.Context(), testkit.Cluster, group, protocol.Commit{Topic: topic, Timestamp: now()}))
		}
	}
	require.NoError(t, db.DeleteGroup(t.Context(), testkit.Cluster, "group0"))
	var got []string
	for event := range events {
		got = append(got, fmt.Sprint(event.Kind, " ", event.Group, " ", event.Topic))
		if event.Kind == protocol.EventGroupDeleted {
			break
		}
	}
	require.Equal(t, []string{
		"group-created group99999 ", "group-topic-created group99999 topic3", "group-topic-created group99999 topic7",
		"group-created group0 ", "group-topic-created group0 topic3", "group-topic-created group0 topic7",
		"group-deleted group0 ",
	}, got)
}

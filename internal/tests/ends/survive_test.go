package ends_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// again repeats a test in a store that has been restarted, and in one that has imported what the first exported.
func again(t *testing.T, before func(w *world), after func(w *world)) {
	t.Helper()
	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "snapshot")
		synctest.Test(t, func(t *testing.T) {
			options := storage.Options{Clusters: []string{testkit.Cluster}, SnapshotPath: path}
			db, err := storage.Open(options)
			require.NoError(t, err)
			w := &world{T: t, db: db}
			before(w)
			require.NoError(t, db.Close())
			w.db, err = storage.Open(options)
			require.NoError(t, err)
			defer func() { require.NoError(t, w.db.Close()) }()
			after(w)
		})
	})
	t.Run("export and import", func(t *testing.T) {
		bubble(t, func(w *world) {
			before(w)
			var lines bytes.Buffer
			require.NoError(w, w.db.Export(w.Context(), &lines))
			w.db = testkit.Open(w.T, nil)
			require.NoError(w, w.db.Import(w.Context(), &lines))
			after(w)
		})
	})
}

// TestIDSurvives polls another id after a restart: the topic was recreated meanwhile.
func TestIDSurvives(t *testing.T) {
	again(t, func(w *world) {
		w.id = firstID
		w.end(1000)
		w.commit("group", 0, 900)
	}, func(w *world) {
		sleep(30)
		w.id = secondID
		require.ErrorIs(w, w.poll(5000, 60), storage.ErrStale)
		w.end(5000)
		var into protocol.Group
		require.ErrorIs(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into), storage.ErrUnknownGroup)
	})
}

// TestCutSurvives restarts after a log was truncated.
func TestCutSurvives(t *testing.T) {
	again(t, func(w *world) {
		w.id = firstID
		w.end(1000)
		w.commit("below", 0, 800)
		w.commit("above", 0, 900)
		sleep(90)
		w.end(850)
		w.commit("since", 0, 840)
	}, func(w *world) {
		w.is("above", protocol.PartitionReset)
		w.is("below", protocol.PartitionRestored, 50)
		sleep(90)
		w.end(860)
		w.is("above", protocol.PartitionReset)
		w.commit("since", 0, 870)
		w.is("since", protocol.PartitionAhead, -10)
		w.end(950)
		require.NotEqual(w, protocol.PartitionReset, w.look("above", 0).State)
		w.end(940)
		w.is("below", protocol.PartitionRestored, 140)
	})
}

// TestDipSurvives restarts during a dip that is undone afterwards, lag in time included.
func TestDipSurvives(t *testing.T) {
	for name, id := range map[string]protocol.TopicID{"without an id": {}, "with an id": firstID} {
		t.Run(name, func(t *testing.T) {
			again(t, func(w *world) {
				w.id = id
				for offset := int64(0); offset <= 1000; offset += 100 {
					w.end(offset)
					sleep(30)
				}
				w.commit("group", 0, 950)
				w.end(920)
			}, func(w *world) {
				w.id = id
				w.is("group", protocol.PartitionReset)
				sleep(30)
				w.end(1000)
				p := w.is("group", protocol.PartitionRestored, 50)
				// The end was 900 at 270 s and 1000 at 300 s; it is 360 s now.
				require.Equal(w, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 75 * time.Second, Margin: 30 * time.Second}, p.TimeLag)
			})
		})
	}
}

// TestBeyondEndSurvives restarts between the two polls.
func TestBeyondEndSurvives(t *testing.T) {
	again(t, func(w *world) {
		w.end(100)
		w.commit("group", 0, 150)
		sleep(30)
		w.end(100)
		w.is("group", protocol.PartitionAhead, -50)
	}, func(w *world) {
		p := w.is("group", protocol.PartitionRestored, -50)
		require.Equal(w, protocol.TimeLagExact, p.TimeLag.Kind)
		sleep(30)
		w.end(100)
		p = w.is("group", protocol.PartitionRestored, -50)
		require.Equal(w, protocol.TimeLagUnknown, p.TimeLag.Kind)
		w.db.ReplayDone()
	})
}

// TestTopicIDInJSONLines checks that ids are exported in the form of Kafka's tools, and that other text is refused.
func TestTopicIDInJSONLines(t *testing.T) {
	bubble(t, func(w *world) {
		w.id = firstID
		w.end(1000)
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(w.Context(), &lines))
		text := lines.String()
		require.Contains(w, text, `"topic_id":"AQAAAAAAAAAAAAAAAAAAAA"`)
		to := testkit.Open(w.T, nil)
		err := to.Import(w.Context(), strings.NewReader(strings.Replace(text, "AQAAAAAAAAAAAAAAAAAAAA", "AQAA", 1)))
		require.ErrorContains(w, err, "line 2")
		require.ErrorContains(w, err, "invalid topic id")
		for _, negative := range []string{`"offset":-1`, `"offset":-9223372036854775808`} {
			err = to.Import(w.Context(), strings.NewReader(strings.Replace(text, `"offset":1000`, negative, 1)))
			require.ErrorContains(w, err, "line 2")
			require.ErrorContains(w, err, "must be at least 0")
		}
		topics, err := to.Topics(w.Context(), testkit.Cluster)
		require.NoError(w, err)
		for topic := range topics {
			w.Fatalf("topic %q was imported", topic)
		}
	})
}

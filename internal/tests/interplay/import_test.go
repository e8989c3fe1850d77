package interplay_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func statsOf(w *world, db *storage.DB) storage.Stats {
	w.Helper()
	stats, err := db.Stats()
	require.NoError(w, err)
	return stats
}

// names are possible names of a topic, a group or an owner.
var names = map[string]string{
	"dots":           "..a.b..c.",
	"braces":         `{"}%s\n`,
	"unicode":        "группа-组-🦆-é",
	"right to left":  "\u202eקבוצה\u200f",
	"separators":     "a\x00b\tc\nd\u2028e",
	"the longest":    strings.Repeat("n", 32_767),
	"longest, wide":  strings.Repeat("é", 16_383) + "n",
	"spaces":         "  ",
	"nothing at all": "",
}

// TestNamesSurvive takes names of every kind through the typed calls, a restart, an export and an import.
func TestNamesSurvive(t *testing.T) {
	for kind, name := range names {
		t.Run(kind, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, name, protocol.EndOffset{Offset: 100}))
				require.NoError(w, w.db.Commit(w.Context(), testkit.Cluster, name, protocol.Commit{
					Topic: name, Offset: 60, Order: 1, Timestamp: time.Now().UnixMilli(),
				}))
				require.NoError(w, w.db.SetOwner(w.Context(), testkit.Cluster, name, protocol.PartitionOwner{
					Topic: name, Owner: name, ClientID: name,
				}))
				check := func(db *storage.DB) {
					w.Helper()
					var into protocol.Group
					require.NoError(w, db.Group(w.Context(), testkit.Cluster, name, &into))
					require.Equal(w, name, into.Topics[0].Name)
					p := into.Topics[0].Partitions[0]
					require.Equal(w, []string{name, name}, []string{p.Owner, p.ClientID})
					require.EqualValues(w, 40, p.CurrentLag)
				}
				check(w.db)
				w.restart()
				check(w.db)
				var lines bytes.Buffer
				require.NoError(w, w.db.Export(w.Context(), &lines))
				other := testkit.Open(w.T, nil)
				require.NoError(w, other.Import(w.Context(), &lines))
				check(other)
			})
		})
	}
}

// TestTooLongChangesNothing uses a name that is one byte too long wherever there is a name.
func TestTooLongChangesNothing(t *testing.T) {
	bubble(t, nil, func(w *world) {
		long, ctx := strings.Repeat("é", 16_384), w.Context()
		now := time.Now().UnixMilli()
		require.NoError(w, w.commit(0, 900, 1))
		for _, err := range []error{
			w.db.SetEndOffset(ctx, testkit.Cluster, long, protocol.EndOffset{Offset: 1}),
			w.db.Commit(ctx, testkit.Cluster, long, protocol.Commit{Topic: "topic", Offset: 1, Timestamp: now}),
			w.db.Commit(ctx, testkit.Cluster, "group", protocol.Commit{Topic: long, Offset: 1, Timestamp: now}),
			w.db.SetOwner(ctx, testkit.Cluster, "group", protocol.PartitionOwner{Topic: "topic", Owner: long}),
			w.db.SetOwner(ctx, testkit.Cluster, "group", protocol.PartitionOwner{Topic: "topic", ClientID: long}),
			w.db.SetOwner(ctx, testkit.Cluster, long, protocol.PartitionOwner{Topic: "topic"}),
		} {
			require.ErrorIs(w, err, storage.ErrInvalid)
		}
		stats := statsOf(w, w.db)
		require.Equal(w, []int{1, 1}, []int{stats.Groups, stats.Topics})
		require.Equal(w, []int64{900, 1}, w.window(0))
	})
}

// TestClusterInAnotherCase names the cluster in another case than the options, in every call that takes one.
func TestClusterInAnotherCase(t *testing.T) {
	bubble(t, nil, func(w *world) {
		ctx, cluster := w.Context(), strings.ToUpper(testkit.Cluster)
		require.NoError(w, w.db.SetEndOffset(ctx, cluster, "t", protocol.EndOffset{Offset: 10}))
		require.NoError(w, w.db.Commit(ctx, cluster, "G", protocol.Commit{Topic: "t", Offset: 1, Order: 9, Timestamp: time.Now().UnixMilli()}))
		require.NoError(w, w.db.SetPosition(ctx, cluster, protocol.Position{Partition: 1, Offset: 2}))
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(ctx, &lines))
		require.NotContains(w, lines.String(), cluster)
		upper := strings.ReplaceAll(lines.String(), `"`+testkit.Cluster+`"`, `"`+cluster+`"`)
		other := testkit.Open(w.T, nil)
		require.NoError(w, other.Import(ctx, strings.NewReader(upper)))
		for _, name := range []string{cluster, testkit.Cluster} {
			positions, err := other.Positions(ctx, name)
			require.NoError(w, err)
			require.Len(w, positions, 1)
			require.ErrorIs(w, other.Commit(ctx, name, "G", protocol.Commit{
				Topic: "t", Offset: 2, Order: 9, Timestamp: time.Now().UnixMilli(),
			}), storage.ErrDuplicate, "it is known by its order")
		}
		require.NoError(w, other.ForgetOrders(ctx, cluster))
		require.NoError(w, other.Commit(ctx, testkit.Cluster, "G", protocol.Commit{Topic: "t", Offset: 2, Order: 1, Timestamp: time.Now().UnixMilli()}))
		require.NoError(w, other.SyncGroups(ctx, cluster, []string{"g"}))
		require.Zero(w, statsOf(w, other).Groups)
		require.NoError(w, other.SyncTopics(ctx, cluster, []string{"T", "topic"}))
		require.Equal(w, 1, statsOf(w, other).Topics)
	})
}

// TestSyncGroupsWithExpired passes a complete list while some groups have expired and have not been swept.
func TestSyncGroupsWithExpired(t *testing.T) {
	bubble(t, func(o *storage.Options) { o.ExpireGroup, o.SweepInterval = time.Hour, 100*time.Hour }, func(w *world) {
		commit := func(group string) {
			require.NoError(w, w.db.Commit(w.Context(), testkit.Cluster, group, protocol.Commit{
				Topic: "topic", Offset: 1, Order: 1, Timestamp: time.Now().UnixMilli(),
			}))
		}
		for _, group := range []string{"listed", "not listed"} {
			commit(group)
		}
		time.Sleep(time.Hour + time.Second)
		commit("live")
		commit("group")
		require.NoError(w, w.db.SyncGroups(w.Context(), testkit.Cluster, []string{"listed", "live"}))
		groups, err := w.db.Groups(w.Context(), testkit.Cluster)
		require.NoError(w, err)
		for name := range groups {
			require.Equal(w, "live", name)
		}
		w.restart()
		w.poll(1000)
		require.ErrorIs(w, w.commit(0, 1, 1), storage.ErrDuplicate)
		w.gone()
		require.Equal(w, 1, statsOf(w, w.db).Groups)
	})
}

// TestImportOfWhatWasDeleted deletes a group, imports it, and restarts.
func TestImportOfWhatWasDeleted(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 5))
		require.NoError(w, w.commit(1, 900, 0))
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(w.Context(), &lines))
		require.NoError(w, w.commit(0, 950, 8))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
		require.NoError(w, w.db.Import(w.Context(), &lines))
		for range 2 {
			w.restart()
			w.poll(1000)
			require.ErrorIs(w, w.commit(0, 900, 5), storage.ErrDuplicate)
		}
		require.NoError(w, w.commit(0, 910, 6))
		require.Zero(w, statsOf(w, w.db).RememberedDeletions)
	})
}

// TestImportOfAnotherTopic imports a topic with another id than the existing one: commits of groups on the imported topic
// mean nothing for this one.
func TestImportOfAnotherTopic(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, TopicPartitionCount: 2, TopicID: firstID}))
		require.NoError(w, w.commit(0, 900, 5))
		other := testkit.Open(w.T, nil)
		require.NoError(w, other.SetEndOffset(w.Context(), testkit.Cluster, "topic", protocol.EndOffset{
			Offset: 50, TopicPartitionCount: 1, TopicID: secondID,
		}))
		var lines bytes.Buffer
		require.NoError(w, other.Export(w.Context(), &lines))
		require.NoError(w, w.db.Import(w.Context(), &lines))
		w.gone()
		newest, err := w.db.EndOffsets(w.Context(), testkit.Cluster, "topic", nil)
		require.NoError(w, err)
		require.Equal(w, []int64{50}, newest)
		require.Len(w, w.ends(protocol.EndOffset{Offset: 1001, TopicID: firstID, Timestamp: time.Now().UnixMilli()}), 0)
	})
}

// TestFull keeps a store at its limit through commits, an import and restarts.
func TestFull(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 5))
		require.NoError(w, w.db.Close())
		w.options.MaxMemory = 1
		w.open()
		require.NotNil(w, w.db)
		restored := w.db.Restored()
		require.Positive(w, restored.Full)
		require.Equal(w, restored.Full, restored.Skipped)
		require.NoError(w, w.db.Close())
		w.options.MaxMemory = 0
		w.open()
	})
}

package interplay_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestRebuiltCluster feeds a cluster whose orders begin anew, without ForgetOrders and with it.
func TestRebuiltCluster(t *testing.T) {
	bubble(t, nil, func(w *world) {
		for order := int64(1_000_000); order < 1_000_020; order++ {
			time.Sleep(time.Second)
			require.NoError(w, w.commit(0, order-999_999, order))
		}
		w.restart()
		w.poll(1000)
		refused := 0
		for order := int64(0); order < 1000; order++ {
			time.Sleep(time.Second)
			if w.commit(0, 500, order) != nil {
				refused++
			}
		}
		require.Equal(w, 1000, refused)
		require.Positive(w, statsOf(w, w.db).StuckGroups)
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster))
		for i := 0; i < 3; i++ {
			for order := int64(1000 + i*10); order < int64(1010+i*10); order++ {
				time.Sleep(time.Second)
				require.NoError(w, w.commit(0, 500, order))
			}
			w.restart()
			w.poll(1000)
		}
		require.EqualValues(w, 500, w.look(0).CurrentLag)
	})
}

// TestBackfillToZero backfills down to the first record of a log while a newer commit is stored.
func TestBackfillToZero(t *testing.T) {
	for _, distance := range []time.Duration{0, 5 * time.Second} {
		for intervals := 1; intervals <= 4; intervals++ {
			t.Run(fmt.Sprint(distance, intervals), func(t *testing.T) {
				bubble(t, func(o *storage.Options) { o.MinDistance, o.Intervals = distance, intervals }, func(w *world) {
					begin := time.Now().Add(-time.Minute)
					require.NoError(w, w.commitAt(0, 900, 30, begin.Add(30*time.Second)))
					for order := int64(0); order < 30; order++ {
						_ = w.commitAt(0, 10*order, order, begin.Add(time.Duration(order)*time.Second))
						c := w.look(0).Commits
						require.EqualValues(w, 900, c[len(c)-1].Offset)
						require.EqualValues(w, 100, w.look(0).CurrentLag)
						for i := 1; i < len(c); i++ {
							require.Less(w, c[i-1].Order, c[i].Order)
						}
					}
				})
			})
		}
	}
}

// TestPositions sets positions forward and back, beyond their limits, and restarts.
func TestPositions(t *testing.T) {
	bubble(t, nil, func(w *world) {
		ctx := w.Context()
		require.NoError(w, w.db.SetPosition(ctx, testkit.Cluster, protocol.Position{Partition: 3, Offset: 17}))
		require.NoError(w, w.db.Snapshot(ctx))
		require.NoError(w, w.db.SetPosition(ctx, testkit.Cluster, protocol.Position{Partition: 3, Offset: 18}))
		require.NoError(w, w.db.SetPosition(ctx, testkit.Cluster, protocol.Position{Partition: 3, Offset: 12}))
		w.restart()
		p, err := w.db.Positions(ctx, testkit.Cluster)
		require.NoError(w, err)
		require.Equal(w, []protocol.Position{{Partition: 3, Offset: 12}}, p)
		for _, bad := range []protocol.Position{{Partition: -1}, {Offset: -1}} {
			require.ErrorIs(w, w.db.SetPosition(ctx, testkit.Cluster, bad), storage.ErrInvalid)
		}
		// A changed position alone is worth a snapshot.
		require.NoError(w, w.db.SetPosition(ctx, testkit.Cluster, protocol.Position{Partition: 49, Offset: 1}))
		w.restart()
		p, err = w.db.Positions(ctx, testkit.Cluster)
		require.NoError(w, err)
		require.Len(w, p, 2)
		require.ErrorIs(w, w.db.ForgetOrders(ctx, testkit.Cluster, protocol.LogPartition{Partition: 50, Count: 50}), storage.ErrInvalid)
		require.ErrorIs(w, w.db.ForgetOrders(ctx, testkit.Cluster, protocol.LogPartition{}), storage.ErrInvalid)
	})
}

// TestOutOfRange checks that requests with fields out of range, or for unknown names, change nothing.
func TestOutOfRange(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1))
		require.ErrorIs(w, w.commit(0, -1, 2), storage.ErrInvalid)
		require.ErrorIs(w, w.commit(0, -1<<63, 2), storage.ErrInvalid)
		require.ErrorIs(w, w.commit(-1, 5, 2), storage.ErrInvalid)
		require.ErrorIs(w, w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "topic", -1, 0), storage.ErrInvalid)
		require.ErrorIs(w, w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "topic", 1, 0), storage.ErrUnknownPartition)
		require.ErrorIs(w, w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "x", 1, 0), storage.ErrUnknownTopic)
		require.ErrorIs(w, w.db.DeletePartition(w.Context(), testkit.Cluster, "g", "x", 1, 0), storage.ErrUnknownGroup)
		for _, bad := range []protocol.EndOffset{{Offset: -1}, {Partition: -1}, {Partition: 1 << 20}, {TopicPartitionCount: 1<<20 + 1}} {
			require.ErrorIs(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "topic", bad), storage.ErrInvalid)
			require.ErrorIs(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "new", bad), storage.ErrInvalid)
		}
		require.Equal(w, 1, statsOf(w, w.db).Topics)
		require.EqualValues(w, 100, w.look(0).CurrentLag)
	})
}

// TestExtremeOrders uses the least and greatest orders.
func TestExtremeOrders(t *testing.T) {
	bubble(t, nil, func(w *world) {
		const most = 1<<63 - 1
		require.NoError(w, w.commit(0, 1, most))
		require.NoError(w, w.commit(0, 2, -1))
		require.NoError(w, w.commit(0, 3, -1<<63))
		w.restart()
		w.poll(1000)
		require.Error(w, w.commit(0, 1, most))
		require.Error(w, w.commit(0, 1, 0))
		require.NoError(w, w.commit(0, 4, -1))
		require.EqualValues(w, 996, w.look(0).CurrentLag)
		require.NoError(w, w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "topic", 0, 0))
		w.gone()
		w.restart()
		w.poll(1000)
		require.Error(w, w.commit(0, 1, most))
		w.gone()
	})
}

// TestBeyondEndAndBack takes a group beyond the end, through a restart, and back.
func TestBeyondEndAndBack(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 1500, 1))
		require.Equal(w, protocol.PartitionAhead, w.look(0).State)
		time.Sleep(30 * time.Second)
		w.poll(1000)
		require.Equal(w, protocol.PartitionAhead, w.look(0).State)
		time.Sleep(30 * time.Second)
		w.poll(1010)
		require.Equal(w, protocol.PartitionBeyondEnd, w.look(0).State)
		require.EqualValues(w, -490, w.look(0).Difference)
		require.Equal(w, protocol.TimeLagUnknown, w.look(0).TimeLag.Kind)
		w.restart()
		require.Equal(w, protocol.PartitionRestored, w.look(0).State)
		w.db.ReplayDone()
		w.poll(1010)
		require.Equal(w, protocol.PartitionBeyondEnd, w.look(0).State)
		require.NoError(w, w.commit(0, 1000, 2))
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.NoError(w, w.commit(0, 1500, 3))
		require.Equal(w, protocol.PartitionAhead, w.look(0).State)
		time.Sleep(30 * time.Second)
		w.poll(1600)
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
	})
}

// TestSpoiledImport spoils each line of an export in turn: nothing changes, and the error names the line.
func TestSpoiledImport(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 7))
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(w.Context(), &lines))
		text := lines.String()
		rows := strings.SplitAfter(text, "\n")
		for i := range rows {
			if i == 0 || rows[i] == "" {
				continue
			}
			for _, bad := range []string{"{", `{"type":"group"}` + "\n", strings.Replace(rows[i], "900", "-900", 1), rows[i] + rows[i]} {
				if bad == rows[i] {
					continue
				}
				hostile := strings.Join(rows[:i], "") + bad + strings.Join(rows[i+1:], "")
				err := w.db.Import(w.Context(), strings.NewReader(hostile))
				require.Error(w, err)
				require.Contains(w, err.Error(), "line")
			}
		}
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.EqualValues(w, 100, w.look(0).CurrentLag)
	})
}

// TestRecreatedThenReplayed recreates a topic, restarts, and replays commits of the former topic.
func TestRecreatedThenReplayed(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, TopicID: firstID}, protocol.EndOffset{Partition: 1, Offset: 1000, TopicID: firstID}))
		require.NoError(w, w.commit(0, 900, 10))
		require.NoError(w, w.commit(1, 900, 11))
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 5, TopicID: secondID, TopicPartitionCount: 2}, protocol.EndOffset{Partition: 1, Offset: 5, TopicID: secondID}))
		w.gone()
		require.NoError(w, w.commit(0, 3, 12))
		w.restart()
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 6, TopicID: secondID, TopicPartitionCount: 2}, protocol.EndOffset{Partition: 1, Offset: 6, TopicID: secondID}))
		require.ErrorIs(w, w.commit(0, 900, 10), storage.ErrDuplicate)
		require.ErrorIs(w, w.commit(1, 900, 11), storage.ErrDuplicate)
		require.ErrorIs(w, w.commit(0, 3, 12), storage.ErrDuplicate)
		require.EqualValues(w, 3, w.look(0).CurrentLag)
		require.Empty(w, w.look(1).Commits)
	})
}

// TestRecreatedWhileDownThenReplayed finds after a restart that a topic was recreated, and replays commits of the former
// topic.
func TestRecreatedWhileDownThenReplayed(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, TopicID: firstID}, protocol.EndOffset{Partition: 1, Offset: 1000, TopicID: firstID}))
		require.NoError(w, w.commit(0, 900, 10))
		require.NoError(w, w.commit(1, 900, 11))
		w.restart()
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 6, TopicID: secondID, TopicPartitionCount: 2}, protocol.EndOffset{Partition: 1, Offset: 6, TopicID: secondID}))
		w.gone()
		require.ErrorIs(w, w.commit(0, 900, 10), storage.ErrDuplicate)
		require.ErrorIs(w, w.commit(1, 900, 11), storage.ErrDuplicate)
		w.gone()
		require.NoError(w, w.commit(0, 3, 12))
		require.EqualValues(w, 3, w.look(0).CurrentLag)
		w.db.ReplayDone()
		require.NoError(w, w.commit(1, 3, 5), "the replay is over")
	})
}

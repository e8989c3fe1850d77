package interplay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

var firstID, secondID = protocol.TopicID{1}, protocol.TopicID{2}

// ends stores a batch of end offsets of "topic" and returns what was refused.
func (w *world) ends(batch ...protocol.EndOffset) []storage.Refusal {
	w.Helper()
	for i := range batch {
		if batch[i].Timestamp == 0 {
			batch[i].Timestamp = time.Now().UnixMilli()
		}
	}
	err := w.db.SetEndOffsetBatch(w.Context(), testkit.Cluster, "topic", batch)
	var refused *storage.BatchError
	if errors.As(err, &refused) {
		return refused.Refused
	}
	require.NoError(w, err)
	return nil
}

// TestBatchOfTwoIDs polls in one batch the answers of two brokers, one of which has not noticed that the topic was recreated.
func TestBatchOfTwoIDs(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.Empty(w, w.ends(protocol.EndOffset{Partition: 0, Offset: 1000, TopicID: firstID}, protocol.EndOffset{Partition: 1, Offset: 1000, TopicID: firstID}))
		require.NoError(w, w.commit(0, 900, 1))
		require.NoError(w, w.commit(1, 900, 2))
		time.Sleep(30 * time.Second)
		refused := w.ends(
			protocol.EndOffset{Partition: 0, Offset: 5, TopicPartitionCount: 1, TopicID: secondID},
			protocol.EndOffset{Partition: 1, Offset: 1000, TopicPartitionCount: 2, TopicID: firstID},
		)
		require.Len(w, refused, 1)
		require.ErrorIs(w, refused[0].Err, storage.ErrStale)
		w.gone()
		newest, err := w.db.EndOffsets(w.Context(), testkit.Cluster, "topic", nil)
		require.NoError(w, err)
		require.Equal(w, []int64{5}, newest)
	})
}

// TestVanishedPartitions recreates a topic with fewer partitions while a group has committed only the missing ones.
func TestVanishedPartitions(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.Empty(w, w.ends(protocol.EndOffset{Partition: 1, Offset: 1000, TopicPartitionCount: 2, TopicID: firstID}))
		require.NoError(w, w.commit(1, 900, 2))
		w.restart()
		require.Empty(w, w.ends(protocol.EndOffset{Partition: 0, Offset: 1000, TopicPartitionCount: 1, TopicID: secondID}))
		w.gone()
		require.ErrorIs(w, w.commit(1, 910, 3), storage.ErrUnknownPartition)
		require.NoError(w, w.commit(0, 10, 4))
		require.Len(w, w.look(0).Commits, 1)
	})
}

// TestCommitInDip lets a group commit during a dip.
func TestCommitInDip(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1))
		require.NoError(w, w.commit(1, 900, 1))
		time.Sleep(10 * time.Second)
		w.poll(990)
		require.Equal(w, protocol.PartitionReset, w.look(0).State)
		require.NoError(w, w.commit(0, 950, 2))
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.EqualValues(w, 40, w.look(0).CurrentLag)
		time.Sleep(10 * time.Second)
		w.poll(1001)
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.EqualValues(w, 51, w.look(0).Difference)
		require.Equal(w, protocol.PartitionBehind, w.look(1).State)
		// And a second dip, immediately.
		w.poll(999)
		require.Equal(w, protocol.PartitionReset, w.look(0).State)
		w.poll(1001)
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.Equal(w, protocol.PartitionBehind, w.look(1).State)
		// A lower end that lasts is no dip.
		w.poll(999)
		time.Sleep(61 * time.Second)
		w.poll(1001)
		require.Equal(w, protocol.PartitionReset, w.look(1).State)
		require.NoError(w, w.commit(0, 960, 3))
		require.EqualValues(w, 41, w.look(0).Difference)
	})
}

// TestManyDips goes back more often than incarnations are counted.
func TestManyDips(t *testing.T) {
	for name, id := range map[string]protocol.TopicID{"without an id": {}, "with an id": firstID} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, TopicID: id}))
				require.NoError(w, w.commit(0, 900, 1))
				for i := range 300 {
					require.Empty(w, w.ends(protocol.EndOffset{Offset: 998, TopicID: id}))
					time.Sleep(30 * time.Second)
					require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, TopicID: id}))
					time.Sleep(30 * time.Second)
					require.Equal(w, protocol.PartitionBehind, w.look(0).State, i)
					require.EqualValues(w, 100, w.look(0).Difference)
				}
				require.Empty(w, w.ends(protocol.EndOffset{Offset: 500, TopicID: id}))
				time.Sleep(90 * time.Second)
				require.Empty(w, w.ends(protocol.EndOffset{Offset: 600, TopicID: id}))
				require.Equal(w, protocol.PartitionReset, w.look(0).State)
			})
		})
	}
}

// TestStaleInBatch mixes stale end offsets with valid ones; the third stale one of a partition is taken.
func TestStaleInBatch(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1))
		old := time.Now().Add(-5 * time.Second).UnixMilli()
		for range 2 {
			refused := w.ends(
				protocol.EndOffset{Partition: 0, Offset: 990, Timestamp: old}, protocol.EndOffset{Partition: 1, Offset: 1001},
				protocol.EndOffset{Partition: 1, Offset: -1}, protocol.EndOffset{Partition: -1, Offset: 5},
			)
			require.Len(w, refused, 3)
			require.ErrorIs(w, refused[0].Err, storage.ErrStale)
			require.ErrorIs(w, refused[1].Err, storage.ErrInvalid)
			require.ErrorIs(w, refused[2].Err, storage.ErrInvalid)
			require.Equal(w, []int{0, 2, 3}, []int{refused[0].Index, refused[1].Index, refused[2].Index})
			require.Equal(w, protocol.PartitionBehind, w.look(0).State)
			require.EqualValues(w, 100, w.look(0).Difference)
		}
		// A valid one in between restarts the count.
		w.poll(1001)
		for range 2 {
			require.Len(w, w.ends(protocol.EndOffset{Partition: 0, Offset: 990, Timestamp: old}), 1)
		}
		require.Empty(w, w.ends(protocol.EndOffset{Partition: 0, Offset: 990, Timestamp: old}))
		require.Equal(w, protocol.PartitionReset, w.look(0).State)
	})
}

// TestStaleConfirmsNothing restores a topic and polls only an end offset that is stale.
func TestStaleConfirmsNothing(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1))
		old := time.Now().Add(-5 * time.Second).UnixMilli()
		w.restart()
		w.db.ReplayDone()
		require.Len(w, w.ends(protocol.EndOffset{Partition: 0, Offset: 990, Timestamp: old}), 1)
		require.Equal(w, protocol.PartitionRestored, w.look(0).State)
		require.EqualValues(w, 100, w.look(0).Difference)
		w.poll(1000)
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
	})
}

// TestLogStartSurvives has a log start beyond the commit, which advances, becomes unknown, and goes back.
func TestLogStartSurvives(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 100, 1))
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, LogStartOffset: 600}))
		check := func(state protocol.PartitionState, difference, lost int64) {
			w.Helper()
			p := w.look(0)
			require.Equal(w, state, p.State)
			require.EqualValues(w, difference, p.Difference)
			require.EqualValues(w, difference, p.CurrentLag)
			require.EqualValues(w, lost, p.Lost)
		}
		check(protocol.PartitionBehind, 400, 500)
		w.restart()
		check(protocol.PartitionRestored, 400, 500)
		w.db.ReplayDone()
		w.poll(1000)
		check(protocol.PartitionBehind, 400, 500)
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, LogStartOffset: 1000}))
		check(protocol.PartitionCaughtUp, 0, 900)
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1000, LogStartOffset: 200}))
		check(protocol.PartitionBehind, 800, 100)
		require.NoError(w, w.commit(0, 150, 2))
		check(protocol.PartitionBehind, 800, 50)
		require.NoError(w, w.commit(0, 300, 3))
		check(protocol.PartitionBehind, 700, 0)
	})
}

// TestDeletedWhileDown deletes a topic while the process is down.
func TestDeletedWhileDown(t *testing.T) {
	topics := func(w *world) (all []string) {
		seq, err := w.db.Topics(w.Context(), testkit.Cluster)
		require.NoError(w, err)
		for name := range seq {
			all = append(all, name)
		}
		return all
	}
	set := func(w *world) {
		require.NoError(w, w.commit(0, 900, 1))
		require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "other", protocol.EndOffset{Offset: 1}))
		w.restart()
		require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "other", protocol.EndOffset{Offset: 1}))
	}
	t.Run("and told", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			set(w)
			require.NoError(w, w.db.SyncTopics(w.Context(), testkit.Cluster, []string{"other", "no such"}))
			require.Equal(w, []string{"other"}, topics(w))
			w.gone()
			w.restart()
			require.Equal(w, []string{"other"}, topics(w))
		})
	})
	t.Run("and found", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			set(w)
			for range 12 {
				time.Sleep(time.Minute)
				require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "other", protocol.EndOffset{Offset: 1}))
			}
			require.Equal(w, []string{"other"}, topics(w))
			w.gone()
		})
	})
	t.Run("and replayed", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			set(w)
			require.ErrorIs(w, w.commit(0, 900, 1), storage.ErrDuplicate)
			require.NoError(w, w.commit(0, 910, 2))
			w.db.ReplayDone()
			require.Equal(w, protocol.PartitionRestored, w.look(0).State, "no poll has confirmed the topic")
			for range 12 {
				time.Sleep(time.Minute)
				require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "other", protocol.EndOffset{Offset: 1}))
			}
			w.gone()
		})
	})
}

// TestReplayTimeout confirms restored state although the application never calls ReplayDone.
func TestReplayTimeout(t *testing.T) {
	bubble(t, func(o *storage.Options) { o.ReplayTimeout = 5 * time.Minute }, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1))
		w.restart()
		time.Sleep(4 * time.Minute)
		w.poll(1000)
		require.Equal(w, protocol.PartitionRestored, w.look(0).State)
		time.Sleep(time.Minute + time.Second)
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		time.Sleep(12 * time.Hour)
		w.poll(1000)
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.NoError(w, w.db.Snapshot(w.Context()))
		w.restart()
		require.Equal(w, protocol.PartitionRestored, w.look(0).State)
		require.WithinDuration(w, time.Now(), w.db.Restored().Watermark, 2*time.Minute)
	})
}

// TestFutureThenRestart dates a commit ahead of the clock, and restarts.
func TestFutureThenRestart(t *testing.T) {
	bubble(t, nil, func(w *world) {
		begin := time.Now()
		require.NoError(w, w.commitAt(0, 1, 1, begin.Add(time.Hour)))
		require.NoError(w, w.commitAt(1, 1, 1, begin.Add(time.Hour)))
		for order := int64(2); order < 20; order++ {
			if order%5 == 0 {
				w.restart()
				w.poll(1000)
			}
			time.Sleep(10 * time.Second)
			require.NoError(w, w.commit(0, order, order))
			require.Len(w, w.look(0).Commits, int(min(order, 10)))
		}
		require.Equal(w, begin.UnixMilli(), w.look(1).Commits[0].Timestamp)
		require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "topic", protocol.EndOffset{
			Offset: 1010, Timestamp: time.Now().Add(time.Hour).UnixMilli(),
		}))
		require.Zero(w, w.look(0).EndOffsetAge)
		w.restart()
		time.Sleep(time.Second)
		require.Equal(w, time.Second, w.look(0).EndOffsetAge)
		require.Empty(w, w.ends(protocol.EndOffset{Offset: 1020}))
		require.EqualValues(w, 1020-19, w.look(0).Difference)
	})
}

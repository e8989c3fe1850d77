package ends_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestLatePoll polls 1000 and then 990, dated five seconds before: that is stale.
func TestLatePoll(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(1000)
		w.commit("group", 0, 950)
		require.ErrorIs(w, w.poll(990, 5), storage.ErrStale)
		w.is("group", protocol.PartitionBehind, 50)
		stats, err := w.db.Stats()
		require.NoError(w, err)
		require.EqualValues(w, 1, stats.Requests.SetEndOffset.Dropped[storage.ReasonStale])
		require.NoError(w, w.poll(1000, 5), "a late end offset that is not lower is no contradiction")
		require.ErrorIs(w, w.poll(990, 7), storage.ErrStale)
		require.ErrorIs(w, w.pollOf(0, 50, 990, 7), storage.ErrStale)
		ends, err := w.db.EndOffsets(w.Context(), testkit.Cluster, "topic", nil)
		require.NoError(w, err)
		require.Equal(w, []int64{1000}, ends, "a stale end offset adds no partitions")
		w.is("group", protocol.PartitionBehind, 50)
	})
}

// TestTwoPollers has one poller that is always late by a few seconds: its end offsets are always stale.
func TestTwoPollers(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(1000)
		w.commit("group", 0, 950)
		for i := range int64(100) {
			sleep(10)
			w.end(1010 + 10*i)
			require.ErrorIs(w, w.poll(1000+10*i, 5), storage.ErrStale)
			w.is("group", protocol.PartitionBehind, 60+10*i)
		}
	})
}

// TestClockSetBack stores lower end offsets that are dated before the newest: the third in a row is taken.
func TestClockSetBack(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(1000)
		w.commit("group", 0, 950)
		require.ErrorIs(w, w.poll(900, 3600), storage.ErrStale)
		require.ErrorIs(w, w.poll(901, 3590), storage.ErrStale)
		require.NoError(w, w.poll(902, 3580))
		w.is("group", protocol.PartitionReset)
		require.NoError(w, w.poll(903, 3570), "newer than the one that was taken")
	})
}

// TestUndatedPoll has no time of its own: it counts as now, and is never stale.
func TestUndatedPoll(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(1000)
		w.commit("group", 0, 950)
		require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "topic", protocol.EndOffset{Offset: 990}))
		w.is("group", protocol.PartitionReset)
	})
}

// TestFlapping polls 1000, 998, 1000 for a day, as from two replicas in turn.
func TestFlapping(t *testing.T) {
	for name, id := range map[string]protocol.TopicID{"without an id": {}, "with an id": firstID} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.id = id
				w.end(1000)
				w.commit("stuck", 0, 500)
				w.commit("done", 0, 1000)
				for dip := range 24 * 60 {
					sleep(30)
					w.end(998)
					// Eight bits count the dips: once in 256 a commit from before seems to be of the present incarnation.
					if dip%256 != 255 {
						if id.IsZero() {
							w.is("stuck", protocol.PartitionReset)
						} else {
							w.is("stuck", protocol.PartitionBehind, 498)
						}
						w.is("done", protocol.PartitionReset)
					}
					sleep(30)
					w.end(1000)
					w.is("stuck", protocol.PartitionBehind, 500)
					w.is("done", protocol.PartitionCaughtUp, 0)
				}
				p := w.is("stuck", protocol.PartitionBehind, 500)
				require.Equal(w, protocol.TimeLagAtLeast, p.TimeLag.Kind)
				require.Equal(w, 24*time.Hour, p.TimeLag.Lag, "the lag in time is kept")
				w.commit("last", 0, 999)
				sleep(30)
				w.end(998)
				sleep(30)
				w.end(1000)
				p = w.is("last", protocol.PartitionBehind, 1)
				require.Equal(w, 24*time.Hour+time.Minute, p.TimeLag.Lag, "the last message is as old")
			})
		})
	}
}

// TestDip checks when a dip without an id is undone: if the next end offset within a minute makes up for it.
func TestDip(t *testing.T) {
	for _, test := range []struct {
		name     string
		seconds  int
		next     []int64
		forgiven bool
	}{
		{"made up for", 60, []int64{1000}, true},
		{"made up for, and more", 1, []int64{2000}, true},
		{"too late", 61, []int64{1000}, false},
		{"not quite", 10, []int64{999}, false},
		{"not by the next", 10, []int64{999, 1000}, false},
		{"lower still", 10, []int64{980, 1000}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.start = 400
				w.end(1000)
				w.commit("group", 0, 300)
				w.commit("other", 0, 990)
				sleep(30)
				w.start = 0
				w.end(990)
				w.is("group", protocol.PartitionReset)
				w.commit("during", 0, 980)
				for _, next := range test.next {
					sleep(test.seconds)
					w.end(next)
				}
				newest := test.next[len(test.next)-1]
				if test.forgiven {
					p := w.is("group", protocol.PartitionBehind, newest-400)
					require.EqualValues(w, 100, p.Lost, "the log start is still known")
					w.is("other", protocol.PartitionBehind, newest-990)
				} else {
					w.is("group", protocol.PartitionReset)
					w.is("other", protocol.PartitionReset)
				}
				w.is("during", protocol.PartitionBehind, newest-980)
			})
		})
	}
}

// TestSameID truncates a log, or reads it from a replica that is behind: a commit at or below the new end is as good as
// before.
func TestSameID(t *testing.T) {
	bubble(t, func(w *world) {
		w.id = firstID
		for offset := int64(0); offset <= 1000; offset += 100 {
			w.end(offset)
			sleep(30)
		}
		w.commit("below", 0, 450)
		w.commit("at", 0, 700)
		w.commit("above", 0, 900)
		before := w.is("below", protocol.PartitionBehind, 550)
		require.Equal(w, protocol.TimeLagInterpolated, before.TimeLag.Kind)
		w.end(700)
		p := w.is("below", protocol.PartitionBehind, 250)
		require.Equal(w, before.TimeLag, p.TimeLag, "the lag is as before")
		w.is("at", protocol.PartitionCaughtUp, 0)
		w.is("above", protocol.PartitionReset)
		sleep(30)
		w.end(899)
		w.is("above", protocol.PartitionReset)
		sleep(30)
		w.end(900)
		w.is("above", protocol.PartitionCaughtUp, 0)
		sleep(30)
		w.end(950)
		w.is("above", protocol.PartitionBehind, 50)
		w.end(800)
		w.is("above", protocol.PartitionReset)
		w.commit("above", 0, 790)
		w.is("above", protocol.PartitionBehind, 10)
	})
}

// TestAnotherID recreates a topic, with fewer partitions: nothing of the old one stays.
func TestAnotherID(t *testing.T) {
	bubble(t, func(w *world) {
		w.id = firstID
		for partition := range int32(3) {
			require.NoError(w, w.pollOf(partition, 3, 1000, 0))
			w.commit("group", partition, 900)
		}
		next := kinds(w)
		sleep(30)
		w.id = secondID
		require.NoError(w, w.pollOf(0, 1, 2000, 0), "even if it has grown beyond the old end")
		ends, err := w.db.EndOffsets(w.Context(), testkit.Cluster, "topic", nil)
		require.NoError(w, err)
		require.Equal(w, []int64{2000}, ends)
		var into protocol.Group
		require.ErrorIs(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into), storage.ErrUnknownGroup)
		require.Equal(w, []protocol.EventKind{
			protocol.EventTopicDeleted, protocol.EventTopicCreated, protocol.EventGroupDeleted,
		}, next(3))
		w.commit("group", 0, 1990)
		require.Len(w, w.look("group", 0).EndOffsets, 1)
		w.is("group", protocol.PartitionBehind, 10)

		// A poller that still has the old id changes nothing, whether it is late or only slow to notice.
		w.id = firstID
		for _, ago := range []int{40, 10, 1, 0, 0, 0, 0} {
			require.ErrorIs(w, w.pollOf(2, 3, 1000, ago), storage.ErrStale, "%d s ago", ago)
		}
		ends, err = w.db.EndOffsets(w.Context(), testkit.Cluster, "topic", nil)
		require.NoError(w, err)
		require.Equal(w, []int64{2000}, ends)
		w.is("group", protocol.PartitionBehind, 10)
	})
}

// TestRacingPollers lets two pollers report two ids for an hour: the topic does not alternate.
func TestRacingPollers(t *testing.T) {
	bubble(t, func(w *world) {
		w.id = firstID
		w.end(1000)
		sleep(30)
		w.id = secondID
		w.end(10)
		w.commit("group", 0, 5)
		for range 120 {
			sleep(15)
			w.id = firstID
			require.ErrorIs(w, w.poll(1000, 0), storage.ErrStale)
			sleep(15)
			w.id = secondID
			w.end(10)
			w.is("group", protocol.PartitionBehind, 5)
		}
	})
}

// TestWrongID has a poller that reports the old id again and again although the new one had been seen: the mistake is
// corrected.
func TestWrongID(t *testing.T) {
	bubble(t, func(w *world) {
		w.id = secondID
		w.end(10)
		w.id = firstID
		w.end(1000)
		w.id = secondID
		sleep(30)
		require.ErrorIs(w, w.poll(10, 0), storage.ErrStale)
		sleep(30)
		w.end(10)
		w.id = thirdID
		require.ErrorIs(w, w.poll(7, 300), storage.ErrStale, "a former id")
		require.ErrorIs(w, w.poll(7, 290), storage.ErrStale)
		require.NoError(w, w.poll(7, 280), "three in a row: the clock was set back")
	})
}

// TestIDLearnedLater stores end offsets without an id first: the id is adopted.
func TestIDLearnedLater(t *testing.T) {
	bubble(t, func(w *world) {
		w.end(1000)
		w.commit("group", 0, 900)
		sleep(30)
		w.id = firstID
		w.end(1100)
		w.is("group", protocol.PartitionBehind, 200)
		sleep(30)
		w.id = protocol.TopicID{}
		w.end(1200)
		w.is("group", protocol.PartitionBehind, 300)
		sleep(30)
		w.id = firstID
		w.end(1300)
		sleep(30)
		w.end(1000)
		w.is("group", protocol.PartitionBehind, 100)
	})
	// Nothing says that the first end offset with an id belongs to the same topic.
	t.Run("lower", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.end(1000)
			w.commit("group", 0, 500)
			w.id = firstID
			w.end(900)
			w.is("group", protocol.PartitionReset)
		})
	})
}

// TestIDInBatches has ids in batches.
func TestIDInBatches(t *testing.T) {
	bubble(t, func(w *world) {
		all := func(id protocol.TopicID, offset int64, ago time.Duration) error {
			var batch []protocol.EndOffset
			for partition := range int32(4) {
				batch = append(batch, protocol.EndOffset{
					Partition: partition, Offset: offset, TopicID: id, Timestamp: time.Now().Add(-ago).UnixMilli(),
				})
			}
			return w.db.SetEndOffsetBatch(w.Context(), testkit.Cluster, "topic", batch)
		}
		require.NoError(w, all(firstID, 1000, 0))
		w.commit("group", 3, 900)
		sleep(30)
		require.NoError(w, all(secondID, 10, 0))
		var into protocol.Group
		require.ErrorIs(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into), storage.ErrUnknownGroup)
		var refused *storage.BatchError
		require.ErrorAs(w, all(firstID, 1000, time.Second), &refused)
		require.Len(w, refused.Refused, 4)
		require.ErrorIs(w, refused, storage.ErrStale)
		require.ErrorAs(w, all(secondID, -1, 0), &refused)
		require.ErrorIs(w, refused, storage.ErrInvalid)
		ends, err := w.db.EndOffsets(w.Context(), testkit.Cluster, "topic", nil)
		require.NoError(w, err)
		require.Equal(w, []int64{10, 10, 10, 10}, ends)
	})
}

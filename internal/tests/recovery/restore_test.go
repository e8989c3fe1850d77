package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// populated is a store in a bubble that lived through a random history and was stopped, and what it held.
func populated(t *testing.T, path string, settings ...any) string {
	t.Helper()
	k := startKeeper(t, path, settings...)
	h := newHistory(testkit.Seed(t), time.Now().Add(-time.Hour).UnixMilli())
	h.tell(k, 500)
	held := k.held(false)
	require.NoError(t, k.Stop())
	return held
}

// TestRestore finds everything again after Stop, Configure and Start.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, intervals := range []int{1, 3, 60} {
		for _, segments := range []int{0, 32} {
			t.Run(fmt.Sprintf("intervals=%d,curve-segments=%d", intervals, segments), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					path := snapshotPath(t)
					settings := []any{"intervals", intervals, "curve-segments", segments}
					held := populated(t, path, settings...)
					k := startKeeper(t, path, settings...)
					sameHeld(t, held, k.held(false), "after a restart")
					restored := k.Restored()
					require.Equal(t, path, restored.File)
					require.Zero(t, restored.Skipped)
					require.Empty(t, restored.Damaged)
					stats := k.stats()
					require.Equal(t, stats.Groups, restored.Groups)
					require.Equal(t, stats.Topics, restored.Topics)
					require.Zero(t, stats.Snapshots)

					// Once more, by the same module, through a Coordinator.
					require.NoError(t, k.Stop())
					require.Zero(t, k.Restored())
					k.Configure("test", "storage.test")
					require.NoError(t, k.Start())
					sameHeld(t, held, k.held(false), "after another restart")
				})
			})
		}
	}
}

// TestRestoredState follows the states of partitions: RESTORED until both the end offset and a commit have been seen again; a
// commit that is known already counts.
func TestRestoredState(t *testing.T) {
	t.Parallel()
	path := snapshotPath(t)
	now := time.Now().UnixMilli()
	k := startKeeper(t, path)
	for _, p := range []int32{0, 1} {
		require.NoError(t, k.do(testkit.EndOf("topic", p, 2, 100)))
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", p, 60, int64(10+p), now)))
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", p, 70, int64(20+p), now)))
	}
	require.NoError(t, k.Stop())
	k = startKeeper(t, path)
	states := func(want ...protocol.PartitionState) {
		t.Helper()
		var group protocol.Group
		require.NoError(t, k.Store().Group(context.Background(), "local", "group", &group))
		channel := k.ask(protocol.StorageFetchConsumer, "local", "group", "").(protocol.ConsumerTopics)["topic"]
		for p, state := range want {
			require.Equal(t, state, group.Topics[0].Partitions[p].State)
			require.Equal(t, state, channel[p].State)
			require.EqualValues(t, 30, group.Topics[0].Partitions[p].Difference)
			require.EqualValues(t, 30, channel[p].CurrentLag)
		}
	}
	states(protocol.PartitionRestored, protocol.PartitionRestored)
	require.NoError(t, k.do(testkit.EndOf("topic", 0, 2, 100)))
	states(protocol.PartitionRestored, protocol.PartitionRestored)
	require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 60, 10, now)), storage.ErrDuplicate)
	states(protocol.PartitionBehind, protocol.PartitionRestored)
	require.NoError(t, k.do(testkit.CommitOf("group", "topic", 1, 70, 30, now)))
	states(protocol.PartitionBehind, protocol.PartitionRestored)
	require.NoError(t, k.do(testkit.EndOf("topic", 1, 2, 100)))
	states(protocol.PartitionBehind, protocol.PartitionBehind)
}

// TestRestoreUnderAnotherConfiguration restores what the present configuration accepts.
func TestRestoreUnderAnotherConfiguration(t *testing.T) {
	t.Parallel()
	path := snapshotPath(t)
	now := time.Now().UnixMilli()
	k := startKeeper(t, path, "intervals", 5)
	for i := range int64(7) {
		for _, cluster := range contract.GeneratorClusters {
			for _, group := range []string{"kept", "filtered"} {
				end, commit := testkit.EndOf("topic", 0, 1, 100+i), testkit.CommitOf(group, "topic", 0, 60+i, 1+i, now+i)
				end.Cluster, commit.Cluster = cluster, cluster
				require.NoError(t, k.do(end))
				require.NoError(t, k.do(commit))
			}
		}
	}
	require.NoError(t, k.do(testkit.CommitOf("old", "topic", 0, 60, 1, now-3_600_000)))
	require.NoError(t, k.Stop())
	kept, err := os.ReadFile(path)
	require.NoError(t, err)

	restart := func(clusters []string, settings ...any) *keeper {
		at := snapshotPath(t)
		require.NoError(t, os.WriteFile(at, kept, 0o600))
		config := testkit.Config(append([]any{"snapshot-path", at}, settings...)...)
		config.Clusters = clusters
		k := keeperOf(t, testkit.Configuration(config))
		require.NoError(t, k.Start())
		return k
	}
	offsets := func(k *keeper) (offsets []int64, ends []int64) {
		p := k.ask(protocol.StorageFetchConsumer, "local", "kept", "").(protocol.ConsumerTopics)["topic"][0]
		for _, c := range p.Offsets {
			if c == nil {
				offsets = append(offsets, -1)
			} else {
				offsets = append(offsets, c.Offset)
			}
		}
		return offsets, p.BrokerOffsets
	}

	k = restart([]string{"local"}, "intervals", 3, "group-denylist", "^filtered$", "expire-group", 60)
	require.Equal(t, []string{"kept"}, k.names(protocol.StorageFetchConsumers, "local", ""))
	require.Nil(t, k.names(protocol.StorageFetchConsumers, "remote", ""))
	require.Equal(t, 5, k.Restored().Groups)
	require.Equal(t, 2, k.Restored().Topics)
	// A topic and two groups of the other cluster, and of this one a group that is filtered and one that has expired.
	require.Equal(t, 5, k.Restored().Skipped)
	got, ends := offsets(k)
	require.Equal(t, []int64{64, 65, 66}, got, "a smaller window keeps the newest commits")
	require.Equal(t, []int64{106, 106, 106}[:len(ends)], append([]int64{}, ends[len(ends)-1], ends[len(ends)-1], ends[len(ends)-1])[:len(ends)])

	k = restart([]string{"local", "remote", "third"}, "intervals", 8, "group-allowlist", "^x")
	got, _ = offsets(restart([]string{"local"}, "intervals", 8))
	require.Equal(t, []int64{-1, -1, -1, 62, 63, 64, 65, 66}, got)
	require.Empty(t, k.names(protocol.StorageFetchConsumers, "local", ""))
	require.Equal(t, []string{"topic"}, k.names(protocol.StorageFetchTopics, "remote", ""))
}

// TestSnapshotWhenChanged counts the files that are written: one at each interval in which something changed, and one on
// Stop.
func TestSnapshotWhenChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := snapshotPath(t)
		k := startKeeper(t, path, "snapshot-interval", 60)
		k.ReplayDone()
		saved := func(want int) {
			t.Helper()
			require.EqualValues(t, want, k.stats().Snapshots.Saved)
		}
		wait := func(minutes time.Duration) {
			time.Sleep(minutes * time.Minute)
			synctest.Wait()
		}
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
		saved(0)
		wait(1)
		saved(1)
		wait(10)
		saved(1)
		now := time.Now().UnixMilli()
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 60, 1, now)))
		require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 60, 1, now)), storage.ErrDuplicate)
		wait(1)
		saved(2)
		last := k.stats().Snapshots
		require.Equal(t, time.Now(), last.Last)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, info.Size(), last.Bytes)
		require.Zero(t, last.Failed)

		k.ask(protocol.StorageFetchConsumer, "local", "group", "")
		require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 60, 1, now)), storage.ErrDuplicate)
		require.Error(t, k.do(testkit.CommitOf("group", "unknown", 0, 60, 1, now)))
		wait(3)
		saved(2)
		for i, change := range []*protocol.StorageRequest{
			{RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", Owner: "host"},
			{RequestType: protocol.StorageClearConsumerOwners, Cluster: "local", Group: "group"},
			{RequestType: protocol.StorageSetDeleteGroup, Cluster: "local", Group: "group"},
			{RequestType: protocol.StorageSetDeleteTopic, Cluster: "local", Topic: "topic"},
		} {
			require.NoError(t, k.do(change))
			wait(3)
			saved(3 + i)
		}
		k.save()
		saved(6)
		written, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, k.Stop())
		after, err := os.Stat(path)
		require.NoError(t, err)
		require.True(t, os.SameFile(written, after), "nothing had changed before Stop")
	})
}

// TestSnapshotOnStopOnly turns the interval off.
func TestSnapshotOnStopOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := snapshotPath(t)
		k := startKeeper(t, path, "snapshot-interval", 0)
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
		time.Sleep(24 * time.Hour)
		require.NoFileExists(t, path)
		require.NoError(t, k.Stop())
		require.FileExists(t, path)
	})
}

// TestWatermark checks that the watermark moves only with ReplayDone, and is never later than now.
func TestWatermark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := snapshotPath(t)
		restart := func(want time.Time) *keeper {
			t.Helper()
			time.Sleep(time.Minute)
			k := startKeeper(t, path, "snapshot-interval", 0)
			require.Equal(t, want, k.Restored().Watermark)
			return k
		}
		k := restart(time.Time{})
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
		require.NoError(t, k.Stop())
		k = restart(time.Time{})
		require.NotEmpty(t, k.Restored().File)
		k.ReplayDone()
		k.ReplayDone()
		moved := time.UnixMilli(time.Now().UnixMilli())
		require.NoError(t, k.Stop(), "the watermark alone is worth a snapshot")
		for range 3 {
			k = restart(moved)
			require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
			k.save()
			require.NoError(t, k.Stop())
		}
		k = restart(moved)
		k.ReplayDone()
		time.Sleep(time.Hour)
		moved = time.UnixMilli(time.Now().UnixMilli())
		k.save()
		path = k.crashed()
		restart(moved)
	})
}

// TestClockSetBack restores a snapshot that is dated in the future.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	path := snapshotPath(t)
	k := startKeeper(t, path)
	k.ReplayDone()
	require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
	k.save()
	require.NoError(t, k.Stop())
	synctest.Test(t, func(t *testing.T) {
		// The bubble's clock begins in the year 2000.
		k := startKeeper(t, path, "snapshot-interval", 0, "replay-timeout", 0)
		require.Equal(t, time.UnixMilli(time.Now().UnixMilli()), k.Restored().Watermark)
		require.Equal(t, []string{"topic"}, k.names(protocol.StorageFetchTopics, "local", ""))
		k.ReplayDone()
		require.NoError(t, k.do(testkit.EndOf("later", 0, 1, 100)))
		time.Sleep(time.Hour)
		k.save()
		saved := time.UnixMilli(time.Now().UnixMilli())
		require.NoError(t, k.Stop())
		k = startKeeper(t, path, "snapshot-interval", 0)
		require.Equal(t, saved, k.Restored().Watermark)
		require.Equal(t, []string{"later", "topic"}, k.names(protocol.StorageFetchTopics, "local", ""), "the newest is the last")
	})
}

func TestPersistenceUnsupported(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	k := newKeeper(t, "")
	require.ErrorIs(t, k.Snapshot(ctx), storage.ErrStopped)
	require.NoError(t, k.Start())
	require.ErrorIs(t, k.Snapshot(ctx), storage.ErrUnsupported)
	require.Zero(t, k.Restored())
	k.ReplayDone()
	done, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, k.Snapshot(done), context.Canceled)

	c := testkit.NewCoordinator(testkit.Config("snapshot-path", snapshotPath(t)))
	p, err := c.Persistent()
	require.NoError(t, err)
	require.ErrorIs(t, p.Snapshot(ctx), storage.ErrStopped)
	require.NoError(t, c.Start())
	require.NoError(t, p.Snapshot(ctx))
	require.NoError(t, c.Stop())
	_, err = (&storage.Coordinator{}).Persistent()
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestPersistenceConfiguration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ key, value, complaint string }{
		{"snapshot-interval", "-1", `storage.test.snapshot-interval: "-1" is not allowed; allowed is a whole number of at least 0`},
		{"snapshot-interval", "often", `storage.test.snapshot-interval: "often" is not allowed`},
	} {
		require.PanicsWithValue(t, "storage configuration: "+test.complaint, func() {
			defer func() {
				if r := recover(); r != nil {
					text := r.(string)
					panic(text[:min(len(text), len("storage configuration: "+test.complaint))])
				}
			}()
			newKeeper(t, snapshotPath(t), test.key, test.value)
		})
	}
	v := testkit.Configuration(testkit.Config())
	v.Set("storage.test.snapshot-path", 7)
	require.Panics(t, func() { keeperOf(t, v) })
	require.NoFileExists(t, filepath.Join(t.TempDir(), "state"))
}

// Package clusters tests a set of clusters that changes while the store runs.
package clusters_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// fill makes a topic "a" and some groups of it.
func fill(ctx context.Context, store storage.Store, cluster string, groups int) error {
	err := store.SetEndOffset(ctx, cluster, "a", protocol.EndOffset{Offset: 100})
	for g := range groups {
		commit := protocol.Commit{Topic: "a", Offset: 10, Order: int64(g) + 1, Timestamp: time.Now().UnixMilli()}
		err = errors.Join(err, store.Commit(ctx, cluster, fmt.Sprint("g", g), commit))
	}
	return err
}

func groupsOf(t *testing.T, store storage.Store, cluster string) []string {
	t.Helper()
	names, err := store.Groups(t.Context(), cluster)
	require.NoError(t, err)
	return slices.Sorted(names)
}

func stats(t *testing.T, db *storage.DB) storage.Stats {
	t.Helper()
	s, err := db.Stats()
	require.NoError(t, err)
	return s
}

func TestClustersComeAndGo(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{Clusters: []string{"local"}})
	empty := stats(t, db).Bytes
	ctx := t.Context()
	require.NoError(t, fill(ctx, db, "local", 2))
	require.ErrorIs(t, fill(ctx, db, "new", 1), storage.ErrUnknownCluster)
	require.NoError(t, db.AddCluster("new"))
	require.NoError(t, db.AddCluster("a-first"))
	require.NoError(t, db.AddCluster("new"), "the cluster exists already")
	clusters, err := db.Clusters(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a-first", "local", "new"}, clusters)
	require.NoError(t, fill(ctx, db, "NEW", 300))
	require.NoError(t, db.SetPosition(ctx, "new", protocol.Position{Partition: 1, Offset: 7}))
	require.Equal(t, 3, stats(t, db).Clusters)

	require.NoError(t, db.RemoveCluster("NEW"))
	require.ErrorIs(t, db.RemoveCluster("new"), storage.ErrUnknownCluster)
	_, err = db.Topics(ctx, "new")
	require.ErrorIs(t, err, storage.ErrUnknownCluster)
	require.Equal(t, []string{"g0", "g1"}, groupsOf(t, db, "local"))
	s := stats(t, db)
	require.Equal(t, 2, s.Groups)
	require.Equal(t, 1, s.Topics)

	// A cluster of the same name is another one.
	require.NoError(t, db.AddCluster("new"))
	require.Empty(t, groupsOf(t, db, "new"))
	positions, err := db.Positions(ctx, "new")
	require.NoError(t, err)
	require.Empty(t, positions)
	require.NoError(t, fill(ctx, db, "new", 1))
	require.Equal(t, []string{"g0"}, groupsOf(t, db, "new"))

	// The last cluster may go too, and what is left is less than a group and the maps that held 300.
	for _, name := range []string{"new", "local", "a-first"} {
		require.NoError(t, db.RemoveCluster(name))
	}
	clusters, err = db.Clusters(ctx)
	require.NoError(t, err)
	require.Empty(t, clusters)
	s = stats(t, db)
	require.Zero(t, s.Groups+s.Topics+s.Partitions+s.Clusters)
	require.Less(t, s.Bytes-empty, 64*300)
}

func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{Clusters: []string{"local", "Prod"}})
	for _, name := range []string{"Local", "PROD", "prod", strings.Repeat("x", 32_768)} {
		require.ErrorIs(t, db.AddCluster(name), storage.ErrInvalid, name)
	}
	require.ErrorIs(t, db.RemoveCluster("prod"), storage.ErrUnknownCluster, "prod does not find Prod")
	require.NoError(t, db.RemoveCluster("Prod"))
	require.NoError(t, db.AddCluster("prod"), "the other name is free now")
	clusters, err := db.Clusters(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"local", "prod"}, clusters)

	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprint(i))
	}
	full := testkit.OpenWith(t, storage.Options{Clusters: many, Shards: 1})
	require.ErrorIs(t, full.AddCluster("another"), storage.ErrInvalid)
	require.NoError(t, full.AddCluster("7"))
	require.NoError(t, full.RemoveCluster("7"))
	require.NoError(t, full.AddCluster("another"))
	require.ErrorContains(t, storage.Options{Clusters: append(many, "another")}.Validate(), "10001 names: must be at most 10000")
}

func TestWatcherOfARemovedCluster(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{Clusters: []string{"local", "gone"}})
	require.NoError(t, fill(t.Context(), db, "gone", 2))
	require.NoError(t, fill(t.Context(), db, "local", 1))
	events, err := db.Watch(t.Context(), storage.WatchFilter{})
	require.NoError(t, err)
	require.NoError(t, db.RemoveCluster("gone"))
	require.NoError(t, db.DeleteTopic(t.Context(), "local", "a"))
	var told []string
	for e := range events {
		told = append(told, fmt.Sprintf("%v %s/%s/%s", e.Kind, e.Cluster, e.Group, e.Topic))
		if e.Kind == protocol.EventGroupDeleted && e.Cluster == "local" {
			break
		}
	}
	slices.Sort(told[:2])
	require.Equal(t, []string{
		"group-deleted gone/g0/", "group-deleted gone/g1/", "topic-deleted gone//a", "topic-deleted local//a", "group-deleted local/g0/",
	}, told)
}

func TestClustersAcrossARestart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	options := storage.Options{Clusters: []string{"local", "gone"}, SnapshotPath: filepath.Join(t.TempDir(), "snapshot")}
	db, err := storage.Open(options)
	require.NoError(t, err)
	require.NoError(t, db.AddCluster("new"))
	for _, cluster := range []string{"local", "gone", "new"} {
		require.NoError(t, fill(ctx, db, cluster, 3))
		require.NoError(t, db.DeleteGroup(ctx, cluster, "g2"))
	}
	require.Equal(t, 3, stats(t, db).RememberedDeletions)
	require.NoError(t, db.Snapshot(ctx))
	require.NoError(t, db.RemoveCluster("gone"))
	require.Equal(t, 2, stats(t, db).RememberedDeletions, "deletions of a removed cluster do not count")
	require.NoError(t, db.Close())

	options.Clusters = []string{"local", "gone", "new"}
	db, err = storage.Open(options)
	require.NoError(t, err)
	require.Empty(t, groupsOf(t, db, "gone"), "the newest snapshot is from after the removal")
	require.Equal(t, []string{"g0", "g1"}, groupsOf(t, db, "local"))
	require.Equal(t, []string{"g0", "g1"}, groupsOf(t, db, "new"))
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.AddCluster("x"), storage.ErrStopped)
	require.ErrorIs(t, db.RemoveCluster("new"), storage.ErrStopped)
}

// A Coordinator's Store is a ClusterSet, and returns ErrUnsupported if the module is not.
func TestClusterSetOfACoordinator(t *testing.T) {
	t.Parallel()
	c := testkit.NewCoordinator(testkit.Config())
	store, ok := c.Store().(storage.ClusterSet)
	require.True(t, ok)
	require.ErrorIs(t, store.AddCluster("new"), storage.ErrStopped)
	require.NoError(t, c.Start())
	defer func() { require.NoError(t, c.Stop()) }()
	require.NoError(t, store.AddCluster("new"))
	require.NoError(t, fill(t.Context(), c.Store(), "new", 1))
	require.NoError(t, store.RemoveCluster("new"))
}

// Clusters come and go while everything else runs. At the end only those are left that were never removed.
func TestStress(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := testkit.OpenWith(t, storage.Options{
		Clusters: []string{"local"}, SnapshotPath: filepath.Join(t.TempDir(), "snapshot"), SweepInterval: time.Millisecond,
	})
	require.NoError(t, fill(ctx, db, "local", 20))
	before := groupsOf(t, db, "local")
	var backup bytes.Buffer
	require.NoError(t, db.AddCluster("c0"))
	require.NoError(t, fill(ctx, db, "c0", 20))
	require.NoError(t, db.Export(ctx, &backup))

	done := make(chan struct{})
	var running sync.WaitGroup
	for _, work := range []func(cluster string) error{
		func(cluster string) error { return fill(ctx, db, cluster, 20) },
		func(cluster string) error { return fill(ctx, db, cluster, 5) },
		func(cluster string) error {
			owners := []protocol.PartitionOwner{{Topic: "a", Owner: "x"}}
			return errors.Join(db.SetOwners(ctx, cluster, "g1", owners), db.DeleteGroup(ctx, cluster, "g2"), db.DeleteTopic(ctx, cluster, "a"))
		},
		func(cluster string) error {
			id := protocol.TopicID{1, byte(time.Now().UnixNano())}
			return db.SetEndOffset(ctx, cluster, "b", protocol.EndOffset{Offset: 1, TopicID: id})
		},
		func(string) error { return db.Snapshot(ctx) },
		func(string) error { return db.Import(ctx, bytes.NewReader(backup.Bytes())) },
		func(string) error { _, err := db.Stats(); return err },
		func(cluster string) error {
			names, err := db.Groups(ctx, cluster)
			if err != nil {
				return err
			}
			var group protocol.Group
			for name := range names {
				err = errors.Join(err, db.Group(ctx, cluster, name, &group))
			}
			return err
		},
	} {
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				expected(t, work(fmt.Sprint("c", i%3)))
			}
		})
	}
	for i := range 150 {
		name := fmt.Sprint("c", i%3)
		require.NoError(t, db.AddCluster(name))
		expected(t, fill(ctx, db, name, 3))
		require.NoError(t, db.RemoveCluster(name))
	}
	close(done)
	running.Wait()
	for i := range 3 {
		if err := db.RemoveCluster(fmt.Sprint("c", i)); err != nil {
			require.ErrorIs(t, err, storage.ErrUnknownCluster)
		}
	}
	require.Equal(t, before, groupsOf(t, db, "local"))
	s := stats(t, db)
	require.Equal(t, [4]int{1, 20, 1, 0}, [4]int{s.Clusters, s.Groups, s.Topics, s.RememberedDeletions})
}

// expected checks that errors are those of a cluster, group or topic that others removed or filled.
func expected(t *testing.T, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			expected(t, one)
		}
		return
	}
	if err == nil {
		return
	}
	switch storage.ReasonOf(err) {
	case storage.ReasonUnknownCluster, storage.ReasonUnknownGroup, storage.ReasonUnknownTopic, storage.ReasonUnknownPartition,
		storage.ReasonDuplicate, storage.ReasonStale:
	default:
		t.Error(err)
	}
}

// Package owners tests how the owners of a group are replaced.
package owners_test

import (
	"fmt"
	"path/filepath"
	"regexp"
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

const partitions = 100

// filled opens a store with a group "g" that has committed the partitions of a topic "a", and a topic "b".
func filled(t *testing.T, options storage.Options) *storage.DB {
	t.Helper()
	db := testkit.OpenWith(t, options)
	now := time.Now().UnixMilli()
	for p := range int32(partitions) {
		for _, topic := range []string{"a", "b"} {
			require.NoError(t, db.SetEndOffset(t.Context(), "local", topic, protocol.EndOffset{Partition: p, Offset: 100}))
		}
		require.NoError(t, db.Commit(t.Context(), "local", "g", protocol.Commit{Topic: "a", Partition: p, Offset: 1, Timestamp: now}))
	}
	return db
}

func owned(topic string, partition int32, owner string) protocol.PartitionOwner {
	return protocol.PartitionOwner{Topic: topic, Partition: partition, Owner: owner, ClientID: "client"}
}

// everywhere returns one owner for every partition of topic a.
func everywhere(owner string) []protocol.PartitionOwner {
	all := make([]protocol.PartitionOwner, partitions)
	for p := range all {
		all[p] = owned("a", int32(p), owner)
	}
	return all
}

// ownersOf returns the owners of a group, as "topic/partition": "owner".
func ownersOf(t *testing.T, db *storage.DB, name string) map[string]string {
	t.Helper()
	var group protocol.Group
	require.NoError(t, db.Group(t.Context(), "local", name, &group))
	all := map[string]string{}
	for _, topic := range group.Topics {
		for p := range topic.Partitions {
			if owner := topic.Partitions[p].Owner; owner != "" {
				all[fmt.Sprintf("%s/%d", topic.Name, p)] = owner
			}
		}
	}
	return all
}

// A reader finds all owners of one call or all of another, and a watcher never gets an event for the moment between.
func TestNobodySeesTheMiddle(t *testing.T) {
	t.Parallel()
	db := filled(t, storage.Options{})
	require.NoError(t, db.SetOwners(t.Context(), "local", "g", everywhere("start")))
	events, err := db.Watch(t.Context(), storage.WatchFilter{})
	require.NoError(t, err)
	const rounds = 300
	var writing sync.WaitGroup
	for writer := range 2 {
		writing.Go(func() {
			for round := range rounds {
				if err := db.SetOwners(t.Context(), "local", "g", everywhere(fmt.Sprint(writer, "-", round))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	var group protocol.Group
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		require.NoError(t, db.Group(t.Context(), "local", "g", &group))
		require.Len(t, group.Topics[0].Partitions, partitions)
		first := group.Topics[0].Partitions[0].Owner
		require.NotEmpty(t, first)
		for p := range group.Topics[0].Partitions {
			require.Equal(t, first, group.Topics[0].Partitions[p].Owner)
		}
	}
	require.NoError(t, db.DeleteGroup(t.Context(), "local", "g"))
	for e := range events {
		if e.Kind == protocol.EventGroupDeleted {
			break
		}
		require.NotEqual(t, protocol.EventOwnersCleared, e.Kind)
		require.False(t, e.Kind == protocol.EventOwnerChanged && e.Owner == "", "%+v", e)
	}
}

// The events are the differences from one call to the next.
func TestWatcherLearnsOfWhatIsAnother(t *testing.T) {
	t.Parallel()
	db := filled(t, storage.Options{})
	events, err := db.Watch(t.Context(), storage.WatchFilter{})
	require.NoError(t, err)
	set := func(owners ...protocol.PartitionOwner) {
		t.Helper()
		require.NoError(t, db.SetOwners(t.Context(), "local", "g", owners))
	}
	set()                                       // nobody, as before
	set(owned("a", 0, "x"), owned("a", 7, "y")) // two
	set(owned("a", 7, "y"), owned("a", 0, "x")) // nothing new
	set(owned("a", 0, "x"), owned("a", 8, "z")) // one goes, one comes
	set(owned("a", 0, "q"), owned("a", 0, "r")) // the later counts, and only it has an event
	set(owned("b", 3, "x"))                     // in a topic that is new to the group
	set(protocol.PartitionOwner{Topic: "b"})    // nobody owns a partition, so nobody owns any
	set(owned("a", 5, "x"))                     // there is an owner again
	require.Error(t, db.SetOwners(t.Context(), "local", "g", []protocol.PartitionOwner{owned("none", 0, "x")}))
	set()
	require.NoError(t, db.DeleteGroup(t.Context(), "local", "g"))
	var told []string
	for e := range events {
		if e.Kind == protocol.EventGroupDeleted {
			break
		}
		told = append(told, strings.TrimSpace(fmt.Sprintf("%v %s/%s/%d %s %s", e.Kind, e.Group, e.Topic, e.Partition, e.Owner, e.ClientID)))
	}
	require.Equal(t, []string{
		"owner-changed g/a/0 x client", "owner-changed g/a/7 y client",
		"owner-changed g/a/7", "owner-changed g/a/8 z client",
		"owner-changed g/a/0 r client", "owner-changed g/a/8",
		"group-topic-created g/b/0", "owner-changed g/a/0", "owner-changed g/b/3 x client",
		"owners-cleared g//0",
		"owner-changed g/a/5 x client",
		"owners-cleared g//0",
	}, told)
}

func TestRefusedOwners(t *testing.T) {
	t.Parallel()
	db := filled(t, storage.Options{GroupDeny: regexp.MustCompile("^secret")})
	long := strings.Repeat("x", 32_768)
	err := db.SetOwners(t.Context(), "local", "g", []protocol.PartitionOwner{
		owned("none", 0, "x"), owned("a", 0, "x"), owned("a", partitions, "x"), owned("a", -1, "x"), owned("a", 1, long), owned(long, 1, "x"),
		{Topic: "a", Partition: 2, ClientID: long}, owned("b", 1, "y"),
	})
	var batch *storage.BatchError
	require.ErrorAs(t, err, &batch)
	require.Equal(t, []storage.Refusal{
		{Index: 0, Err: storage.ErrUnknownTopic}, {Index: 2, Err: storage.ErrUnknownPartition}, {Index: 3, Err: storage.ErrInvalid},
		{Index: 4, Err: storage.ErrInvalid}, {Index: 5, Err: storage.ErrInvalid}, {Index: 6, Err: storage.ErrInvalid},
	}, batch.Refused)
	require.Equal(t, map[string]string{"a/0": "x", "b/1": "y"}, ownersOf(t, db, "g"))

	require.ErrorAs(t, db.SetOwners(t.Context(), "local", "secret", everywhere("x")), &batch)
	require.Len(t, batch.Refused, partitions)
	require.Equal(t, storage.ErrFiltered, batch.Refused[partitions-1].Err)
	require.NoError(t, db.SetOwners(t.Context(), "local", "secret", nil))
	require.ErrorIs(t, db.ClearOwners(t.Context(), "local", "secret"), storage.ErrUnknownGroup)

	// A deleted topic takes its owners along, and the rest is replaced.
	require.NoError(t, db.DeleteTopic(t.Context(), "local", "b"))
	require.ErrorIs(t, db.SetOwners(t.Context(), "local", "g", []protocol.PartitionOwner{owned("b", 1, "y"), owned("a", 1, "x")}), storage.ErrUnknownTopic)
	require.Equal(t, map[string]string{"a/1": "x"}, ownersOf(t, db, "g"))

	stats, err := db.Stats()
	require.NoError(t, err)
	require.Equal(t, storage.RequestCount{Done: 3, Dropped: map[storage.Reason]uint64{
		storage.ReasonUnknownTopic: 2, storage.ReasonUnknownPartition: 1, storage.ReasonInvalid: 4, storage.ReasonFiltered: partitions,
	}}, stats.Requests.SetOwner)
}

// Owners are replaced while their topics are deleted and recreated, and only owners of the last call are left.
func TestSetOwnersWhileTopicsGo(t *testing.T) {
	t.Parallel()
	db := filled(t, storage.Options{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for range 200 {
			_ = db.DeleteTopic(t.Context(), "local", "b")
			if err := db.SetEndOffset(t.Context(), "local", "b", protocol.EndOffset{Partition: 3, Offset: 100}); err != nil {
				t.Error(err)
			}
		}
	})
	for round := range 500 {
		owner := fmt.Sprint(round)
		err := db.SetOwners(t.Context(), "local", "g", []protocol.PartitionOwner{owned("b", 3, owner), owned("a", 1, owner), owned("b", 4, owner)})
		require.NotErrorIs(t, err, storage.ErrInvalid)
		for partition, by := range ownersOf(t, db, "g") {
			require.Equal(t, owner, by, partition)
		}
	}
	changing.Wait()
	require.NoError(t, db.SetOwners(t.Context(), "local", "g", []protocol.PartitionOwner{owned("b", 3, "last")}))
	require.Equal(t, map[string]string{"b/3": "last"}, ownersOf(t, db, "g"))
}

// Replaced owners are in a snapshot, and their removal is a change that is worth one.
func TestReplacedOwnersSurvive(t *testing.T) {
	t.Parallel()
	options := storage.Options{SnapshotPath: filepath.Join(t.TempDir(), "snapshot"), Clusters: []string{"local"}}
	db, err := storage.Open(options)
	require.NoError(t, err)
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "a", protocol.EndOffset{Partition: 1, Offset: 100}))
	require.ErrorIs(t, db.SetOwners(t.Context(), "local", "idle", []protocol.PartitionOwner{owned("a", 0, "x"), owned("a", 1, "x")}), storage.ErrUnknownPartition)
	require.Equal(t, map[string]string{"a/1": "x"}, ownersOf(t, db, "idle"))
	require.NoError(t, db.Close())

	db, err = storage.Open(options)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a/1": "x"}, ownersOf(t, db, "idle"))
	require.NoError(t, db.Snapshot(t.Context()))
	require.NoError(t, db.SetOwners(t.Context(), "local", "idle", nil))
	require.NoError(t, db.Close())

	db, err = storage.Open(options)
	require.NoError(t, err)
	require.Empty(t, ownersOf(t, db, "idle"))
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.SetOwners(t.Context(), "local", "idle", nil), storage.ErrStopped)
}

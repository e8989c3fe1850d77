package contract

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseDrops covers step 1 of a commit. drops checks each time that a dropped commit changes nothing: no group or topic is
// created, and an existing group stays as it is.
func exerciseDrops(t *testing.T, factory Factory) {
	allow := worldConfig.with("group-allowlist", "^(team|crew)-")
	deny := worldConfig.with("group-denylist", "-test$")
	both := allow.with("group-denylist", "-test$")

	// dropped drops a commit of a group that does not exist, and then of one that does.
	dropped := func(w *world, why error, change func(*protocol.StorageRequest)) {
		w.t.Helper()
		w.end("topic", 0, 2, 100)
		for _, there := range []bool{false, true} {
			if there {
				w.commit("group", "topic", 0, 10, 1, 0)
			}
			r := w.commitOf("group", "topic", 0, 20, 2, 1000)
			change(&r)
			w.drops(why, r)
		}
	}

	behave(t, factory, []behaviour{
		{name: "unknown cluster", run: func(w *world) {
			dropped(w, storage.ErrUnknownCluster, func(r *protocol.StorageRequest) { r.Cluster = "nowhere" })
		}},
		{name: "topic of another cluster", run: func(w *world) {
			dropped(w, storage.ErrUnknownTopic, func(r *protocol.StorageRequest) { r.Cluster = "remote" })
		}},
		{name: "unknown topic", run: func(w *world) {
			dropped(w, storage.ErrUnknownTopic, func(r *protocol.StorageRequest) { r.Topic = "other" })
		}},
		{name: "negative offset", run: func(w *world) {
			dropped(w, storage.ErrInvalid, func(r *protocol.StorageRequest) { r.Offset = -1 })
			for _, offset := range []int64{-2, math.MinInt64} {
				r := w.commitOf("group", "topic", 0, 20, 2, 1000)
				r.Offset = offset
				w.drops(storage.ErrInvalid, r)
			}
		}},
		{name: "negative partition", run: func(w *world) {
			dropped(w, storage.ErrInvalid, func(r *protocol.StorageRequest) { r.Partition = -1 })
		}},
		{name: "least partition", run: func(w *world) {
			dropped(w, storage.ErrInvalid, func(r *protocol.StorageRequest) { r.Partition = math.MinInt32 })
		}},
		{name: "partition beyond the count", run: func(w *world) {
			dropped(w, storage.ErrUnknownPartition, func(r *protocol.StorageRequest) { r.Partition = 2 })
		}},
		{name: "greatest partition", run: func(w *world) {
			dropped(w, storage.ErrUnknownPartition, func(r *protocol.StorageRequest) { r.Partition = math.MaxInt32 })
		}},
		{name: "partition without an end offset", run: func(w *world) {
			dropped(w, storage.ErrUnknownPartition, func(r *protocol.StorageRequest) { r.Partition = 1 })
		}},
		{name: "older than expire-group", run: func(w *world) {
			old := time.Now().Add(-7*24*time.Hour - time.Minute).UnixMilli()
			dropped(w, storage.ErrTooOld, func(r *protocol.StorageRequest) { r.Timestamp = old })
			for _, at := range []int64{0, -1, math.MinInt64} {
				r := w.commitOf("group", "topic", 0, 20, 2, 0)
				r.Timestamp = at
				w.drops(storage.ErrTooOld, r)
			}
		}},
		{name: "not quite as old as expire-group", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			r := w.commitOf("group", "topic", 0, 20, 2, 0)
			r.Timestamp = time.Now().Add(-7*24*time.Hour + time.Hour).UnixMilli()
			w.sets(r)
			w.groups("group")
		}},
		{name: "every reason at once", run: func(w *world) {
			// Of several reasons the first in the contract's list is returned.
			r := w.commitOf("group", "other", 5, 20, 2, 0)
			r.Cluster, r.Timestamp = "nowhere", 0
			w.drops(storage.ErrUnknownCluster, r)
			r.Cluster, r.Offset = "local", -1
			w.drops(storage.ErrInvalid, r)
			r.Offset = 20
			w.drops(storage.ErrTooOld, r)
			r.Timestamp = w.base
			w.drops(storage.ErrUnknownTopic, r)
		}},
		{name: "age before filter", config: deny, run: func(w *world) {
			r := w.commitOf("group-test", "other", 5, 20, 2, 0)
			w.drops(storage.ErrFiltered, r)
			r.Timestamp = 0
			w.drops(storage.ErrTooOld, r)
		}},

		{name: "allowlist", config: allow, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for _, group := range []string{"", "team", "a-team-b", "Team-a", "other"} {
				w.drops(storage.ErrFiltered, w.commitOf(group, "topic", 0, 10, 1, 0))
				w.drops(storage.ErrFiltered, ownerOf("local", group, "topic", 0, "host", "client"))
			}
			for _, group := range []string{"team-a", "crew-", "team-a-test"} {
				w.commit(group, "topic", 0, 10, 1, 0)
			}
			w.groups("team-a", "crew-", "team-a-test")
		}},
		{name: "denylist", config: deny, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for _, group := range []string{"a-test", "-test"} {
				w.drops(storage.ErrFiltered, w.commitOf(group, "topic", 0, 10, 1, 0))
				w.drops(storage.ErrFiltered, ownerOf("local", group, "topic", 0, "host", "client"))
			}
			for _, group := range []string{"a-test-b", "a-TEST", ""} {
				w.commit(group, "topic", 0, 10, 1, 0)
			}
			w.groups("a-test-b", "a-TEST", "")
		}},
		{name: "both lists", config: both, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.drops(storage.ErrFiltered, w.commitOf("team-test", "topic", 0, 10, 1, 0))
			w.drops(storage.ErrFiltered, w.commitOf("other", "topic", 0, 10, 1, 0))
			w.commit("team-a", "topic", 0, 10, 1, 0)
			w.groups("team-a")
		}},
		{name: "empty lists are unset", config: worldConfig.with("group-allowlist", "").with("group-denylist", ""),
			run: func(w *world) {
				w.end("topic", 0, 1, 100)
				w.commit("group", "topic", 0, 10, 1, 0)
				w.groups("group")
			}},
		{name: "the old names of the lists", config: worldConfig.
			with("group-whitelist", "^team-").with("group-blacklist", "-test$"),
			run: func(w *world) {
				w.end("topic", 0, 1, 100)
				w.drops(storage.ErrFiltered, w.commitOf("team-test", "topic", 0, 10, 1, 0))
				w.drops(storage.ErrFiltered, w.commitOf("other", "topic", 0, 10, 1, 0))
				w.commit("team-a", "topic", 0, 10, 1, 0)
				w.groups("team-a")
			}},
		{name: "what comes after a drop is taken", run: func(w *world) {
			w.drops(storage.ErrUnknownTopic, w.commitOf("group", "topic", 0, 10, 1, 0))
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.window("group", "topic", "nil nil 10/1/90@0")
			require.Equal(w.t, uint64(90), w.partition("group", "topic", 0).CurrentLag)
		}},
	})
}

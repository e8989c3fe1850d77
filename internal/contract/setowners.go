package contract

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// setOwners replaces the owners of a group and checks the reason for each that is refused.
func (w *world) setOwners(group string, owners []protocol.PartitionOwner, want ...error) {
	w.t.Helper()
	each := batchErrors(w.t, len(owners), w.store.SetOwners(context.Background(), "local", group, owners))
	for i, err := range each {
		var wanted error
		if i < len(want) {
			wanted = want[i]
		}
		require.ErrorIs(w.t, err, wanted, "owner %d", i)
	}
}

// owned checks owner and client id of a partition of topic "topic".
func (w *world) owned(group string, partition int, owner, clientID string) {
	w.t.Helper()
	p := w.partition(group, "topic", partition)
	require.Equal(w.t, [2]string{owner, clientID}, [2]string{p.Owner, p.ClientID}, "partition %d", partition)
}

func exerciseSetOwners(t *testing.T, w *world) {
	ctx := context.Background()
	of := func(partition int32, owner, clientID string) protocol.PartitionOwner {
		return protocol.PartitionOwner{Topic: "topic", Partition: partition, Owner: owner, ClientID: clientID}
	}
	w.setOwners("group", []protocol.PartitionOwner{of(0, "host-0", "a"), of(1, "host-1", "b")})
	w.owned("group", 0, "host-0", "a")
	w.owned("group", 1, "host-1", "b")

	// A partition that is not named has no owner, whoever set the previous one.
	w.owner("group", "topic", 1, "host-2", "c")
	w.setOwners("group", []protocol.PartitionOwner{of(0, "host-0", "d")})
	w.owned("group", 0, "host-0", "d")
	w.owned("group", 1, "", "")

	// The later of two owners counts, and a refused one counts as not named.
	long := strings.Repeat("x", 32_768)
	w.setOwners("group", []protocol.PartitionOwner{
		of(1, "first", ""), {Topic: "unknown", Owner: "x"}, of(0, long, ""), of(9, "x", ""), of(-1, "x", ""), of(1, "second", ""),
	}, nil, storage.ErrUnknownTopic, storage.ErrInvalid, storage.ErrUnknownPartition, storage.ErrInvalid)
	w.owned("group", 0, "", "")
	w.owned("group", 1, "second", "")

	// An empty list clears the owners. Commits stay, and nothing is created.
	w.setOwners("group", nil)
	w.owned("group", 1, "", "")
	before := w.state()
	w.setOwners("group", nil)
	w.setOwners("nobody", nil)
	w.setOwners("nobody", []protocol.PartitionOwner{{Topic: "unknown", Owner: "x"}}, storage.ErrUnknownTopic)
	w.setOwners(long, []protocol.PartitionOwner{of(0, "x", "")}, storage.ErrInvalid)
	require.ErrorIs(t, w.store.SetOwners(ctx, "nowhere", "group", []protocol.PartitionOwner{of(0, "x", "")}), storage.ErrUnknownCluster)
	require.Equal(t, before, w.state())

	// A group may have owners only, as by SetOwner.
	w.setOwners("idle", []protocol.PartitionOwner{of(1, "host", "client")})
	w.owned("idle", 1, "host", "client")
	require.Empty(t, w.partition("idle", "topic", 1).Offsets)
}

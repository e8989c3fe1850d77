package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestRefusedOwnersLeaveNoMembers replaces owners by some of which one is too long and one is of an unknown partition.
func TestRefusedOwnersLeaveNoMembers(t *testing.T) {
	t.Parallel()
	e, c, _ := newTestEngine(1, 10)
	require.Zero(t, e.SetEndOffset(c, "t", &protocol.EndOffset{Partition: 1, TopicPartitionCount: 2, Offset: 9}))
	whys := map[int]Reason{}
	why := e.SetOwners(c, "g", []protocol.PartitionOwner{
		{Topic: "t", Partition: 0, Owner: "of an unknown partition"},
		{Topic: "t", Partition: 1, Owner: strings.Repeat("x", MaxName+1)},
		{Topic: "t", Partition: 1, Owner: "host", ClientID: "client"},
	}, func(i int, why Reason) { whys[i] = why })
	require.Zero(t, why)
	require.Equal(t, map[int]Reason{0: UnknownPartition, 1: Invalid}, whys)
	g := e.onlyGroup(t, "g")
	require.Equal(t, []member{{"host", "client"}}, g.members.list)
	require.Equal(t, member{"host", "client"}, g.owner(1))
	e.checkInvariants(t)
}

package channel

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// Requests about one group or topic form one chain, in the order sent. Requests that may depend on each other across groups
// and topics are in different steps. Fetches are carried out at once.
func TestSteps(t *testing.T) {
	t.Parallel()
	commit := func(group string, n int64) protocol.StorageRequest {
		return protocol.StorageRequest{RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: group, Topic: "t", Offset: n}
	}
	requests := []protocol.StorageRequest{
		{RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "t", Offset: 0},
		{RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "u", Offset: 1},
		{RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "t", Offset: 2},
		commit("a", 3), commit("b", 4), commit("a", 5),
		{RequestType: protocol.StorageSetDeleteGroup, Cluster: "local", Group: "a", Offset: 6},
		{RequestType: protocol.StorageSetConsumerOwner, Cluster: "other", Group: "a", Offset: 7},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "a", Offset: 8},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "a", Offset: 9},
		{RequestType: protocol.StorageSetDeleteTopic, Cluster: "local", Topic: "t", Offset: 10},
		{RequestType: protocol.StorageSetDeleteTopic, Cluster: "local", Topic: "u", Offset: 11},
		{RequestType: -1, Offset: 12},
	}
	var got [][][]int64
	for step := range steps(requests) {
		var chains [][]int64
		for _, chain := range step {
			var numbers []int64
			for _, request := range chain {
				numbers = append(numbers, request.Offset)
			}
			chains = append(chains, numbers)
		}
		got = append(got, chains)
	}
	require.Equal(t, [][][]int64{{{0, 2}, {1}}, {{3, 5, 6}, {4}, {7}}, {{8}, {9}}, {{10}}, {{11}}, {{12}}}, got)
}

package snapshot

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVersionWithoutTopicIDs reads a file of version 1.0.
func TestVersionWithoutTopicIDs(t *testing.T) {
	header := blocksOf(t, (&state{}).encode(t))[0]
	blocks := [][]byte{header, makeBlock(blockTopics, []byte{tagNew, 0, 1, 'c', 0, 1, 't', 2, 7, 1, 6, 0, 0, 0, tagEnd, tagEnd})}
	got := &state{}
	for minor, sound := range map[uint16]bool{0: true, 1: false} {
		file := assemble(minor, blocks...)
		r := &Reader{minor: minor, src: bytes.NewReader(file), size: int64(len(file)), sum: Summary{Blocks: 2}}
		err := r.CopyTo(got)
		if !sound {
			require.Error(t, err, "in 1.1 the 1 is the length of an id")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []Topic{{Cluster: "c", Name: "t", PartitionCount: 2, Incarnation: 7, Partitions: []Partition{
			{Number: 0, Incarnation: 3},
		}}}, got.Topics)
	}
}

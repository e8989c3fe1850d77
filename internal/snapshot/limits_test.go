package snapshot_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
	"github.com/lagkeeper/storage/protocol"
)

// counter is a sink that counts.
type counter struct{ partitions, commits, owners int }

func (c *counter) WriteTopic(t *snapshot.Topic) error {
	c.partitions += len(t.Partitions)
	return nil
}

func (c *counter) WriteGroup(g *snapshot.Group) error {
	unpacked := g.Unpacked()
	for i := range unpacked.Topics {
		for _, p := range unpacked.Topics[i].Partitions {
			c.commits += len(p.Commits)
			c.owners += len(p.Owner)
		}
	}
	return nil
}

// TestGreatestRecordsFit writes the largest records of a store.
func TestGreatestRecordsFit(t *testing.T) {
	const longest = 32_767
	name := func(n int) string { return fmt.Sprintf("%08d", n) + strings.Repeat("n", longest-8) }
	commits := make([]protocol.StoredCommit, 1000)
	for i := range commits {
		// Differences that take all bits.
		at := int64(math.MaxInt64)
		if i%2 == 0 {
			at = -at
		}
		commits[i] = protocol.StoredCommit{
			Offset: at, Order: -at, Timestamp: at, ObservedTimestamp: -at / 1000 * 1000, Lag: uint64(at), LagKnown: true,
		}
	}
	g := &snapshot.Group{Cluster: name(0), Name: name(1), LastCommit: 1, LastOwner: 1}
	for i := range 5 {
		topic := snapshot.GroupTopic{Name: name(10 + i), PartitionCount: snapshot.MaxPartitions, LastCommit: 1}
		for p := range int32(20) {
			topic.Partitions = append(topic.Partitions, snapshot.GroupPartition{
				Number: snapshot.MaxPartitions - 20 + p, Owner: name(1000*i + int(p)), ClientID: name(-1000*i - int(p)), Commits: commits,
			})
		}
		g.Topics = append(g.Topics, topic)
	}
	whole := &snapshot.Topic{Cluster: name(0), Name: name(10), PartitionCount: snapshot.MaxPartitions, Partitions: make([]snapshot.Partition, snapshot.MaxPartitions)}
	for i := range whole.Partitions {
		whole.Partitions[i] = snapshot.Partition{Number: int32(i), EndOffsets: []snapshot.EndOffset{{Offset: int64(i), Timestamp: 1}}}
	}
	ends := make([]snapshot.EndOffset, 1000)
	for i := range ends {
		ends[i] = snapshot.EndOffset{Offset: commits[i].Offset, Timestamp: commits[i].Timestamp}
	}
	long := &snapshot.Topic{Cluster: name(0), Name: name(11), PartitionCount: 3}
	for p := range int32(3) {
		long.Partitions = append(long.Partitions, snapshot.Partition{Number: p, EndOffsets: ends, Curve: bytes.Repeat([]byte{1}, 128*40)})
	}

	var file bytes.Buffer
	w := snapshot.NewWriter(&file, snapshot.Header{TakenAt: 1})
	blocks := w.Blocks()
	require.NoError(t, blocks.WriteTopic(whole))
	require.NoError(t, blocks.WriteTopic(long))
	require.NoError(t, snapshottest.Packing{Output: blocks}.WriteGroup(g))
	sum, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 100_000, sum.Commits)
	r, err := snapshot.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	var seen counter
	require.NoError(t, r.Read(t.Context(), &seen))
	require.Equal(t, counter{snapshot.MaxPartitions + 3, 100_000, 100 * longest}, seen)
}

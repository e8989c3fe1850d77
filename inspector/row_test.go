package inspector_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// TestRowOf is a group that read 30, 40, 50 … messages a second of the 20 that are written, and one that keeps up.
func TestRowOf(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	group := func(read func(i int64) int64) *protocol.Group {
		end := int64(20 * 10 * 5)
		p := protocol.GroupPartition{
			State: protocol.PartitionBehind, Owner: "host", ClientID: "client", EndOffsets: []int64{end}, DifferenceKnown: true,
			TimedEndOffsets: []protocol.TimedEndOffset{{Offset: end, Time: now}},
		}
		for i := range int64(10) {
			at, offset := now.UnixMilli()-5000*(9-i), read(i)
			p.Commits = append(p.Commits, protocol.StoredCommit{
				Offset: offset, Timestamp: at, ObservedTimestamp: at, Lag: uint64(100*(i+1) - offset), LagKnown: true,
			})
			p.Difference, p.CurrentLag = end-offset, uint64(end-offset)
		}
		return &protocol.Group{TakenAt: now, Topics: []protocol.GroupTopic{{Name: "b", Partitions: []protocol.GroupPartition{p, p}}, {Name: "a"}}}
	}
	row := inspector.RowOf("c", "g", group(func(i int64) int64 { return 100*(i+1) - 10*(10-i) }), status.Options{})
	assert.Equal(t, status.CatchingUp, row.Status)
	assert.Equal(t, [4]int{2, 2, 1, 20}, [4]int{row.Topics, row.Partitions, row.Members, int(*row.Lag.Messages)})
	assert.InDelta(t, 40, *row.Flow.InPerSecond, 1e-9)
	assert.InDelta(t, 44, *row.Flow.OutPerSecond, 1e-9)
	require.NotNil(t, row.Flow.CatchUpMs)
	assert.EqualValues(t, 5000, *row.Flow.CatchUpMs)
	assert.Equal(t, now.UnixMilli(), *row.LastCommit)

	row = inspector.RowOf("c", "g", group(func(i int64) int64 { return 100*(i+1) - 10 - i%2 }), status.Options{})
	assert.Equal(t, status.OK, row.Status)
	assert.Nil(t, row.Flow.CatchUpMs, "one that keeps up does not catch up")

	detail := inspector.DetailOf("c", "g", group(func(i int64) int64 { return 100 * i }), status.Options{})
	require.Len(t, detail.TopicDetails, 2)
	assert.Equal(t, "a", detail.TopicDetails[0].Topic)
	p := detail.TopicDetails[1].Partitions[1]
	assert.Equal(t, [3]int64{900, 1000, 100}, [3]int64{*p.Committed, *p.EndOffset, int64(*p.Lag.Messages)})
	assert.Equal(t, "host", p.Owner)
}

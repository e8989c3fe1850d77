package protocol_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestLogPartitionOf compares with Math.abs("…".hashCode()) % count in Java.
func TestLogPartitionOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		group       string
		count, want int32
	}{
		{"", 50, 0}, {"a", 50, 97 % 50}, {"ab", 50, (97*31 + 98) % 50},
		{"hello", 1000, 322},                 // 99162322
		{"polygenelubricants", 50, 0},        // the least int32
		{"\U0001F600", 1000, 1772899 % 1000}, // two UTF-16 units: 31*55357 + 56832
		{"group", 0, -1}, {"group", -3, -1}, {"group", 1, 0},
	} {
		require.Equal(t, c.want, protocol.LogPartitionOf(c.group, c.count), "%q of %d", c.group, c.count)
	}
	require.True(t, protocol.LogPartition{Partition: 47, Count: 50}.Holds("a"))
	require.False(t, protocol.LogPartition{Partition: 46, Count: 50}.Holds("a"))
}

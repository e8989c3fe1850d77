package contract

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// checkMoments checks the times of a typed answer that was fetched at a moment: when it was taken, and when its end offsets
// were measured.
func checkMoments(t testing.TB, group *protocol.Group, asked time.Time) {
	t.Helper()
	// A coarse clock may be a second behind.
	require.WithinRange(t, group.TakenAt, asked.Add(-time.Second), time.Now().Add(time.Second), "TakenAt")
	for _, topic := range group.Topics {
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			if len(p.EndOffsets) == 0 {
				require.Empty(t, p.TimedEndOffsets, "TimedEndOffsets of %s/%d, which has no end offset", topic.Name, i)
				require.Negative(t, p.EndOffsetAge, "EndOffsetAge of %s/%d, which has no end offset", topic.Name, i)
				continue
			}
			require.NotEmpty(t, p.TimedEndOffsets, "TimedEndOffsets of %s/%d", topic.Name, i)
			newest := p.TimedEndOffsets[len(p.TimedEndOffsets)-1]
			require.Equal(t, p.EndOffsets[len(p.EndOffsets)-1], newest.Offset, "newest of TimedEndOffsets of %s/%d", topic.Name, i)
			require.Equal(t, max(0, group.TakenAt.Sub(newest.Time)), p.EndOffsetAge, "EndOffsetAge of %s/%d", topic.Name, i)
			for n := range len(p.TimedEndOffsets) - 1 {
				a, b := p.TimedEndOffsets[n], p.TimedEndOffsets[n+1]
				require.LessOrEqual(t, a.Offset, b.Offset, "TimedEndOffsets of %s/%d: %v", topic.Name, i, p.TimedEndOffsets)
				require.False(t, a.Time.After(b.Time), "TimedEndOffsets of %s/%d: %v", topic.Name, i, p.TimedEndOffsets)
			}
		}
	}
}

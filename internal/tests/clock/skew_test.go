package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// TestClocksOfOthersResetNobody has a healthy group that commits what was written since the last poll, while the clock that
// dates its commits, or the end offsets, is wrong.
func TestClocksOfOthersResetNobody(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]struct{ commits, polls time.Duration }{
		"all right":       {},
		"polls behind":    {polls: -90 * time.Second},
		"polls ahead":     {polls: 90 * time.Second},
		"commits behind":  {commits: -90 * time.Second},
		"commits ahead":   {commits: 90 * time.Second},
		"both behind":     {commits: -90 * time.Second, polls: -90 * time.Second},
		"polls far apart": {polls: -time.Hour, commits: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
				require.NoError(t, err)
				defer func() { require.NoError(t, db.Close()) }()
				var group protocol.Group
				for i := range int64(100) {
					now := time.Now()
					require.NoError(t, db.SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{
						TopicPartitionCount: 1, Offset: 100 * i, Timestamp: now.Add(off.polls).UnixMilli(),
					}))
					for step := range int64(5) {
						time.Sleep(5 * time.Second)
						require.NoError(t, db.Commit(t.Context(), "local", "group", protocol.Commit{
							Topic: "topic", Offset: 100*i + 10*step, Order: 5*i + step + 1,
							Timestamp: time.Now().Add(off.commits).UnixMilli(),
						}))
						require.NoError(t, db.Group(t.Context(), "local", "group", &group))
						p := &group.Topics[0].Partitions[0]
						want := protocol.PartitionAhead
						if step == 0 {
							want = protocol.PartitionCaughtUp
						}
						require.Equal(t, want, p.State, "poll %d, commit %d", i, step)
						require.Equal(t, -10*step, p.Difference)
					}
				}
			})
		})
	}
}

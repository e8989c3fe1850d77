package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

type discardSink struct{}

func (discardSink) WriteTopic(*snapshot.Topic) error { return nil }
func (discardSink) WriteGroup(*snapshot.Group) error { return nil }
func (discardSink) Flush() error                     { return nil }

// BenchmarkCommitBesideDeletions deletes a million groups of one shard, then commits while a snapshot is written and while
// the deletions are forgotten, and reports the longest commit.
func BenchmarkCommitBesideDeletions(b *testing.B) {
	for range b.N {
		clock := &stoppedClock{1_000_000_000}
		e := New(Config{
			Clusters: []string{"local"}, Shards: 1, Intervals: 10, ExpireGroup: time.Hour.Milliseconds(),
			ExpireTopic: time.Hour.Milliseconds(), Clock: clock, Remember: true, Hub: new(feed.Hub[protocol.Event]),
		})
		c := e.Cluster("local")
		require.Zero(b, e.SetEndOffset(c, "topic", &protocol.EndOffset{TopicPartitionCount: 1, Offset: 10}))
		order := int64(0)
		commit := func(group string) {
			order++
			_ = e.Commit(c, group, &protocol.Commit{Topic: "topic", Order: order, Timestamp: clock.now})
		}
		for i := range 1_000_000 {
			name := fmt.Sprint("group", i)
			commit(name)
			_ = e.DeleteGroup(c, name)
		}
		longest := func(beside func()) (wait time.Duration) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				beside()
			}()
			for {
				select {
				case <-done:
					return wait
				default:
				}
				begun := time.Now()
				commit("group")
				wait = max(wait, time.Since(begun))
			}
		}
		b.ReportMetric(float64(longest(func() { _ = e.Save(discardSink{}) }).Microseconds()), "µs-beside-save")
		clock.now += 2 * time.Hour.Milliseconds()
		b.ReportMetric(float64(longest(e.Sweep).Microseconds()), "µs-beside-sweep")
	}
}

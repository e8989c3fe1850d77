package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// stoppingClock stops its engine when it is read for the first time after arming, as if Stop came while a call is under way.
type stoppingClock struct {
	stoppedClock
	engine *Engine // nil unless armed
}

func (c *stoppingClock) Coarse() int64 { return c.Now() }

func (c *stoppingClock) Now() int64 {
	if e := c.engine; e != nil {
		c.engine = nil
		e.Stop()
	}
	return c.now
}

// TestEndOffsetBesideStop stops the engine while an end offset is being stored: it is refused, since the snapshot of what Stop has
// left may be without it.
func TestEndOffsetBesideStop(t *testing.T) {
	end := protocol.EndOffset{Offset: 20, Timestamp: startTime}
	for name, set := range map[string]func(e *Engine, c *Cluster, topic string) Reason{
		"one": func(e *Engine, c *Cluster, topic string) Reason { return e.SetEndOffset(c, topic, &end) },
		"batch": func(e *Engine, c *Cluster, topic string) (why Reason) {
			e.SetEndOffsets(c, topic, []protocol.EndOffset{end, end}, func(i int, refused Reason) {
				if i == 0 {
					why = refused
				}
			})
			return why
		},
	} {
		for _, topic := range []string{"known", "new"} {
			t.Run(name+"/"+topic, func(t *testing.T) {
				clock := &stoppingClock{stoppedClock: stoppedClock{now: startTime}}
				e := New(Config{
					Clusters: []string{"local"}, Shards: 2, Intervals: 3, ExpireGroup: week.Milliseconds(),
					ExpireTopic: week.Milliseconds(), Clock: clock, Hub: &feed.Hub[protocol.Event]{},
				})
				c := e.Cluster("local")
				require.Zero(t, set(e, c, "known"))
				clock.engine = e
				require.Equal(t, Stopped, set(e, c, topic))
				require.Equal(t, topic == "known", c.topics.Topic(topic) != nil, "no topic is created after Stop")
			})
		}
	}
}

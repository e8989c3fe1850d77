package prometheus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// place is a partition of a group, or of its topic if there is no partition.
type place struct{ group, topic, partition string }

// listed is what the store lists.
func listed(t *testing.T, w *world, by lagprom.Aggregation) map[place]bool {
	ctx := t.Context()
	places := make(map[place]bool)
	groups, err := w.store.Groups(ctx, cluster)
	require.NoError(t, err)
	for name := range groups {
		var group protocol.Group
		require.NoError(t, w.store.Group(ctx, cluster, name, &group))
		for _, topic := range group.Topics {
			if by == lagprom.PerTopic {
				places[place{name, topic.Name, ""}] = true
				continue
			}
			for number := range topic.Partitions {
				places[place{name, topic.Name, fmt.Sprint(number)}] = true
			}
		}
	}
	return places
}

// exported is everything that has a series of any kind.
func exported(t *testing.T, registry prometheus.Gatherer) map[place]bool {
	families, err := registry.Gather()
	require.NoError(t, err)
	places := make(map[place]bool)
	for _, family := range families {
		if !strings.Contains(family.GetName(), "_consumergroup_") {
			continue
		}
		for _, m := range family.GetMetric() {
			var p place
			for _, pair := range m.GetLabel() {
				switch pair.GetName() {
				case "group":
					p.group = pair.GetValue()
				case "topic":
					p.topic = pair.GetValue()
				case "partition":
					p.partition = pair.GetValue()
				}
			}
			places[p] = true
		}
	}
	return places
}

// However groups and topics come and go, nothing that was deleted or has expired is ever exported again, and nothing that
// exists is left out. The model knows what was deleted; the store's own lists say what exists.
func TestRandomLives(t *testing.T) {
	for _, by := range []lagprom.Aggregation{lagprom.PerPartition, lagprom.PerTopic} {
		t.Run(by.String(), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			synctest.Test(t, func(t *testing.T) { randomLives(t, rand.New(rand.NewPCG(seed, 1)), by) })
		})
	}
}

func randomLives(t *testing.T, random *rand.Rand, by lagprom.Aggregation) {
	w := newWorld(t, map[string]any{"expire-group": 60, "expire-topic": 40, "sweep-interval": 7, "intervals": 3})
	defer func() { w.stop() }()
	_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{By: by}})
	ctx := context.Background()
	topic := func() string { return fmt.Sprint("t", random.IntN(4)) }
	group := func() string { return fmt.Sprint("g", random.IntN(12)) }
	gone := make(map[string]bool) // groups that were deleted and have not committed since
	for range 4000 {
		switch n := random.IntN(100); {
		case n < 30:
			w.end(topic(), int32(random.IntN(3)), int64(random.IntN(50)), 0)
		case n < 80:
			// A commit may be dropped: its topic may be unknown, or it may be too old.
			name, age := group(), int64(random.IntN(70_000))
			if w.store.Commit(ctx, cluster, name, protocol.Commit{
				Topic: topic(), Partition: int32(random.IntN(3)), Offset: int64(random.IntN(50)), Timestamp: now() - age,
			}) == nil {
				delete(gone, name)
			}
		case n < 84:
			name := group()
			if w.store.DeleteGroup(ctx, cluster, name) == nil {
				gone[name] = true
			}
		case n < 88:
			// It may be unknown, here and below.
			_ = w.store.DeleteGroupTopic(ctx, cluster, group(), topic())
		case n < 90:
			_ = w.store.DeleteTopic(ctx, cluster, topic())
		case n < 95:
			wait(time.Duration(random.IntN(10_000)) * time.Millisecond)
		case n < 96:
			if random.IntN(10) == 0 {
				w.stop()
				w.start()
				clear(gone)
			}
		default:
			want, got := listed(t, w, by), exported(t, registry)
			for p := range got {
				require.False(t, gone[p.group], "%v was deleted", p)
			}
			require.Equal(t, want, got)
		}
	}
	require.Equal(t, listed(t, w, by), exported(t, registry))
	wait(time.Hour)
	require.Empty(t, exported(t, registry), "all have expired")
}

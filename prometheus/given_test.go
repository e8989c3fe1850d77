package prometheus_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// given is a Source whose store has one group, "g", with the topic "t" and the partitions that a test sets.
type given struct{ partitions []protocol.GroupPartition }

// givenStore is the store of a given, with only the methods that a Collector needs.
type givenStore struct {
	storage.Store
	partitions []protocol.GroupPartition
}

func (g *given) Stats() (storage.Stats, error)                  { return storage.Stats{}, nil }
func (g *given) Store() storage.Store                           { return givenStore{partitions: g.partitions} }
func (g givenStore) Clusters(context.Context) ([]string, error) { return []string{cluster}, nil }
func (g givenStore) Groups(context.Context, string) (iter.Seq[string], error) {
	return slices.Values([]string{"g"}), nil
}
func (g givenStore) EndOffsets(_ context.Context, _, _ string, dst []int64) ([]int64, error) {
	return dst, storage.ErrUnknownTopic
}
func (g givenStore) Group(_ context.Context, _, _ string, into *protocol.Group) error {
	into.TakenAt = time.Now()
	into.Topics = append(into.Topics[:0], protocol.GroupTopic{Name: "t", Partitions: g.partitions})
	return nil
}

// lagSeries returns the series of the group as name{state} value, without what all of them have in common.
func lagSeries(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	series := make(map[string]float64)
	for _, family := range families {
		name, ok := strings.CutPrefix(family.GetName(), "lagstore_consumergroup_")
		if !ok {
			continue
		}
		for _, m := range family.GetMetric() {
			key := name
			for _, pair := range m.GetLabel() {
				if pair.GetName() == "state" {
					key += " " + pair.GetValue()
				}
			}
			series[key] = m.GetGauge().GetValue()
		}
	}
	return series
}

func partitionIn(state protocol.PartitionState, commit, end int64) protocol.GroupPartition {
	return protocol.GroupPartition{
		Commits: []protocol.StoredCommit{{Offset: commit}}, EndOffsets: []int64{end}, State: state,
		Difference: end - commit, DifferenceKnown: true, EndOffsetAge: time.Second,
		TimeLag: protocol.TimeLag{Kind: protocol.TimeLagExact},
	}
}

// A group in BEYONDEND has no lag, neither in messages nor in time: both would be 0.
func TestBeyondEnd(t *testing.T) {
	beyond := partitionIn(protocol.PartitionBeyondEnd, 150, 100)
	_, registry := newCollector(t, &given{partitions: []protocol.GroupPartition{beyond}}, lagprom.Options{Lags: &lagprom.LagOptions{}})
	got := lagSeries(t, registry)
	delete(got, "commit_age_seconds") // by the clock of the machine
	assert.Equal(t, map[string]float64{
		"state beyond_end": 1, "beyond_end_messages": 50, "committed_offset": 150, "end_offset": 100, "end_offset_age_seconds": 1,
	}, got)

	caughtUp := partitionIn(protocol.PartitionCaughtUp, 100, 100)
	_, registry = newCollector(t, &given{partitions: []protocol.GroupPartition{beyond, caughtUp, beyond}}, lagprom.Options{
		Lags: &lagprom.LagOptions{By: lagprom.PerTopic},
	})
	got = lagSeries(t, registry)
	delete(got, "commit_age_seconds")
	assert.Equal(t, map[string]float64{
		"state beyond_end": 2, "state caught_up": 1, "beyond_end_messages": 100, "lag_messages": 0, "lag_is_lower_bound": 1,
		"time_lag_seconds": 0, "time_lag_is_lower_bound": 1, "end_offset_age_seconds": 1,
	}, got)
}

// A group at the log start with nothing left to read has no lag, and has lost the messages before.
func TestCaughtUpWithLoss(t *testing.T) {
	lost := partitionIn(protocol.PartitionCaughtUp, 90, 100)
	lost.Difference, lost.Lost = 0, 10
	for by, flags := range map[lagprom.Aggregation]map[string]float64{
		lagprom.PerPartition: {"committed_offset": 90, "end_offset": 100},
		lagprom.PerTopic:     {"lag_is_lower_bound": 0},
	} {
		_, registry := newCollector(t, &given{partitions: []protocol.GroupPartition{lost}}, lagprom.Options{Lags: &lagprom.LagOptions{By: by}})
		got := lagSeries(t, registry)
		delete(got, "commit_age_seconds")
		want := map[string]float64{
			"state caught_up": 1, "lag_messages": 0, "lost_messages": 10, "time_lag_seconds": 0, "time_lag_is_lower_bound": 0,
			"time_lag_error_seconds": 0, "end_offset_age_seconds": 1,
		}
		for name, value := range flags {
			want[name] = value
		}
		assert.Equal(t, want, got, by)
	}
}

// Whatever a store answers, a partition never takes more series than it has room for.
func TestRoomIsEnoughForEveryState(t *testing.T) {
	kinds := []protocol.TimeLagKind{
		protocol.TimeLagUnknown, protocol.TimeLagExact, protocol.TimeLagInterpolated, protocol.TimeLagAtLeast,
	}
	for _, state := range []protocol.PartitionState{
		protocol.PartitionUnknown, protocol.PartitionNoCommit, protocol.PartitionNoEndOffset, protocol.PartitionReset,
		protocol.PartitionRestored, protocol.PartitionBeyondEnd, protocol.PartitionAhead, protocol.PartitionCaughtUp,
		protocol.PartitionBehind, "FROM A LATER RELEASE",
	} {
		for _, kind := range kinds {
			for _, known := range []bool{false, true} {
				p := partitionIn(state, 150, 100)
				p.TimeLag.Kind, p.DifferenceKnown, p.Lost = kind, known, 7
				for by, most := range map[lagprom.Aggregation]int{lagprom.PerPartition: 10, lagprom.PerTopic: 10} {
					_, registry := newCollector(t, &given{partitions: []protocol.GroupPartition{p}}, lagprom.Options{
						Lags: &lagprom.LagOptions{By: by, MaxSeries: most},
					})
					series := len(lagSeries(t, registry))
					assert.LessOrEqual(t, series, most, "%v %v", by, state)
					assert.NotZero(t, series, "%v %v: it has room", by, state)
				}
			}
		}
	}
}

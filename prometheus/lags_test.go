package prometheus_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	lagprom "github.com/lagkeeper/storage/prometheus"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares the families whose names begin with one of the prefixes with a file in testdata.
func golden(t *testing.T, registry prom.Gatherer, file string, prefixes ...string) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	var b strings.Builder
	var names []string
	for _, family := range families {
		for _, prefix := range prefixes {
			if strings.HasPrefix(family.GetName(), prefix) {
				_, err := expfmt.MetricFamilyToText(&b, family)
				require.NoError(t, err)
				names = append(names, family.GetName())
			}
		}
	}
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.Open(path)
	require.NoError(t, err)
	defer want.Close()
	require.NoError(t, testutil.GatherAndCompare(registry, want, names...))
}

// everyState fills a store with a group in every state that is possible without a restart, over ten minutes of polls. The
// topic orders gains 10 messages a second on each of its partitions.
func everyState(w *world) {
	for poll := range int64(21) {
		at := poll * 30
		for partition := range int32(5) {
			end := at * 10
			if partition == 3 && poll == 20 {
				end = 5 // truncated
			}
			logStart := int64(0)
			if partition == 4 {
				logStart = 1000
			}
			w.end("orders", partition, end, logStart)
		}
		w.end("idle", 0, 0, 0)
		switch poll {
		case 0:
			w.commit("g", "orders", 3, 0)
			w.commit("g", "orders", 4, 0) // 1,000 messages are lost
		case 11:
			w.commit("g", "orders", 1, 10*300) // stuck at the newest message of poll 10
		case 20:
			w.commit("g", "orders", 0, 10*600)
		}
		if poll < 20 {
			wait(30 * time.Second)
		}
	}
	wait(5 * time.Second)
	w.commit("early", "orders", 0, 10*600+50) // committed between two polls
	w.commit("early", "idle", 0, 0)
}

func TestLagsPerPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		everyState(w)
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		golden(t, registry, "per_partition.prom", "lagstore_consumergroup_", "lagstore_exporter_")
		lint(t, registry)
	})
}

func TestLagsPerTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		everyState(w)
		_, registry := newCollector(t, w.coordinator, lagprom.Options{
			Prefix: "kafka_", ConstLabels: prom.Labels{"store": "a"}, Lags: &lagprom.LagOptions{By: lagprom.PerTopic},
		})
		golden(t, registry, "per_topic.prom", "kafka_consumergroup_", "kafka_exporter_")
		lint(t, registry)
	})
}

// Partitions from a snapshot have a state and no number until they have been seen again.
func TestRestoredLagHasNoNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]any{"snapshot-path": filepath.Join(t.TempDir(), "lags.snapshot")})
		w.end("orders", 0, 100, 0)
		w.commit("g", "orders", 0, 100)
		collector, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		states := func() string {
			var b strings.Builder
			families, err := registry.Gather()
			require.NoError(t, err)
			for _, family := range families {
				name, lag := strings.CutPrefix(family.GetName(), "lagstore_consumergroup_")
				for _, m := range family.GetMetric() {
					switch {
					case lag && name == "state":
						b.WriteString(m.GetLabel()[len(m.GetLabel())-2].GetValue() + " ")
					case lag:
						b.WriteString(name + " ")
					}
				}
			}
			return strings.TrimSpace(b.String())
		}
		known := states()
		assert.Contains(t, known, "caught_up")
		assert.Contains(t, known, "lag_messages")
		_, ok := value(t, registry, "lagstore_last_snapshot_timestamp_seconds", nil)
		assert.False(t, ok, "no snapshot has been saved")

		w.stop()
		running, _ := value(t, registry, "lagstore_running", nil)
		assert.Zero(t, running)
		assert.Equal(t, 1, testutil.CollectAndCount(collector), "there are other series while the store does not run")
		wait(time.Hour)
		w.start()
		defer w.stop()
		assert.Equal(t, "restored", states())
		w.end("orders", 0, 100, 0)
		assert.Equal(t, "restored", states(), "the commit has not been seen")
		w.commit("g", "orders", 0, 100)
		assert.Equal(t, known, states())

		wait(time.Minute) // a snapshot is due
		synctest.Wait()
		saved, ok := value(t, registry, "lagstore_last_snapshot_timestamp_seconds", nil)
		assert.True(t, ok)
		assert.InDelta(t, time.Now().Unix(), saved, 1)
		lint(t, registry)
	})
}

// If a topic is recreated, the lag is absent, not 0.
func TestResetLagHasNoNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		w.end("orders", 0, 100, 0)
		w.commit("g", "orders", 0, 90)
		lag, ok := value(t, registry, "lagstore_consumergroup_lag_messages", nil)
		assert.True(t, ok)
		assert.EqualValues(t, 10, lag)
		w.end("orders", 0, 3, 0)
		_, ok = value(t, registry, "lagstore_consumergroup_lag_messages", nil)
		assert.False(t, ok)
		_, ok = value(t, registry, "lagstore_consumergroup_state", map[string]string{"state": "reset"})
		assert.True(t, ok)
	})
}

// Names that are not UTF-8 do not make the collection fail, and are never mistaken for each other.
func TestNamesThatAreNotUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		w.end("t\xfe", 0, 9, 0)
		w.commit("g\xff", "t\xfe", 0, 1)
		lag, ok := value(t, registry, "lagstore_consumergroup_lag_messages", map[string]string{"group": `g\xff`, "topic": `t\xfe`})
		assert.True(t, ok)
		assert.EqualValues(t, 8, lag)

		w.end(`t\xfe`, 0, 5, 0)
		w.commit("g\xff", `t\xfe`, 0, 5)
		w.commit(`g\xff`, `t\xfe`, 0, 2)
		synctest.Wait()
		lag, ok = value(t, registry, "lagstore_consumergroup_lag_messages", map[string]string{"group": `g\xff`, "topic": `t\xfe`})
		assert.True(t, ok)
		assert.EqualValues(t, 3, lag, "the group with that name")
		groups, _ := value(t, registry, "lagstore_exporter_groups_dropped", map[string]string{"reason": "label_taken"})
		assert.EqualValues(t, 1, groups, "the other is counted")
	})
}

// A partition without a commit does not make the sum a lower bound if there is nothing on it to read, because nothing was
// written or retention has deleted everything.
func TestEmptyPartitionIsNoLowerBound(t *testing.T) {
	for name, c := range map[string]struct {
		end, logStart int64
		want          float64
	}{
		"never written":           {0, 0, 0},
		"emptied by retention":    {500, 500, 0},
		"log start beyond":        {500, 501, 0},
		"one message left":        {500, 499, 1},
		"log start not known":     {500, 0, 1},
		"deleted, the oldest day": {500, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				defer w.stop()
				w.end("orders", 0, 100, 0)
				w.end("orders", 1, c.end, c.logStart)
				w.commit("g", "orders", 0, 100)
				_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{By: lagprom.PerTopic}})
				for _, metric := range []string{"lag_is_lower_bound", "time_lag_is_lower_bound"} {
					got, ok := value(t, registry, "lagstore_consumergroup_"+metric, nil)
					assert.True(t, ok, metric)
					assert.Equal(t, c.want, got, metric)
				}
			})
		})
	}
}

// Partitions that were added since the group's answer last grew are missing from the sums, so those are lower bounds if the
// partitions hold messages.
func TestAddedPartitionMakesALowerBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{By: lagprom.PerTopic}})
		flags := func() (flags []float64) {
			for _, metric := range []string{"lag_is_lower_bound", "time_lag_is_lower_bound"} {
				got, ok := value(t, registry, "lagstore_consumergroup_"+metric, nil)
				assert.True(t, ok, metric)
				flags = append(flags, got)
			}
			return flags
		}
		w.end("orders", 0, 100, 0)
		w.commit("g", "orders", 0, 100)
		assert.Equal(t, []float64{0, 0}, flags())
		w.end("orders", 1, 0, 0)
		assert.Equal(t, []float64{0, 0}, flags(), "nothing was written to the partition")
		w.end("orders", 1, 5, 0)
		assert.Equal(t, []float64{1, 1}, flags())
		_, ok := value(t, registry, "lagstore_consumergroup_time_lag_error_seconds", nil)
		assert.False(t, ok, "a lower bound has no error")
		w.commit("g", "orders", 1, 5)
		assert.Equal(t, []float64{0, 0}, flags())
	})
}

// A group that stays above the end offset has a state that says so, and no lag, which was 0.
func TestAheadForGoodIsBeyondEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		w.end("orders", 0, 100, 0)
		wait(5 * time.Second)
		w.commit("g", "orders", 0, 150)
		lag, ok := value(t, registry, "lagstore_consumergroup_lag_messages", nil)
		assert.True(t, ok, "between two polls")
		assert.Zero(t, lag)
		for range 2 {
			wait(10 * time.Second)
			w.end("orders", 0, 100, 0)
		}
		_, ok = value(t, registry, "lagstore_consumergroup_lag_messages", nil)
		assert.False(t, ok)
		_, ok = value(t, registry, "lagstore_consumergroup_time_lag_seconds", nil)
		assert.False(t, ok)
		beyond, ok := value(t, registry, "lagstore_consumergroup_beyond_end_messages", nil)
		assert.True(t, ok)
		assert.EqualValues(t, 50, beyond)
	})
}

// If retention has deleted what a group was to read next, that counts as lost and not as lag, however far back the commit is.
func TestCommitBelowTheLogStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		w.end("orders", 0, 100, 0)
		w.commit("g", "orders", 0, 90)
		wait(24 * time.Hour)
		w.end("orders", 0, 100, 100)
		for metric, want := range map[string]float64{"lag_messages": 0, "time_lag_seconds": 0, "lost_messages": 10, "state": 1} {
			got, ok := value(t, registry, "lagstore_consumergroup_"+metric, nil)
			assert.True(t, ok, metric)
			assert.Equal(t, want, got, metric)
		}
		_, ok := value(t, registry, "lagstore_consumergroup_state", map[string]string{"state": "caught_up"})
		assert.True(t, ok)
	})
}

// A group that has committed nothing since the restart is judged as before once the application has called ReplayDone, or the
// store has waited long enough for it. It must not be missing from the series that an alert uses.
func TestStuckGroupHasSeriesAfterARestart(t *testing.T) {
	for name, says := range map[string]bool{"the application says so": true, "it never does": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, map[string]any{"snapshot-path": filepath.Join(t.TempDir(), "lags.snapshot")})
				w.end("orders", 0, 100, 0)
				w.commit("stuck", "orders", 0, 40)
				_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
				w.stop()
				wait(time.Hour)
				w.start()
				defer w.stop()
				lag := func() (float64, bool) { return value(t, registry, "lagstore_consumergroup_lag_messages", nil) }
				w.end("orders", 0, 100, 0)
				_, ok := lag()
				assert.False(t, ok, "it may have committed meanwhile")
				if says {
					p, err := w.coordinator.Persistent()
					require.NoError(t, err)
					p.ReplayDone()
				} else {
					for range 11 {
						wait(time.Minute)
						w.end("orders", 0, 100, 0)
					}
				}
				got, ok := lag()
				assert.True(t, ok)
				assert.EqualValues(t, 60, got)
				_, ok = value(t, registry, "lagstore_consumergroup_state", map[string]string{"state": "behind"})
				assert.True(t, ok)
			})
		})
	}
}

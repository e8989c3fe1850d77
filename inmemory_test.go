package storage_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// configured makes and configures a module. It returns the module's log and the string that Configure panicked with, "" for
// none.
func configured(t *testing.T, settings map[string]any) (m *storage.InMemoryStorage, logs *observer.ObservedLogs, fault string) {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	m = &storage.InMemoryStorage{
		App: &protocol.ApplicationContext{}, Log: zap.New(core),
		Viper: testkit.Configuration(storagetest.Config{Settings: settings, Clusters: []string{"local"}}),
	}
	func() {
		defer func() {
			if cause := recover(); cause != nil {
				require.IsType(t, "", cause, "panicked with something other than a string")
				fault = cause.(string)
			}
		}()
		m.Configure("test", "storage.test")
	}()
	return m, logs, fault
}

// panicText returns the string that a function panics with.
func panicText(t *testing.T, run func()) string {
	t.Helper()
	var text string
	func() {
		defer func() {
			cause := recover()
			require.IsType(t, "", cause, "panicked with something other than a string")
			text = cause.(string)
		}()
		run()
	}()
	return text
}

func warnings(logs *observer.ObservedLogs) []string {
	var texts []string
	for _, line := range logs.FilterLevelExact(zap.WarnLevel).All() {
		texts = append(texts, line.Message)
	}
	return texts
}

// numberKeys are the keys that hold a number, with their limits.
var numberKeys = map[string]struct{ least, most int64 }{
	"intervals": {1, 1000}, "workers": {1, 1024}, "queue-depth": {0, 1 << 24}, "curve-segments": {0, 128},
	"expire-group": {1, 0}, "expire-topic": {1, 0}, "sweep-interval": {1, 0}, "reply-timeout": {1, 0},
	"min-distance": {0, 0}, "snapshot-interval": {0, 0},
}

// TestConfigureNumbers sets every number key to each type that a configuration format may have for it, to its limits, and
// beyond them.
func TestConfigureNumbers(t *testing.T) {
	t.Parallel()
	for key, allowed := range numberKeys {
		most := allowed.most
		if most == 0 {
			most = 1 << 40
		}
		for _, sound := range []any{
			nil, allowed.least, most, int(most), int32(allowed.least), uint(most), uint64(most), uint8(7), int8(7), uint16(7), int16(7),
			float64(most), float32(7), json.Number("7"), "7", fmt.Sprint(most), " 7 ",
		} {
			_, logs, fault := configured(t, map[string]any{key: sound})
			require.Empty(t, fault, "%s = %v", key, sound)
			require.Empty(t, warnings(logs), "%s = %v", key, sound)
		}
		for _, unsound := range []any{
			allowed.least - 1, int64(-1 << 62), "", "seven", "7.5", "10s", 7.5, json.Number("7.5"), true, []any{7}, map[string]any{"a": 7},
			uint64(1 << 63), float64(1 << 63), -1.5,
		} {
			_, _, fault := configured(t, map[string]any{key: unsound})
			require.Contains(t, fault, "storage.test."+key+": ", "%s = %v", key, unsound)
			require.Contains(t, fault, "allowed is a whole number", "%s = %v", key, unsound)
			if text, ok := unsound.(string); ok {
				require.Contains(t, fault, fmt.Sprintf("%q", text))
			} else if _, isMap := unsound.(map[string]any); !isMap {
				require.Contains(t, fault, fmt.Sprint(unsound))
			}
			require.Contains(t, fault, fmt.Sprint(allowed.least), key)
			if allowed.most > 0 && allowed.most < 1<<20 {
				require.Contains(t, fault, fmt.Sprint(allowed.most), key)
			}
		}
		if allowed.most > 0 {
			_, _, fault := configured(t, map[string]any{key: allowed.most + 1})
			require.Contains(t, fault, fmt.Sprintf("storage.test.%s: %d is not allowed", key, allowed.most+1))
		}
	}
}

func TestConfigureTexts(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"group-allowlist", "group-denylist", "group-whitelist", "group-blacklist", "snapshot-path"} {
		for _, unsound := range []any{7, true, []string{"a"}} {
			_, _, fault := configured(t, map[string]any{key: unsound})
			require.Contains(t, fault, fmt.Sprintf("storage.test.%s: %v is not allowed; allowed is a string", key, unsound))
		}
		if key == "snapshot-path" {
			continue
		}
		_, _, fault := configured(t, map[string]any{key: "a(b"})
		require.Contains(t, fault, "storage.test."+key+`: "a(b" is not allowed; allowed is a regular expression: `)
	}
}

// TestConfigureAllFaults has a fault in every key: one string names all of them.
func TestConfigureAllFaults(t *testing.T) {
	t.Parallel()
	settings := map[string]any{"group-allowlist": "a(", "group-denylist": "b(", "snapshot-path": 7}
	for key := range numberKeys {
		settings[key] = -5
	}
	m, _, fault := configured(t, settings)
	for key := range settings {
		require.Equal(t, 1, strings.Count(fault, "storage.test."+key+": "), "%s in %s", key, fault)
	}
	require.Len(t, strings.Split(fault, "\n"), len(settings))
	require.Error(t, m.Start())
	require.Nil(t, m.GetCommunicationChannel())
	m.Submit(testkit.FetchOf("group"))
	require.NoError(t, m.Stop())

	_, _, fault = configured(t, map[string]any{"": nil})
	require.Empty(t, fault)
	v := viper.New()
	v.Set("storage.test", "inmemory")
	m = &storage.InMemoryStorage{App: &protocol.ApplicationContext{}, Viper: v}
	require.Contains(t, panicText(t, func() { m.Configure("test", "storage.test") }),
		`storage.test: "inmemory" is not allowed; allowed is a table of keys`)
}

func TestConfigureOldNames(t *testing.T) {
	t.Parallel()
	for old, now := range map[string]string{"group-whitelist": "group-allowlist", "group-blacklist": "group-denylist"} {
		_, logs, fault := configured(t, map[string]any{old: "^a"})
		require.Empty(t, fault)
		require.Equal(t, []string{"storage.test." + old + " is an old name; use storage.test." + now}, warnings(logs))
		_, logs, fault = configured(t, map[string]any{old: "", now: "^a"})
		require.Empty(t, fault)
		require.Empty(t, warnings(logs))
		_, _, fault = configured(t, map[string]any{old: "^b", now: "^a"})
		require.Contains(t, fault, "storage.test."+old+`: "^b" is not allowed; allowed is nothing, since storage.test.`+now+" is set too")
	}
}

func TestConfigureUnknownKey(t *testing.T) {
	t.Parallel()
	_, logs, fault := configured(t, map[string]any{"interval": 3, "Work-Ers": 2, "INTERVALS": 5})
	require.Empty(t, fault)
	got := warnings(logs)
	require.Len(t, got, 2)
	require.Contains(t, got[0], "storage.test.interval is not a known key; known are: intervals, ")
	require.Contains(t, got[1], "storage.test.work-ers is not a known key")
	for key := range numberKeys {
		require.Contains(t, got[0], key)
	}
	require.Contains(t, got[0], "class-name")
}

// TestConfigureDefaults checks the defaults by their effects.
func TestConfigureDefaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := withSettings("cluster.local.class-name", "kafka")
		c.Configure()
		require.NoError(t, c.Start())
		s := &testkit.Service{Module: testkit.AsModule{Coordinator: c}, T: t, Store: c.Store, Channel: c.App.StorageChannel}
		t.Cleanup(s.MustStop)
		s.End(100)
		for range 12 {
			s.Commits(50)
		}
		require.Len(t, s.Look("group").Offsets, 10, "intervals")
		for offset := range int64(100) {
			time.Sleep(time.Second)
			s.End(100 + offset*offset)
		}
		require.Len(t, s.Look("group").BrokerOffsets, 10, "intervals")
		require.NotNil(t, s.Look("group").TimeLag, "curve-segments")

		r := testkit.FetchOf("group")
		r.Reply = make(chan any)
		s.Send(r)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, s.Stats().Relay.WaitingReplies)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, s.Stats().Relay.WaitingReplies, "reply-timeout")

		sweeps := s.Stats().Sweeps
		time.Sleep(59 * time.Second)
		require.LessOrEqual(t, s.Stats().Sweeps, sweeps+1)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, sweeps+1, s.Stats().Sweeps, "sweep-interval")

		old := testkit.CommitOf("group2", "topic", 0, 1, 1, time.Now().Add(-7*24*time.Hour).UnixMilli())
		s.Send(old)
		_, there := s.Ask(testkit.FetchOf("group2"))
		require.True(t, there, "expire-group")
		old = testkit.CommitOf("group3", "topic", 0, 1, 1, time.Now().Add(-7*24*time.Hour).UnixMilli()-1)
		s.Send(old)
		_, there = s.Ask(testkit.FetchOf("group3"))
		require.False(t, there, "expire-group")
	})
}

// TestClusterNamesAreLowerCase checks that clusters, whose names viper makes lower-case, are found in any case.
func TestClusterNamesAreLowerCase(t *testing.T) {
	t.Parallel()
	c := withSettings("cluster.LOCAL.class-name", "kafka", "cluster.Remote.class-name", "kafka")
	c.Configure()
	require.NoError(t, c.Start())
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	clusters, err := c.Store().Clusters(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"local", "remote"}, clusters)
	for _, name := range []string{"LOCAL", "local", "LoCaL"} {
		require.NoError(t, c.Store().SetEndOffset(t.Context(), name, "topic", protocol.EndOffset{}))
	}
	require.ErrorIs(t, c.Store().SetEndOffset(t.Context(), "loca", "topic", protocol.EndOffset{}), storage.ErrUnknownCluster)
}

// logged starts a Coordinator that logs from the given level on.
func logged(t *testing.T, level zapcore.Level) (*testkit.Service, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(level)
	c := testkit.NewCoordinator(testkit.Config())
	c.Log = zap.New(core)
	c.Configure()
	require.NoError(t, c.Start())
	s := &testkit.Service{Module: testkit.AsModule{Coordinator: c}, T: t, Store: c.Store, Channel: c.App.StorageChannel}
	t.Cleanup(s.MustStop)
	return s, logs
}

func TestLogOfDrops(t *testing.T) {
	t.Parallel()
	s, logs := logged(t, zap.DebugLevel)
	now := time.Now().UnixMilli()
	s.Send(testkit.EndOf("topic", 0, 1, 100))
	s.Send(testkit.CommitOf("group", "none", 0, 10, 7, now))
	s.Send(testkit.CommitOf("group", "topic", 0, 10, 7, now))
	s.Ask(testkit.FetchOf("none"))
	s.MustStop()
	drops := logs.FilterMessage("dropped").All()
	require.Len(t, drops, 2)
	require.Equal(t, zap.DebugLevel, drops[0].Level)
	fields := drops[0].ContextMap()
	for key, want := range map[string]any{
		"reason": storage.ErrUnknownTopic.Error(), "cluster": "local", "consumer": "group", "topic": "none", "partition": int32(0),
		"offset": int64(10), "order": int64(7), "timestamp": now, "request": "StorageSetConsumerOffset",
	} {
		require.Equal(t, want, fields[key], key)
	}
	require.Equal(t, storage.ErrUnknownGroup.Error(), drops[1].ContextMap()["reason"])
	require.Equal(t, 2, logs.FilterMessage("ok").Len())
}

// TestLogAtInfo checks that nothing is logged for requests at Info, and that no allocation is made for it. It counts
// allocations and so is not parallel.
func TestLogAtInfo(t *testing.T) {
	s, logs := logged(t, zap.InfoLevel)
	before := logs.Len()
	s.Fill()
	s.Send(testkit.CommitOf("group", "none", 0, 10, 7, time.Now().UnixMilli()))
	s.Ask(testkit.FetchOf("none"))
	require.Equal(t, before, logs.Len())

	drop := testkit.CommitOf("group", "none", 0, 10, 7, time.Now().UnixMilli())
	allocations := func(log *zap.Logger) float64 {
		m := testkit.InMemory(t, testkit.Config()).(*storage.InMemoryStorage)
		m.Log = log
		m.Configure("test", "storage.test")
		require.NoError(t, m.Start())
		defer func() { require.NoError(t, m.Stop()) }()
		return testing.AllocsPerRun(1000, func() { m.Submit(drop) })
	}
	core, _ := observer.New(zap.InfoLevel)
	require.Equal(t, allocations(nil), allocations(zap.New(core)))
}

// TestLogOfFaults sends the same faults a thousand times: the first, tenth, hundredth and thousandth of each are logged.
func TestLogOfFaults(t *testing.T) {
	t.Parallel()
	s, logs := logged(t, zap.WarnLevel)
	for range 1000 {
		s.Send(nil)
		s.Send(testkit.FetchOf("group"))
		s.Send(&protocol.StorageRequest{RequestType: 99})
	}
	s.MustStop()
	for message, level := range map[string]zapcore.Level{
		"nil request": zap.WarnLevel, "fetch without a reply channel": zap.WarnLevel, "unknown request type": zap.ErrorLevel,
	} {
		lines := logs.FilterMessage(message).All()
		require.Len(t, lines, 4, message)
		for i, count := range []uint64{1, 10, 100, 1000} {
			require.Equal(t, count, lines[i].ContextMap()["count"])
			require.Equal(t, level, lines[i].Level)
		}
	}
	require.Equal(t, 12, logs.Len())
}

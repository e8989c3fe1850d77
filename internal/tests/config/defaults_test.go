// Package config_test tests what Configure reads from a viper, and what it sets there.
package config_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

func coordinator(v *viper.Viper) *storage.Coordinator {
	return &storage.Coordinator{App: &protocol.ApplicationContext{}, Viper: v}
}

// defaults are those of the contract, as an application sees them that shows its configuration.
var defaults = map[string]any{
	"class-name": "inmemory", "intervals": 10, "expire-group": 604800, "expire-topic": 604800, "sweep-interval": 60,
	"workers": 20, "queue-depth": 1, "min-distance": 0, "reply-timeout": 30, "replay-timeout": 600, "max-memory": 0,
	"group-allowlist": "", "group-denylist": "", "group-whitelist": "", "group-blacklist": "", "curve-segments": 32,
	"snapshot-path": "", "snapshot-interval": 60,
}

func TestDefaultsAreTold(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]any{
		"default": {},
		"mine":    {"storage.mine.class-name": "inmemory"},
		"other":   {"storage.other.intervals": 10},
	} {
		v := viper.New()
		for key, value := range settings {
			v.Set(key, value)
		}
		for range 2 {
			coordinator(v).Configure()
			for key, want := range defaults {
				require.Equal(t, want, v.Get("storage."+name+"."+key), "%s %s", name, key)
			}
		}
		all := v.AllSettings()["storage"].(map[string]any)
		require.Len(t, all, 1)
		require.Len(t, all[name], len(defaults))
	}
}

// TestDefaultsAreNoSettings configures again with the same viper: the defaults that were set there do not count as settings.
func TestDefaultsAreNoSettings(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	configure := func(v *viper.Viper) {
		c := coordinator(v)
		c.Log = zap.New(core)
		c.Configure()
	}
	v := viper.New()
	v.Set("storage.mine.expire-group", 100)
	configure(v)
	require.Equal(t, 100, v.Get("storage.mine.expire-topic"))
	v.Set("storage.mine.expire-group", 300)
	configure(v)
	require.Equal(t, 300, v.Get("storage.mine.expire-topic"))
	v.Set("storage.mine.expire-topic", 300)
	v.Set("storage.mine.expire-group", 500)
	configure(v)
	require.Equal(t, 300, v.Get("storage.mine.expire-topic"), "the setting is kept")
	require.Empty(t, logs.All())

	// An old name does not conflict with the default of the new one, nor the other way round.
	for old, name := range map[string]string{"group-whitelist": "group-allowlist", "group-blacklist": "group-denylist"} {
		configure(v)
		v.Set("storage.mine."+old, "^a")
		configure(v)
		require.Len(t, logs.TakeAll(), 1)
		v.Set("storage.mine."+old, "")
		v.Set("storage.mine."+name, "^a")
		configure(v)
		v.Set("storage.mine."+old, "^a")
		require.Panics(t, func() { configure(v) })
		v.Set("storage.mine."+old, "")
		require.Empty(t, logs.All())
	}
}

// TestDefaultsOfTheApplication keeps the defaults that an application has set itself, before and after ours.
func TestDefaultsOfTheApplication(t *testing.T) {
	t.Parallel()
	v := viper.New()
	v.SetDefault("storage.mine.intervals", 7)
	v.SetDefault("storage.mine.expire-topic", 50)
	coordinator(v).Configure()
	coordinator(v).Configure()
	require.Equal(t, 7, v.Get("storage.mine.intervals"))
	require.Equal(t, 50, v.Get("storage.mine.expire-topic"))

	v = viper.New()
	coordinator(v).Configure()
	v.SetDefault("storage.default.expire-topic", 50)
	coordinator(v).Configure()
	require.Equal(t, 50, v.Get("storage.default.expire-topic"))
}

// TestModuleAfterDefault configures without a module, and then one: the default module does not count.
func TestModuleAfterDefault(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(v *viper.Viper){
		"set":     func(v *viper.Viper) { v.Set("storage.mine.intervals", 3) },
		"default": func(v *viper.Viper) { v.SetDefault("storage.mine.intervals", 3) },
		"file": func(v *viper.Viper) {
			v.SetConfigType("toml")
			require.NoError(t, v.ReadConfig(strings.NewReader("[storage.mine]\nintervals = 3\n")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := viper.New()
			coordinator(v).Configure()
			add(v)
			for range 2 {
				coordinator(v).Configure()
				require.Equal(t, 3, v.GetInt("storage.mine.intervals"))
				require.Equal(t, 20, v.Get("storage.mine.workers"))
			}
		})
	}
}

// TestNoTable finds a value in the place of a table, although setting a default below it would make it one.
func TestNoTable(t *testing.T) {
	t.Parallel()
	for _, set := range []func(v *viper.Viper, key string){
		func(v *viper.Viper, key string) { v.Set(key, 5) }, func(v *viper.Viper, key string) { v.SetDefault(key, 5) },
	} {
		v := viper.New()
		set(v, "storage.mine")
		for range 2 {
			require.PanicsWithValue(t, "storage configuration: storage.mine: 5 is not allowed; allowed is a table of keys",
				coordinator(v).Configure)
		}
	}
}

func TestReplayTimeoutAndMaxMemory(t *testing.T) {
	t.Parallel()
	for key, allowed := range map[string][]any{"replay-timeout": {0, 1, "600"}, "max-memory": {0, 1 << 30, "1073741824"}} {
		for _, value := range allowed {
			v := viper.New()
			v.Set("storage.mine."+key, value)
			require.NotPanics(t, coordinator(v).Configure)
		}
		for _, value := range []any{-1, "ten", 1.5, true} {
			v := viper.New()
			v.Set("storage.mine."+key, value)
			func() {
				defer func() { require.Contains(t, recover(), "storage.mine."+key) }()
				coordinator(v).Configure()
			}()
		}
	}
}

// TestVipersAreNotKept makes vipers and drops them: what is remembered of them keeps none alive.
func TestVipersAreNotKept(t *testing.T) {
	t.Parallel()
	collected := make(chan struct{})
	func() {
		v := viper.New()
		coordinator(v).Configure()
		runtime.AddCleanup(v, func(done chan struct{}) { close(done) }, collected)
	}()
	for {
		runtime.GC()
		select {
		case <-collected:
			return
		default:
			runtime.Gosched()
		}
	}
}

package config

import (
	"runtime"
	"sync"
	"weak"

	"github.com/spf13/viper"
)

// given records the defaults set in each viper that depend on another setting. Viper returns such a default like a setting, but
// once the other setting has changed it must not be read as one. Vipers are held weakly.
var given = struct {
	mu sync.Mutex
	// defaults by viper and full key; guarded by mu.
	defaults map[weak.Pointer[viper.Viper]]map[string]any
}{defaults: make(map[weak.Pointer[viper.Viper]]map[string]any)}

// giveDefault sets a default in a viper that depends on another setting.
func giveDefault(v *viper.Viper, key string, value any) {
	v.SetDefault(key, value)
	p := weak.Make(v)
	given.mu.Lock()
	defer given.mu.Unlock()
	if given.defaults[p] == nil {
		given.defaults[p] = make(map[string]any)
		runtime.AddCleanup(v, forgetGiven, p)
	}
	given.defaults[p][key] = value
}

func forgetGiven(p weak.Pointer[viper.Viper]) {
	given.mu.Lock()
	defer given.mu.Unlock()
	delete(given.defaults, p)
}

// isGivenDefault reports whether the value of a key is what giveDefault set.
func isGivenDefault(v *viper.Viper, key string) bool {
	given.mu.Lock()
	defer given.mu.Unlock()
	value, ok := given.defaults[weak.Make(v)][key]
	return ok && v.Get(key) == value
}

// takeBackDefault removes the default that giveDefault set for a key, so that viper returns only what the application has set.
func takeBackDefault(v *viper.Viper, key string) {
	p := weak.Make(v)
	given.mu.Lock()
	value, ok := given.defaults[p][key]
	if ok {
		delete(given.defaults[p], key)
	}
	given.mu.Unlock()
	// A default that the application has set since then stays.
	if ok && v.Get(key) == value {
		// A default of nil counts as no default in viper. Settings take precedence over defaults and stay.
		v.SetDefault(key, nil)
	}
}

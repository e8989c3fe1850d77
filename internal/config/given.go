package config

import (
	"runtime"
	"sync"
	"weak"

	"github.com/spf13/viper"
)

// given remembers which defaults a viper was given that depend on something else: viper gives it back like a
// setting, and it must not be taken for one when what it depends on has changed. Vipers are held weakly.
var given = struct {
	mu sync.Mutex
	// defaults by viper and full key; guarded by mu.
	defaults map[weak.Pointer[viper.Viper]]map[string]any
}{defaults: make(map[weak.Pointer[viper.Viper]]map[string]any)}

// giveDefault sets a default of a viper that depends on something else.
func giveDefault(v *viper.Viper, key string, value any) {
	v.SetDefault(key, value)
	p := weak.Make(v)
	given.mu.Lock()
	defer given.mu.Unlock()
	if given.defaults[p] == nil {
		given.defaults[p] = make(map[string]any)
		runtime.AddCleanup(v, forgetTold, p)
	}
	given.defaults[p][key] = value
}

func forgetTold(p weak.Pointer[viper.Viper]) {
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

// takeBackDefault removes from viper what giveDefault set for a key, so that it then gives only what somebody has set.
func takeBackDefault(v *viper.Viper, key string) {
	p := weak.Make(v)
	given.mu.Lock()
	value, ok := given.defaults[p][key]
	if ok {
		delete(given.defaults[p], key)
	}
	given.mu.Unlock()
	// An application that has set a default of its own since means that one.
	if ok && v.Get(key) == value {
		// For viper a default of nil is none. What was set lies above the defaults and stays.
		v.SetDefault(key, nil)
	}
}

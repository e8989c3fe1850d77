package config

import (
	"runtime"
	"sync"
	"weak"

	"github.com/spf13/viper"
)

// told remembers what a viper was told as a default that depends on something else: asked again, viper gives it back like a
// setting, and it must not be taken for one when what it depends on has changed. Vipers are held weakly.
var told = struct {
	mu sync.Mutex
	// defaults by viper and full key; guarded by mu.
	defaults map[weak.Pointer[viper.Viper]]map[string]any
}{defaults: make(map[weak.Pointer[viper.Viper]]map[string]any)}

// tellDefault tells a viper a default that depends on something else.
func tellDefault(v *viper.Viper, key string, value any) {
	v.SetDefault(key, value)
	p := weak.Make(v)
	told.mu.Lock()
	defer told.mu.Unlock()
	if told.defaults[p] == nil {
		told.defaults[p] = make(map[string]any)
		runtime.AddCleanup(v, forgetTold, p)
	}
	told.defaults[p][key] = value
}

func forgetTold(p weak.Pointer[viper.Viper]) {
	told.mu.Lock()
	defer told.mu.Unlock()
	delete(told.defaults, p)
}

// toldDefault reports whether the value of a key is what tellDefault told.
func toldDefault(v *viper.Viper, key string) bool {
	told.mu.Lock()
	defer told.mu.Unlock()
	value, ok := told.defaults[weak.Make(v)][key]
	return ok && v.Get(key) == value
}

// takeBackDefault makes viper forget what tellDefault told it of a key, so that it then gives only what somebody has set.
func takeBackDefault(v *viper.Viper, key string) {
	p := weak.Make(v)
	told.mu.Lock()
	value, ok := told.defaults[p][key]
	if ok {
		delete(told.defaults[p], key)
	}
	told.mu.Unlock()
	// An application that has told a default of its own since means that one.
	if ok && v.Get(key) == value {
		// For viper a default of nil is none. What was set lies above the defaults and stays.
		v.SetDefault(key, nil)
	}
}

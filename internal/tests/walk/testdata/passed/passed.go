// Package passed records through which files a place in the store was reached. The test compiles calls of it into the store.
package passed

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

const module = "github.com/lagkeeper/storage"

var (
	mu    sync.Mutex
	walks = make(map[string][][]string) // by place, those that differ
)

// By records the way to a place: the files of the calls on the stack, the first one first.
func By(place string) {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	var walk []string
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if !strings.HasPrefix(frame.Function, module) {
			continue
		}
		function, _, _ := strings.Cut(strings.TrimPrefix(frame.Function, module), ".")
		walk = append(walk, strings.TrimPrefix(function+"/"+filepath.Base(frame.File), "/"))
	}
	slices.Reverse(walk)
	walk = slices.Compact(walk)
	mu.Lock()
	defer mu.Unlock()
	if !slices.ContainsFunc(walks[place], func(other []string) bool { return slices.Equal(other, walk) }) {
		walks[place] = append(walks[place], walk)
	}
}

// Walks returns what was recorded.
func Walks() map[string][][]string {
	mu.Lock()
	defer mu.Unlock()
	return walks
}

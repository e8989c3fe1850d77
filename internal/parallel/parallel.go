// Package parallel runs a function on several goroutines at once.
package parallel

import (
	"errors"
	"sync"
)

// Do calls f with each number below n, on a goroutine of its own unless there is only one, and waits for all calls. It returns their
// errors, joined. If one of them panicked, it panics with the same value.
func Do(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	var wg sync.WaitGroup
	errs, panics := make([]error, n), make([]any, n)
	for i := range n {
		wg.Go(func() {
			defer func() { panics[i] = recover() }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	for _, cause := range panics {
		if cause != nil {
			panic(cause)
		}
	}
	return errors.Join(errs...)
}

// Package parallel runs a function on several goroutines at once.
package parallel

import (
	"errors"
	"sync"
)

// Do calls f with each number below n, each on a goroutine of its own but for a single one, and returns when all have returned:
// with the joined errors, or with the panic of one of them, which goes on in the caller.
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

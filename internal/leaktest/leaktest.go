// Package leaktest fails tests that leave goroutines behind. It waits for them far longer than goleak, which gives up after half a
// second: on a busy machine a goroutine that is about to end may need more.
package leaktest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a goroutine may take to end. It measures nothing.
const patience = 2 * time.Minute

// Main runs the tests of a package, and exits with an error if they fail or leave a goroutine.
func Main(m *testing.M, ignore ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := wait(patience, ignore...); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// None fails a test if goroutines are left.
func None(t testing.TB, ignore ...goleak.Option) {
	t.Helper()
	if err := wait(patience, ignore...); err != nil {
		t.Error("goroutines are left:", err)
	}
}

// wait waits until no goroutine is left, and returns an error that shows those that are still there in the end.
func wait(patience time.Duration, ignore ...goleak.Option) error {
	for deadline := time.Now().Add(patience); ; {
		err := goleak.Find(ignore...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

//go:build unix

package snapshottest

import (
	"syscall"
	"time"
)

// CPUTime is what the process has used, which a busy machine does not stretch as it does the time that passes.
func CPUTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

//go:build unix

package snapshottest

import (
	"syscall"
	"time"
)

// CPUTime returns the processor time of the process, which a busy machine does not stretch.
func CPUTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

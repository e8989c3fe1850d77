//go:build unix

package kafkafeed

import (
	"syscall"
	"time"
)

// usedCPU returns the processor time that the process has used, including that of the brokers in it. On a busy machine it says more
// than the elapsed time.
func usedCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

//go:build unix

package kafkafeed

import (
	"syscall"
	"testing"
	"time"
)

// reportCPU returns a function that reports the processor time of the process for each of n items, including that of the brokers in
// it. On a busy machine it says more than the elapsed time.
func reportCPU(b *testing.B, n int) (report func()) {
	used := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N)/float64(n), "cpu-ns/item") }
}

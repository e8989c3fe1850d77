//go:build unix

package kafkafeed

import (
	"syscall"
	"testing"
	"time"
)

// reportCPU returns what reports the processor time of the process for each of n items, the brokers' included: it says more than the time
// that passes where others work too.
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

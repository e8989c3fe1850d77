package snapshottest

import (
	"testing"
	"time"
)

// StartBench begins a measurement with BenchState; ReportBench ends it. Times are for 1,000,000 group-partitions, scaled up.
func StartBench(b *testing.B) time.Duration {
	b.ReportAllocs()
	b.ResetTimer()
	return CPUTime()
}

// ReportBench reports what was measured since StartBench, and the size of the file in bytes.
func ReportBench(b *testing.B, from time.Duration, bytes int) {
	const partitions = BenchGroups * BenchPartitions
	cpu := CPUTime() - from
	b.SetBytes(int64(bytes))
	b.ReportMetric(float64(bytes)/partitions, "bytes/partition")
	b.ReportMetric(float64(bytes)/partitions/BenchCommits, "bytes/commit")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/partitions, "s/1M")
	b.ReportMetric(cpu.Seconds()/float64(b.N)*1e6/partitions, "cpu-s/1M")
}

package window

import (
	"testing"

	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkFill measures planning and writing a window of ten commits at once, as a restore does.
func BenchmarkFill(b *testing.B) {
	commits := make([]protocol.StoredCommit, 10)
	for i := range commits {
		n := int64(i)
		at := 1_700_000_000_000 + 10_000*n - n*n*37%500
		commits[i] = protocol.StoredCommit{
			Offset: 1<<36 + 1000*n + n*n*91%200, Order: 20_000*n + n*n*53%100, Timestamp: at, ObservedTimestamp: at - at%1000,
			Lag: uint64(n * n * 77 % 500), LagKnown: true,
		}
	}
	var s Scratch
	w := Window(make([]byte, s.Plan(commits)+Padding))
	Init(w, len(w)-Padding)
	for b.Loop() {
		s.Plan(commits)
		w.Fill(&s)
	}
}

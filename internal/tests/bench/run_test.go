package bench_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkCommitEach measures one commit of a random group-partition in runs of several lengths, without a channel, of stores from
// one that lies in the nearest cache to one of 1,000,000 group-partitions. Its floor is the same commits one by one.
func BenchmarkCommitEach(b *testing.B) {
	for _, groups := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("size=%d", groups*100), func(b *testing.B) {
			w := newBenchWorld(b, groups, 100, 10, nil)
			db, err := storage.Open(storage.Options{Clusters: []string{benchCluster}})
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, db.Close()) })
			w.store = db
			w.poll(b)
			w.load(b, 12)
			picks := w.picks(1 << 17)
			next := 0
			for _, n := range []int{1, 2, 4, 8, 16} {
				name := fmt.Sprintf("run=%d", n)
				if n == 1 {
					name = "floor=single"
				}
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					run, outcomes := make([]protocol.StorageRequest, 0, n), make([]error, 0, n)
					for ; b.Loop(); next++ {
						pick := &picks[next&(len(picks)-1)]
						c := pick.again(next / len(picks))
						if n == 1 {
							must(b, db.Commit(context.Background(), benchCluster, pick.group, c))
							continue
						}
						run = append(run, requestOf(pick.group, &c))
						if len(run) < n {
							continue
						}
						db.CommitEach(context.Background(), run, &outcomes)
						for _, err := range outcomes {
							must(b, err)
						}
						run, outcomes = run[:0], outcomes[:0]
					}
				})
			}
		})
	}
}

package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

func BenchmarkEncode(b *testing.B) {
	s := snapshottest.BenchState()
	size, packed := len(s.Encode(b)), s.Packed()
	from := snapshottest.StartBench(b)
	for range b.N {
		w := snapshot.NewWriter(io.Discard, s.Header)
		require.NoError(b, packed.CopyTo(w.Blocks()))
		_, err := w.Close()
		require.NoError(b, err)
	}
	snapshottest.ReportBench(b, from, size)
}

// BenchmarkRead checks and decodes a file in memory, on one core and on two.
func BenchmarkRead(b *testing.B) {
	file := snapshottest.BenchState().Encode(b)
	for _, cores := range []int{1, 2} {
		b.Run(fmt.Sprint("cores=", cores), func(b *testing.B) {
			sinks := make([]snapshot.Sink, cores)
			for i := range sinks {
				sinks[i] = nowhere{}
			}
			from := snapshottest.StartBench(b)
			for range b.N {
				r, err := snapshot.NewReader(bytes.NewReader(file), int64(len(file)))
				require.NoError(b, err)
				require.NoError(b, r.Read(context.Background(), sinks...))
			}
			snapshottest.ReportBench(b, from, len(file))
		})
	}
}

type nowhere struct{}

func (nowhere) WriteTopic(*snapshot.Topic) error { return nil }
func (nowhere) WriteGroup(*snapshot.Group) error { return nil }

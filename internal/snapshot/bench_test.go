package snapshot_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

func BenchmarkEncode(b *testing.B) {
	s := snapshottest.BenchState()
	size := len(s.Encode(b))
	from := snapshottest.StartBench(b)
	for range b.N {
		w := snapshot.NewWriter(io.Discard, s.Header)
		require.NoError(b, s.CopyTo(w))
		_, err := w.Close()
		require.NoError(b, err)
	}
	snapshottest.ReportBench(b, from, size)
}

// BenchmarkDecode is the second pass of a load, BenchmarkValidate the first.
func BenchmarkDecode(b *testing.B) {
	file := snapshottest.BenchState().Encode(b)
	r, err := snapshot.NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(b, err)
	from := snapshottest.StartBench(b)
	for range b.N {
		require.NoError(b, r.Topics(func(*snapshot.Topic) error { return nil }))
		require.NoError(b, r.Groups(func(*snapshot.Group) error { return nil }))
	}
	snapshottest.ReportBench(b, from, len(file))
}

func BenchmarkValidate(b *testing.B) {
	file := snapshottest.BenchState().Encode(b)
	from := snapshottest.StartBench(b)
	for range b.N {
		_, err := snapshot.NewReader(bytes.NewReader(file), int64(len(file)))
		require.NoError(b, err)
	}
	snapshottest.ReportBench(b, from, len(file))
}

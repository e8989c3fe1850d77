package jsonl

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

func BenchmarkWrite(b *testing.B) {
	s := snapshottest.BenchState()
	size := 0
	from := snapshottest.StartBench(b)
	for range b.N {
		sum, err := Write(io.Discard, s.Header, s.Save)
		require.NoError(b, err)
		size = int(sum.Bytes)
	}
	snapshottest.ReportBench(b, from, size)
}

func BenchmarkRead(b *testing.B) {
	s := snapshottest.BenchState()
	var lines bytes.Buffer
	_, err := Write(&lines, s.Header, s.Save)
	require.NoError(b, err)
	from := snapshottest.StartBench(b)
	for range b.N {
		_, err := Read(bytes.NewReader(lines.Bytes()), 0, func(snapshot.Header) error { return nil }, dropped{})
		require.NoError(b, err)
	}
	snapshottest.ReportBench(b, from, lines.Len())
}

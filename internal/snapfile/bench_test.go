package snapfile

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

// BenchmarkSave writes to a real file with every sync; BenchmarkSaveFloor writes as many bytes, made beforehand, through a
// bufio.Writer, with one sync.
func BenchmarkSave(b *testing.B) {
	s := snapshottest.BenchState().Packed()
	path := filepath.Join(b.TempDir(), "state")
	size := 0
	from := snapshottest.StartBench(b)
	for range b.N {
		sum, err := Save(path, s.Header, func(w *snapshot.Writer) error { return s.CopyTo(w.Blocks()) }, Options{})
		require.NoError(b, err)
		size = int(sum.Bytes)
	}
	snapshottest.ReportBench(b, from, size)
}

func BenchmarkSaveFloor(b *testing.B) {
	file := snapshottest.BenchState().Encode(b)
	path := filepath.Join(b.TempDir(), "state")
	from := snapshottest.StartBench(b)
	for range b.N {
		f, err := os.Create(path)
		require.NoError(b, err)
		w := bufio.NewWriterSize(f, 256<<10)
		_, err = io.Copy(w, struct{ io.Reader }{bytes.NewReader(file)})
		require.NoError(b, err)
		require.NoError(b, w.Flush())
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
	}
	snapshottest.ReportBench(b, from, len(file))
}

// BenchmarkLoad reads a real file; BenchmarkLoadFloor reads it through a bufio.Reader and does nothing with it.
func BenchmarkLoad(b *testing.B) {
	s := snapshottest.BenchState()
	path := filepath.Join(b.TempDir(), "state")
	sum, err := Save(path, s.Header, s.Fill, Options{})
	require.NoError(b, err)
	from := snapshottest.StartBench(b)
	for range b.N {
		_, err := Load(path, Options{}, func(r *snapshot.Reader) error { return r.Read(context.Background(), nowhere{}, nowhere{}) })
		require.NoError(b, err)
	}
	snapshottest.ReportBench(b, from, int(sum.Bytes))
}

func BenchmarkLoadFloor(b *testing.B) {
	s := snapshottest.BenchState()
	path := filepath.Join(b.TempDir(), "state")
	sum, err := Save(path, s.Header, s.Fill, Options{})
	require.NoError(b, err)
	from := snapshottest.StartBench(b)
	for range b.N {
		f, err := os.Open(path)
		require.NoError(b, err)
		_, err = io.Copy(struct{ io.Writer }{io.Discard}, bufio.NewReaderSize(f, 256<<10))
		require.NoError(b, err)
		require.NoError(b, f.Close())
	}
	snapshottest.ReportBench(b, from, int(sum.Bytes))
}

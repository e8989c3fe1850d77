package snapshot

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// The state of the benchmarks: groups that consume one topic each with a member for every ten partitions, and commit all
// of it about every ten seconds, a commit of each partition a few milliseconds after that of the one before. Every tenth
// partition is idle; one in four of the others runs a lag.
const (
	benchGroups     = 1000
	benchPartitions = 100
	benchCommits    = 10
)

func benchState() *state {
	r := rand.New(rand.NewPCG(1, 2))
	s := &state{Header: Header{TakenAt: testNow, Intervals: benchCommits, Sequence: 1, Creator: "benchmark"}}
	for n := range benchGroups / 10 {
		t := Topic{Cluster: "production", Name: fmt.Sprintf("orders.events.v%03d", n), PartitionCount: benchPartitions}
		for number := range int32(benchPartitions) {
			p := Partition{Number: number, LogStart: int64(r.IntN(1e6))}
			offset, at := int64(r.IntN(1e9)), int64(testNow-10_000*benchCommits)
			for range benchCommits {
				offset += int64(r.IntN(2000))
				at += 10_000
				p.EndOffsets = append(p.EndOffsets, EndOffset{offset, at})
			}
			t.Partitions = append(t.Partitions, p)
		}
		s.Topics = append(s.Topics, t)
	}
	for n := range benchGroups {
		s.Groups = append(s.Groups, benchGroup(r, n))
	}
	return s
}

func benchGroup(r *rand.Rand, n int) Group {
	t := GroupTopic{
		Name: fmt.Sprintf("orders.events.v%03d", n/10), PartitionCount: benchPartitions, LastCommit: testNow - 100,
		Partitions: make([]GroupPartition, benchPartitions),
	}
	start, order := int64(testNow-10_000*benchCommits-r.IntN(10_000)), int64(5_000_000_000+r.IntN(1e9))
	base, rate := int64(r.IntN(1e9)), 1+r.IntN(3000)
	for i := range t.Partitions {
		t.Partitions[i] = GroupPartition{
			Number: int32(i), Owner: fmt.Sprintf("/10.1.%d.%d", n%250, i/10),
			ClientID: fmt.Sprintf("consumer-orders-%d-%d", n, i/10), Commits: make([]protocol.StoredCommit, benchCommits),
		}
	}
	offsets := make([]int64, benchPartitions)
	for i := range offsets {
		offsets[i] = base + int64(r.IntN(1e7))
	}
	for k := range benchCommits {
		at := start + int64(10_000*k+r.IntN(200))
		order += int64(1000 + r.IntN(200)) // other groups
		for i := range t.Partitions {
			c := protocol.StoredCommit{Order: order, Timestamp: at, ObservedTimestamp: (at + 30) / 1000 * 1000, LagKnown: true}
			if i%10 != 0 {
				offsets[i] += int64(rate/2 + r.IntN(rate))
				if i%4 == 1 {
					c.Lag = uint64(r.IntN(2 * rate))
				}
			}
			c.Offset = offsets[i]
			t.Partitions[i].Commits[k] = c
			order++
			at += int64(r.IntN(3))
		}
	}
	return Group{
		Cluster: "production", Name: fmt.Sprintf("orders-consumer-%05d", n), LastCommit: testNow - 100, LastOwner: testNow - 900,
		Topics: []GroupTopic{t},
	}
}

// start begins the measurement; report ends it. Times are for 1,000,000 group-partitions, scaled up.
func start(b *testing.B) time.Duration {
	b.ReportAllocs()
	b.ResetTimer()
	return cpuTime()
}

func report(b *testing.B, from time.Duration, bytes int) {
	const partitions = benchGroups * benchPartitions
	cpu := cpuTime() - from
	b.SetBytes(int64(bytes))
	b.ReportMetric(float64(bytes)/partitions, "bytes/partition")
	b.ReportMetric(float64(bytes)/partitions/benchCommits, "bytes/commit")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/partitions, "s/1M")
	b.ReportMetric(cpu.Seconds()/float64(b.N)*1e6/partitions, "cpu-s/1M")
}

func BenchmarkEncode(b *testing.B) {
	s := benchState()
	size := len(s.encode(b))
	from := start(b)
	for range b.N {
		w := NewWriter(io.Discard, s.Header)
		require.NoError(b, s.copyTo(w))
		_, err := w.Close()
		require.NoError(b, err)
	}
	report(b, from, size)
}

// BenchmarkDecode is the second pass of a load, BenchmarkValidate the first.
func BenchmarkDecode(b *testing.B) {
	file := benchState().encode(b)
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(b, err)
	from := start(b)
	for range b.N {
		require.NoError(b, r.Topics(func(*Topic) error { return nil }))
		require.NoError(b, r.Groups(func(*Group) error { return nil }))
	}
	report(b, from, len(file))
}

func BenchmarkValidate(b *testing.B) {
	file := benchState().encode(b)
	from := start(b)
	for range b.N {
		_, err := NewReader(bytes.NewReader(file), int64(len(file)))
		require.NoError(b, err)
	}
	report(b, from, len(file))
}

// BenchmarkSave writes to a real file with every sync; BenchmarkSaveFloor writes as many bytes, made beforehand, through a
// bufio.Writer, with one sync.
func BenchmarkSave(b *testing.B) {
	s := benchState()
	path := filepath.Join(b.TempDir(), "state")
	size := 0
	from := start(b)
	for range b.N {
		sum, err := Save(path, s.Header, s.fill, Options{})
		require.NoError(b, err)
		size = int(sum.Bytes)
	}
	report(b, from, size)
}

func BenchmarkSaveFloor(b *testing.B) {
	file := benchState().encode(b)
	path := filepath.Join(b.TempDir(), "state")
	from := start(b)
	for range b.N {
		f, err := os.Create(path)
		require.NoError(b, err)
		w := bufio.NewWriterSize(f, blockTarget)
		_, err = io.Copy(w, struct{ io.Reader }{bytes.NewReader(file)})
		require.NoError(b, err)
		require.NoError(b, w.Flush())
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
	}
	report(b, from, len(file))
}

// BenchmarkLoad reads a real file; BenchmarkLoadFloor reads it through a bufio.Reader and does nothing with it.
func BenchmarkLoad(b *testing.B) {
	s := benchState()
	path := filepath.Join(b.TempDir(), "state")
	sum, err := Save(path, s.Header, s.fill, Options{})
	require.NoError(b, err)
	from := start(b)
	for range b.N {
		_, err := Load(path, Options{}, func(r *Reader) error { return r.CopyTo(discard{}) })
		require.NoError(b, err)
	}
	report(b, from, int(sum.Bytes))
}

type discard struct{}

func (discard) WriteTopic(*Topic) error { return nil }
func (discard) WriteGroup(*Group) error { return nil }

func BenchmarkLoadFloor(b *testing.B) {
	s := benchState()
	path := filepath.Join(b.TempDir(), "state")
	sum, err := Save(path, s.Header, s.fill, Options{})
	require.NoError(b, err)
	from := start(b)
	for range b.N {
		f, err := os.Open(path)
		require.NoError(b, err)
		_, err = io.Copy(struct{ io.Writer }{io.Discard}, bufio.NewReaderSize(f, blockTarget))
		require.NoError(b, err)
		require.NoError(b, f.Close())
	}
	report(b, from, int(sum.Bytes))
}

func BenchmarkWriteJSONLines(b *testing.B) {
	s := benchState()
	size := 0
	from := start(b)
	for range b.N {
		sum, err := WriteJSONLines(io.Discard, s.Header, s.copyTo)
		require.NoError(b, err)
		size = int(sum.Bytes)
	}
	report(b, from, size)
}

func BenchmarkReadJSONLines(b *testing.B) {
	s := benchState()
	var lines bytes.Buffer
	_, err := WriteJSONLines(&lines, s.Header, s.copyTo)
	require.NoError(b, err)
	from := start(b)
	for range b.N {
		_, err := ReadJSONLines(bytes.NewReader(lines.Bytes()), 0, func(Header) error { return nil }, discard{})
		require.NoError(b, err)
	}
	report(b, from, lines.Len())
}

package window

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/lagkeeper/storage/protocol"
)

// shape is a kind of consumer group: how often it commits, what it consumes, how busy __consumer_offsets is.
type shape struct {
	name                string
	everyMillis, jitter int64
	messagesPerSecond   int64
	orderStep           int64
	lag                 uint64
}

var shapes = []shape{
	{"auto-commit 5 s, 100/s", 5_000, 300, 100, 10_000, 300},
	{"10 s, 100/s", 10_000, 500, 100, 20_000, 300},
	{"60 s, 1000/s", 60_000, 1_000, 1_000, 20_000, 5_000},
	{"10 s, idle", 10_000, 500, 0, 20_000, 0},
	{"1 s, 20000/s", 1_000, 100, 20_000, 2_000, 40_000},
}

func (s shape) commits(r *rand.Rand, n int) []protocol.StoredCommit {
	out := make([]protocol.StoredCommit, n)
	c := protocol.StoredCommit{Offset: 1_000_000_000, Order: 5_000_000_000, Timestamp: 1_700_000_000_000, LagKnown: true}
	for i := range out {
		step := s.everyMillis + r.Int64N(2*s.jitter+1) - s.jitter
		c.Timestamp += step
		c.ObservedTimestamp = (c.Timestamp + r.Int64N(900)) / 1000 * 1000
		c.Offset += s.messagesPerSecond * step / 1000 * (80 + r.Int64N(41)) / 100
		c.Order += s.orderStep * (90 + r.Int64N(21)) / 100
		c.Lag = 0
		if s.lag > 0 {
			c.Lag = r.Uint64N(2 * s.lag)
		}
		out[i] = c
	}
	return out
}

// BenchmarkBytesPerCommit compares what a commit takes in a full window of 10 and of 60 under the encodings that were
// weighed: fixed fields of 40 bytes, varints of differences, differences of differences, and the record of this package.
// The numbers are bytes, not times.
func BenchmarkBytesPerCommit(b *testing.B) {
	for _, n := range []int{10, 60} {
		for _, s := range shapes {
			b.Run(s.name+"/"+map[int]string{10: "10", 60: "60"}[n], func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, uint64(n)))
				var record, varint, second, oracle float64
				windows := 0
				for b.Loop() {
					commits := s.commits(r, n+10)
					a := newArena(b)
					for i := range commits {
						a.append(commits[i], n)
					}
					m := Window(a.mem).meta()
					record += float64(m.end-m.head) / 8
					for i := 10; i < len(commits); i++ {
						d := difference(&commits[i-1], &commits[i])
						e := difference(&commits[i-2], &commits[i-1])
						varint += float64(varintBytes(d))
						second += float64(varintBytes(d) - signedLen(d.timestamp) + signedLen(d.timestamp-e.timestamp))
						oracle += float64(bits.Len64(uint64(d.timestamp))+bits.Len64(uint64(d.order))+bits.Len64(uint64(d.offset))+bits.Len64(d.lag)+bits.Len64(uint64(d.observed))) / 8
					}
					windows++
				}
				per := float64(windows * n)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(40, "fixed-B")
				b.ReportMetric(varint/per, "varint-B")
				b.ReportMetric(second/per, "varint2-B")
				b.ReportMetric(record/per, "record-B")
				b.ReportMetric(oracle/per, "payload-B")
			})
		}
	}
}

func signedLen(v int64) int { return len(binary.AppendVarint(nil, v)) }

func varintBytes(d record) int {
	return signedLen(d.timestamp) + signedLen(d.order) + signedLen(d.offset) + signedLen(d.observed) + len(binary.AppendUvarint(nil, d.lag+1))
}

func BenchmarkAppend(b *testing.B) {
	for _, limit := range []int{10, 60, 1000} {
		b.Run(map[int]string{10: "10", 60: "60", 1000: "1000"}[limit], func(b *testing.B) {
			commits := shapes[1].commits(rand.New(rand.NewPCG(1, 2)), 4096)
			a := newArena(b)
			for i := range commits {
				a.append(commits[i], limit)
			}
			w := Window(a.mem)
			i := 0
			for b.Loop() {
				if w.Append(&commits[i&4095], limit) != 0 {
					a.append(commits[i&4095], limit)
					w = a.mem
				}
				i++
			}
		})
	}
}

func BenchmarkAppendTo(b *testing.B) {
	commits := shapes[1].commits(rand.New(rand.NewPCG(1, 2)), 4096)
	a := newArena(b)
	for i := range commits {
		a.append(commits[i], 10)
	}
	dst := make([]protocol.StoredCommit, 0, 10)
	for b.Loop() {
		dst = Window(a.mem).AppendTo(dst[:0])
	}
}

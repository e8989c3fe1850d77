package window

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/lagkeeper/storage/protocol"
)

// shape is a kind of consumer group: how often it commits, what it consumes, how far it is behind, and how busy its partition
// of __consumer_offsets is.
type shape struct {
	name                string
	everyMillis, jitter int64
	messagesPerSecond   int64
	orderStep           int64
	// lag is roughly the lag; it changes by up to lagStep from commit to commit.
	lag, lagStep int64
	// replayed is true if all commits were observed at once, long after they were made.
	replayed bool
}

var shapes = []shape{
	{"5 s, 100/s", 5_000, 300, 100, 10_000, 300, 300, false},
	{"10 s, 100/s", 10_000, 500, 100, 20_000, 300, 300, false},
	{"60 s, 1000/s", 60_000, 1_000, 1_000, 20_000, 5_000, 5_000, false},
	{"1 s, 20000/s", 1_000, 100, 20_000, 2_000, 40_000, 40_000, false},
	{"10 s, idle", 10_000, 500, 0, 20_000, 0, 0, false},
	{"10 s, stuck millions behind", 10_000, 500, 0, 20_000, 5_000_000, 1_000, false},
	{"10 s, millions behind", 10_000, 500, 100, 20_000, 5_000_000, 500, false},
	{"10 s, billions behind", 10_000, 500, 2_000, 20_000, 7_000_000_000, 10_000, false},
	{"10 s, busy log", 10_000, 500, 100, 5_000_000, 300, 300, false},
	{"10 s, millions behind, replayed", 10_000, 500, 100, 20_000, 5_000_000, 500, true},
}

func (s shape) commits(r *rand.Rand, n int) []protocol.StoredCommit {
	out := make([]protocol.StoredCommit, n)
	c := protocol.StoredCommit{Offset: 1_000_000_000, Order: 5_000_000_000, Timestamp: 1_700_000_000_000, LagKnown: true}
	lag := s.lag
	for i := range out {
		step := s.everyMillis + r.Int64N(2*s.jitter+1) - s.jitter
		c.Timestamp += step
		c.ObservedTimestamp = (c.Timestamp + r.Int64N(900)) / 1000 * 1000
		if s.replayed {
			c.ObservedTimestamp = 1_700_500_000_000 + int64(i)/7*1000
		}
		c.Offset += s.messagesPerSecond * step / 1000 * (80 + r.Int64N(41)) / 100
		c.Order += s.orderStep * (90 + r.Int64N(21)) / 100
		if s.lagStep == s.lag && s.lag > 0 {
			lag = r.Int64N(2 * s.lag)
		} else if s.lagStep > 0 {
			lag += r.Int64N(2*s.lagStep) - s.lagStep
		}
		c.Lag = uint64(max(lag, 0))
		out[i] = c
	}
	return out
}

// BenchmarkBytesPerCommit compares the bytes of a commit in full windows of 10 and 60, without the header, in the encodings
// that were weighed. The figures are bytes, not times; window-B is a whole window.
func BenchmarkBytesPerCommit(b *testing.B) {
	for _, n := range []int{10, 60} {
		for _, s := range shapes {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, uint64(n)))
				var window, best, varint, plain, aligned, payload float64
				windows := 0
				for b.Loop() {
					commits := s.commits(r, 4*n)
					a := newArena(b)
					for i := range commits {
						a.append(commits[i], n)
					}
					window += float64(Window(a.mem).Used())
					commits = commits[len(commits)-n:]
					f := choose(commits)
					best += float64(f.needs(n))
					x := differences(commits)
					varint += x.varint
					plain += x.plain
					aligned += x.aligned
					payload += x.payload
					windows++
				}
				per := float64(windows * n)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(varint/per, "varint-B")
				b.ReportMetric(aligned/per, "aligned-B")
				b.ReportMetric(plain/per, "columns-B")
				b.ReportMetric((window/float64(windows)-HeaderSize)*float64(windows)/per, "this-B")
				b.ReportMetric(payload/per, "payload-B")
				b.ReportMetric(window/float64(windows), "window-B")
				b.ReportMetric(best/float64(windows), "rewritten-B")
			})
		}
	}
}

// encoded is the size of some commits in bytes: as varints, as columns of bits or bytes without bases, and as only the
// significant bits of each difference.
type encoded struct{ varint, plain, aligned, payload float64 }

func differences(commits []protocol.StoredCommit) (e encoded) {
	var widest [5]int
	n := float64(len(commits) - 1)
	for i := 1; i < len(commits); i++ {
		c, p := &commits[i], &commits[i-1]
		for k, v := range [5]int64{c.Timestamp - p.Timestamp, c.Order - p.Order, c.Offset - p.Offset, int64(c.Lag), delay(c)} {
			length := bits.Len64(uint64(v))
			e.varint += float64(len(binary.AppendVarint(nil, v)))
			e.payload += float64(length) / 8
			widest[k] = max(widest[k], length)
		}
	}
	for _, length := range widest {
		e.plain += float64(length) * n / 8
		e.aligned += float64((length+7)/8) * n
	}
	return e
}

func BenchmarkAppend(b *testing.B) {
	for _, s := range shapes {
		for _, limit := range []int{10, 60} {
			b.Run(fmt.Sprintf("%s/%d", s.name, limit), func(b *testing.B) {
				commits := s.commits(rand.New(rand.NewPCG(1, 2)), 4096)
				a := newArena(b)
				for i := range commits {
					a.append(commits[i], limit)
				}
				w := Window(a.mem)
				i := 0
				for b.Loop() {
					if w.Append(&commits[i&4095], limit, &a.scratch) != 0 {
						a.append(commits[i&4095], limit)
						w = a.mem
					}
					i++
				}
			})
		}
	}
}

// BenchmarkRead measures decoding a window of ten commits. Its floor is copying ten decoded commits.
func BenchmarkRead(b *testing.B) {
	ready := shapes[1].commits(rand.New(rand.NewPCG(1, 2)), 10)
	dst := make([]protocol.StoredCommit, 10)
	b.Run("floor=copy", func(b *testing.B) {
		for b.Loop() {
			copy(dst, ready)
		}
	})
	for _, s := range shapes {
		commits := s.commits(rand.New(rand.NewPCG(1, 2)), 4096)
		a := newArena(b)
		for i := range commits {
			a.append(commits[i], 10)
		}
		w := Window(a.mem)
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				dst = w.AppendTo(dst[:0])
			}
		})
	}
}

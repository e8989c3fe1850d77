package curve

import (
	"fmt"
	"testing"
)

// poll is 30 s in ms, the interval between two polls of the end offsets in these tests.
const poll = 30_000

// BenchmarkObserve measures one poll of a busy partition. The floor is a plain append of the same facts to a slice: the cost of
// keeping everything and thinning nothing.
//
//	go test -run xxx -bench . ./internal/curve
func BenchmarkObserve(b *testing.B) {
	b.Run("floor/append", func(b *testing.B) {
		b.ReportAllocs()
		s := make([]Segment, 0, 1<<16)
		var at, offset int64
		for b.Loop() {
			if len(s) == cap(s) {
				s = s[:0]
			}
			at += poll
			offset += wobble(at)
			s = append(s, Segment{Offset: offset, First: at, Last: at})
		}
	})
	b.Run("idle", func(b *testing.B) {
		b.ReportAllocs()
		var c Curve
		var at int64
		for b.Loop() {
			at += poll
			c.Observe(7, at, DefaultSegments)
		}
	})
	for _, max := range []int{8, DefaultSegments, 128} {
		b.Run(fmt.Sprintf("full/%d", max), func(b *testing.B) {
			var c Curve
			var at, offset int64
			for range 10_000 {
				at += poll
				offset += wobble(at)
				c.Observe(offset, at, max)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				at += poll
				offset += wobble(at)
				c.Observe(offset, at, max)
			}
		})
	}
}

func BenchmarkLag(b *testing.B) {
	var c Curve
	var at, offset int64
	for range 10_000 {
		at += poll
		offset += wobble(at)
		c.Observe(offset, at, DefaultSegments)
	}
	for _, behind := range []int64{0, 300_000, 30_000_000} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Lag(offset-behind, at)
			}
		})
	}
}

// wobble is a rate of about 1,000 messages/s that never repeats.
func wobble(at int64) int64 { return 25_000 + int64(uint64(at)*0x9e3779b97f4a7c15>>50) }

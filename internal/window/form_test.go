package window

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestBasesAreTheGreatestBelow compares with a search of all bases.
func TestBasesAreTheGreatestBelow(t *testing.T) {
	t.Parallel()
	values := []int64{0, 1, -1, 7, 8, 9, 9500, -9500, math.MaxInt64, math.MinInt64}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		values = append(values, r.Int64()>>r.IntN(64), -r.Int64()>>r.IntN(64))
	}
	for _, v := range values {
		want, there := int64(math.MinInt64), false
		for code := range uint16(baseSign | maxBaseCode + 1) {
			if base := baseOf(code); base <= v && base >= want {
				want, there = base, true
			}
		}
		code, ok := baseBelow(v)
		require.Equal(t, there, ok, "%d", v)
		if ok {
			require.Equal(t, want, baseOf(code), "%d", v)
		}
	}
}

// TestFormsAreStored writes and reads forms with extreme values in each field.
func TestFormsAreStored(t *testing.T) {
	t.Parallel()
	columns := []column{{}, {width: 1}, {width: maxWidth}, {width: 64}}
	for _, code := range []uint16{1, maxBaseCode, baseSign | 1, baseSign | maxBaseCode} {
		columns = append(columns, column{base: baseOf(code), code: code, width: 9})
	}
	w := make(Window, maxHeader)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() column { return columns[r.IntN(len(columns))] }
	for range 5000 {
		f := form{
			size: r.IntN(sizeMask+1) * Unit, count: r.IntN(countMask + 1), head: r.IntN(countMask + 1),
			timestamp: pick(), order: pick(), offset: pick(), lag: pick(),
			observedWidth: pick().width, unsure: uint8(r.IntN(2)),
			lagAnchor: anchorBytes[r.IntN(3)], observedAnchor: anchorBytes[r.IntN(3)], full: []uint8{6, 8}[r.IntN(2)],
			wide: uint8(r.IntN(turned + 1)),
		}
		tag := r.Uint32()
		w.SetTag(tag)
		w.setForm(&f)
		require.Equal(t, f, w.form())
		require.Equal(t, tag, w.Tag())
	}
}

// most is the average number of bytes of a window of ten commits of each shape, rounded up, as docs/design.md states it.
var most = map[string]float64{
	"5 s, 100/s": 90, "10 s, 100/s": 94, "60 s, 1000/s": 108, "1 s, 20000/s": 101, "10 s, idle": 70,
	"10 s, stuck millions behind": 90, "10 s, millions behind": 100, "10 s, billions behind": 115, "10 s, busy log": 104,
	"10 s, millions behind, replayed": 104,
}

// TestWindowsStaySmall lets groups of each shape commit for a long time. The size of a window depends on how much commits
// differ, not on how far a group is behind; and few commits need a new form.
func TestWindowsStaySmall(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			const windows, limit = 200, 10
			r := rand.New(rand.NewPCG(1, 2))
			bytes, reformed, appended := 0, 0, 0
			for range windows {
				a := newArena(t)
				for i, c := range s.commits(r, 10*limit) {
					before := Window(a.mem).form()
					a.append(c, limit)
					if i < 2*limit {
						continue
					}
					appended++
					after := Window(a.mem).form()
					before.size, before.count, before.head, before.wide = after.size, after.count, after.head, after.wide
					if before != after {
						reformed++
					}
				}
				bytes += Window(a.mem).Used()
			}
			require.LessOrEqual(t, float64(bytes)/windows, most[s.name], "bytes")
			require.LessOrEqual(t, reformed, appended/25, "forms for %d commits", appended)
		})
	}
}

// FuzzWindow changes a window as the bytes say, and compares with a model.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19})
	f.Add([]byte{0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 1, 0xc0, 0, 0, 0, 0x20, 7})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 1<<10 {
			return
		}
		const limit = 5
		a := newArena(t)
		var m model
		var c protocol.StoredCommit
		for len(in) > 0 {
			op := in[0]
			in = in[1:]
			for bit, to := range []*int64{&c.Offset, &c.Order, &c.Timestamp, &c.ObservedTimestamp} {
				if op>>bit&1 != 0 {
					v, n := binary.Varint(in)
					in = in[max(n, 0):]
					*to += v
				}
			}
			c.ObservedTimestamp = c.ObservedTimestamp / 1000 * 1000
			if c.LagKnown = op>>4&1 == 0; c.LagKnown {
				v, n := binary.Uvarint(in)
				in = in[max(n, 0):]
				c.Lag += v
			} else {
				c.Lag = 0
			}
			switch {
			case op>>5&1 != 0 && len(m) > 0:
				m[len(m)-1] = c
				a.do(func(w Window) int { return w.ReplaceNewest(&c, &a.scratch) })
			case op>>6&1 != 0 && len(m) > 1:
				m = append(model{}, m[1:]...)
				a.do(func(w Window) int { return w.Rewrite(m, &a.scratch) })
			default:
				m.append(c, limit)
				a.append(c, limit)
			}
			require.Equal(t, []protocol.StoredCommit(m), Window(a.mem).AppendTo(nil))
			require.LessOrEqual(t, Window(a.mem).Used(), MaxSize(len(m)))
		}
	})
}

package window

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// model is a window in the obvious form.
type model []protocol.StoredCommit

func (m *model) append(c protocol.StoredCommit, limit int) {
	if len(*m) == limit {
		*m = (*m)[1:]
	}
	*m = append(slices.Clip(*m), c)
}

// arena is the memory that a test gives a window; it grows as the owner of a window would let it.
type arena struct {
	t       testing.TB
	mem     []byte
	scratch Scratch
}

func newArena(t testing.TB) *arena {
	a := &arena{t: t}
	a.grow(HeaderSize)
	Init(a.mem, HeaderSize)
	return a
}

// grow makes memory of size bytes with guards around it.
func (a *arena) grow(size int) {
	a.mem = make([]byte, size+Padding)
	for i := size; i < len(a.mem); i++ {
		a.mem[i] = 0xA5
	}
}

func (a *arena) do(f func(Window) int) {
	needed := f(a.mem)
	if needed > 0 {
		require.Greater(a.t, needed, Window(a.mem).Size())
		old := Window(a.mem)
		a.grow(needed)
		Window(a.mem).Take(old, needed, &a.scratch)
	}
	for _, b := range a.mem[Window(a.mem).Size():] {
		require.Equal(a.t, byte(0xA5), b, "wrote beyond the window")
	}
}

func (a *arena) append(c protocol.StoredCommit, limit int) {
	a.do(func(w Window) int { return w.Append(&c, limit, &a.scratch) })
}

// anyInt returns a number of random size, often small, sometimes extreme.
func anyInt(r *rand.Rand) int64 {
	switch r.IntN(8) {
	case 0:
		return []int64{math.MinInt64, math.MaxInt64, -1, 0, 1}[r.IntN(5)]
	case 1:
		return -(r.Int64() >> r.IntN(63))
	default:
		return r.Int64() >> r.IntN(63)
	}
}

func anyCommit(r *rand.Rand) protocol.StoredCommit {
	c := protocol.StoredCommit{Offset: anyInt(r), Order: anyInt(r), Timestamp: anyInt(r), ObservedTimestamp: anyInt(r) / 1000 * 1000}
	if r.IntN(4) > 0 {
		c.Lag, c.LagKnown = uint64(anyInt(r)), true
	}
	return c
}

func TestRandomWindowsAnswerAsAModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		limit := []int{1, 2, 3, 10, 60, 1000}[r.IntN(6)]
		regular := r.IntN(2) == 0
		a := newArena(t)
		tag := r.Uint32()
		Window(a.mem).SetTag(tag)
		var m model
		longest := 0
		last := protocol.StoredCommit{Offset: anyInt(r), Timestamp: 1_700_000_000_000, LagKnown: true}
		for step := range 20 + r.IntN(3*min(limit, 100)) {
			c := anyCommit(r)
			if regular {
				last.Offset += r.Int64N(5000)
				last.Order += r.Int64N(70000)
				last.Timestamp += 10000 + r.Int64N(500)
				last.ObservedTimestamp = last.Timestamp / 1000 * 1000
				last.Lag = r.Uint64N(1000)
				c = last
			}
			switch {
			case len(m) > 0 && r.IntN(6) == 0:
				m[len(m)-1] = c
				a.do(func(w Window) int { return w.ReplaceNewest(&c, &a.scratch) })
			case step%17 == 16:
				for len(m) > 1 && r.IntN(3) > 0 {
					m = slices.Delete(m, 0, 1)
				}
				a.do(func(w Window) int { return w.Rewrite(m, &a.scratch) })
			default:
				m.append(c, limit)
				a.append(c, limit)
			}
			w := Window(a.mem)
			require.Equal(t, len(m), w.Len())
			require.Equal(t, []protocol.StoredCommit(m), w.AppendTo(nil))
			require.Equal(t, tag, w.Tag())
			newest := m[len(m)-1]
			require.Equal(t, []int64{newest.Offset, newest.Order, newest.Timestamp}, []int64{w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()})
			require.LessOrEqual(t, w.Used(), w.Size())
			if w.Padded() == w.Size() {
				size, err := Check(w)
				require.NoError(t, err)
				require.Equal(t, w.Size(), size)
			}
			longest = max(longest, w.Len())
			require.LessOrEqual(t, w.Size(), MaxSize(longest+1), "the window grew without bound")
		}
	}
}

func TestAppendToKeepsWhatStandsBefore(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	c := protocol.StoredCommit{Offset: 5, Order: 6, Timestamp: 7000, ObservedTimestamp: 8000}
	a.append(c, 10)
	got := Window(a.mem).AppendTo([]protocol.StoredCommit{{Offset: -1}})
	require.Equal(t, []protocol.StoredCommit{{Offset: -1}, c}, got)
}

func TestAFullWindowOfTheWidestRecordsFitsMaxSize(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	for i := range 3 * MaxCommits {
		v := int64(math.MinInt64)
		if i%2 == 0 {
			v = 0
		}
		c := protocol.StoredCommit{Offset: v, Order: v, Timestamp: v, Lag: math.MaxUint64, LagKnown: true, ObservedTimestamp: v / 1000 * 1000}
		a.append(c, MaxCommits)
	}
	w := Window(a.mem)
	require.Equal(t, MaxCommits, w.Len())
	require.LessOrEqual(t, w.Size(), MaxSize(MaxCommits))
}

func TestAnAppendThatDoesNotFitChangesNothing(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	c := protocol.StoredCommit{Offset: 100, Order: 5, Timestamp: 1000, LagKnown: true, Lag: 7}
	a.append(c, 10)
	a.append(c, 10)
	before := slices.Clone(a.mem)
	wide := protocol.StoredCommit{Offset: math.MinInt64, Order: math.MaxInt64, Timestamp: math.MaxInt64}
	require.NotZero(t, Window(a.mem).Append(&wide, 10, &a.scratch))
	require.NotZero(t, Window(a.mem).ReplaceNewest(&protocol.StoredCommit{Timestamp: math.MaxInt64, ObservedTimestamp: 0}, &a.scratch))
	require.Equal(t, before, a.mem)
}

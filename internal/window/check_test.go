package window

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// sound returns a run of one window.
func sound(n int) Window {
	var scratch Scratch
	commits := make([]protocol.StoredCommit, n)
	for i := range commits {
		k := int64(i)
		commits[i] = protocol.StoredCommit{Offset: 100 + 7*k*k, Order: 3 * k, Timestamp: 1_700_000_000_000 + 9_000*k, ObservedTimestamp: 1_700_000_001_000 + 9_000*k, Lag: 5, LagKnown: n%2 == 0}
	}
	size := scratch.Plan(commits)
	w := make(Window, size+Padding)
	Init(w, size)
	w.Fill(&scratch)
	return w
}

func TestCheckRefusesWhatIsNoWindow(t *testing.T) {
	t.Parallel()
	change := func(n int, change func(w Window, f *form)) Window {
		w := sound(n)
		f := w.form()
		change(w, &f)
		return w
	}
	first := func(bits uint64) func(Window, *form) {
		return func(w Window, _ *form) { w.setFirst(w.first() | bits) }
	}
	width := func(field, at int) func(Window, *form) {
		return func(w Window, _ *form) {
			v := binary.LittleEndian.Uint64(w[secondAt:])
			binary.LittleEndian.PutUint64(w[secondAt:], v&^(widthMask<<at)|uint64(field)<<at)
		}
	}
	for name, c := range map[string]struct {
		run  []byte
		want string
	}{
		"nothing":           {nil, "0 are left"},
		"half a head":       {sound(3)[:HeaderSize+Padding-1], "35 are left"},
		"no padding":        {sound(10)[:sound(10).Size()], "claims"},
		"no size":           {change(0, func(w Window, _ *form) { w.setFirst(0) }), "claims 0 bytes"},
		"a small size":      {change(0, func(w Window, _ *form) { w.setFirst(HeaderSize/Unit - 1) }), "claims 34 bytes"},
		"bits without use":  {change(3, first(1<<unusedShift)), "of the form"},
		"the last bit":      {change(3, first(1<<63)), "of the form"},
		"turned and more":   {change(3, first(3<<turnShift)), "of the form"},
		"lag anchor":        {change(3, first(3<<lagAnchorShift)), "of the form"},
		"observed anchor":   {change(3, first(3<<observedAnchorShift)), "of the form"},
		"58 bits":           {change(3, width(58, 0)), "of the form"},
		"62 bits":           {change(3, width(62, 6)), "of the form"},
		"60 bits of offset": {change(3, width(60, 12)), "of the form"},
		"61 bits of lag":    {change(3, width(61, 18)), "of the form"},
		"observed bits": {change(3, func(w Window, f *form) {
			w.setFirst(w.first()&^(widthMask<<observedShift) | 59<<observedShift)
		}), "of the form"},
		"too many": {change(3, func(w Window, f *form) {
			f.count = MaxCommits + 1
			w.setForm(f)
		}), "1001 commits"},
		"no such oldest": {change(3, func(w Window, f *form) {
			f.head = 3
			w.setForm(f)
		}), "the oldest at 3"},
		"an oldest of none": {change(0, func(w Window, f *form) {
			f.head = 1
			w.setForm(f)
		}), "the oldest at 1"},
		"too wide": {change(3, func(w Window, f *form) {
			f.order.width = 57
			w.setForm(f)
		}), "it needs"},
		"too many for its bytes": {change(0, func(w Window, f *form) {
			f.count = 37
			w.setForm(f)
		}), "fewer than commits"},
	} {
		_, err := Check(c.run)
		require.ErrorContains(t, err, c.want, name)
	}
	for n := range 12 {
		w := sound(n)
		size, err := Check(w)
		require.NoError(t, err)
		require.Equal(t, w.Size(), size)
	}
}

// TestPaddedWindowsAreSound gives windows of very regular commits the bytes that Check wants, without a change of what they hold.
func TestPaddedWindowsAreSound(t *testing.T) {
	t.Parallel()
	var scratch Scratch
	for _, n := range []int{10, 36, 37, 38, 100, 999, MaxCommits} {
		size := scratch.Plan(make([]protocol.StoredCommit, n))
		w := make(Window, size+Padding)
		Init(w, size)
		w.Fill(&scratch)
		commits := w.AppendTo(nil)
		padded := w.Padded()
		require.GreaterOrEqual(t, padded, n)
		to := make(Window, padded+Padding)
		w.MoveTo(to, padded)
		got, err := Check(to)
		require.NoError(t, err, "%d commits", n)
		require.Equal(t, padded, got)
		require.Equal(t, commits, to.AppendTo(nil))
		require.LessOrEqual(t, padded, max(size, n+1))
	}
}

// FuzzCheck gives Check any bytes. What it takes is read and changed in every way, and compared with a model: nothing panics or
// writes beyond the window, and what was not changed stays.
func FuzzCheck(f *testing.F) {
	for n := range 5 {
		f.Add([]byte(sound(n)), uint64(n))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) { checkAny(t, b, seed) })
}

// TestCheckAtRandom is FuzzCheck with windows that were damaged a little.
func TestCheckAtRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	accepted := 0
	for range 3000 {
		w := sound(r.IntN(12))
		w = append(w, make([]byte, r.IntN(200))...)
		for range 1 + r.IntN(4) {
			w[r.IntN(len(w))] ^= 1 << r.IntN(8)
		}
		for i := r.IntN(3); i == 0 && r.IntN(8) > 0; { // records of any bytes
			w[HeaderSize+r.IntN(len(w)-HeaderSize)] = byte(r.Uint32())
		}
		if checkAny(t, w, r.Uint64()) {
			accepted++
		}
	}
	require.Greater(t, accepted, 500)
}

func checkAny(t *testing.T, b []byte, seed uint64) bool {
	size, err := Check(b)
	if err != nil {
		return false
	}
	require.LessOrEqual(t, size, len(b)-Padding)
	r := rand.New(rand.NewPCG(seed, 2))
	commits := Window(b).AppendTo(nil)
	for i := range commits {
		if commits[i].ObservedTimestamp < math.MinInt64+2000 {
			return true // has no whole second
		}
	}
	answers, places := make([]Answered, len(commits)), make([]*protocol.ConsumerOffset, len(commits))
	Window(b).Answer(answers, places)
	for i := range commits {
		require.Equal(t, [4]int64{commits[i].Offset, commits[i].Order, commits[i].Timestamp, commits[i].ObservedTimestamp},
			[4]int64{answers[i].Commit.Offset, answers[i].Commit.Order, answers[i].Commit.Timestamp, answers[i].Commit.ObservedTimestamp})
	}
	for range 6 {
		a := &arena{t: t}
		a.grow(size)
		copy(a.mem[:size], b)
		m := model(slices.Clone(commits))
		for range 1 + r.IntN(12) {
			c := anyCommit(r)
			if c.ObservedTimestamp < math.MinInt64+2000 {
				c.ObservedTimestamp = 0
			}
			if n := len(m); n > 0 && r.IntN(3) > 0 { // one that may fit
				c = m[n-1]
				c.Offset, c.Order, c.Timestamp = c.Offset+r.Int64N(9), c.Order+r.Int64N(9), c.Timestamp+r.Int64N(20_000)
				c.ObservedTimestamp = floor(c.ObservedTimestamp)
			}
			switch op := r.IntN(6); {
			case op == 0 && len(m) > 0:
				m[len(m)-1] = c
				a.do(func(w Window) int { return w.ReplaceNewest(&c, &a.scratch) })
			case op == 1:
				m = slices.Insert(m, r.IntN(len(m)+1), c)
				m = m[max(0, len(m)-MaxCommits):]
				a.do(func(w Window) int { return w.Rewrite(m, &a.scratch) })
			case op == 2 && len(m) > 0:
				narrow(a)
			default:
				limit := 1 + r.IntN(min(len(m)+2, MaxCommits))
				if len(m) > limit {
					m = m[len(m)-limit:]
				}
				m.append(c, limit)
				a.append(c, limit)
			}
			w := Window(a.mem)
			require.Equal(t, floored(m), floored(w.AppendTo(nil)))
			if len(m) > 0 {
				newest := m[len(m)-1]
				require.Equal(t, []int64{newest.Offset, newest.Order, newest.Timestamp}, []int64{w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()})
			}
			require.LessOrEqual(t, w.Used(), w.Size())
			if w.Padded() == w.Size() {
				_, err := Check(a.mem)
				require.NoError(t, err)
			}
		}
	}
	return true
}

// narrow does what the owner of a window does in a sweep.
func narrow(a *arena) {
	w := Window(a.mem)
	if size := w.Narrow(&a.scratch); size > 0 {
		a.grow(size)
		Window(a.mem).Take(w, size, &a.scratch)
	}
}

// floored returns commits with observations of whole seconds: others are possible only in bytes that no window was made of.
func floored(commits []protocol.StoredCommit) []protocol.StoredCommit {
	commits = slices.Clone(commits)
	for i := range commits {
		commits[i].ObservedTimestamp = floor(commits[i].ObservedTimestamp)
	}
	return commits
}

func floor(milliseconds int64) int64 { return seconds(milliseconds) * 1000 }

package window

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAWindowNarrowsAfterAnOutlier lets each shape stand still for a while, which makes its window wide, and go on: once the commit
// after the pause has left, the window needs what it needed before.
func TestAWindowNarrowsAfterAnOutlier(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			const limit = 10
			commits := s.commits(rand.New(rand.NewPCG(1, 2)), 20*limit)
			a := newArena(t)
			for _, c := range commits[:10*limit] {
				a.append(c, limit)
			}
			settle := func() {
				if Window(a.mem).Narrowable() {
					a.narrow()
				}
				require.False(t, Window(a.mem).Narrowable())
			}
			settle()
			regular := Window(a.mem).Size()
			const pause = 1 << 40
			for i := 10 * limit; i < 20*limit; i++ {
				c := commits[i]
				c.Timestamp += pause
				c.ObservedTimestamp += pause / 1000 * 1000
				c.Order += pause
				c.Offset += pause
				require.False(t, Window(a.mem).Narrowable() && i < 11*limit, "the outlier is still there")
				a.append(c, limit)
				commits[i] = c
			}
			require.Greater(t, Window(a.mem).Size(), regular+regular/4, "the outlier made it no wider")
			require.True(t, Window(a.mem).Narrowable())
			settle()
			require.LessOrEqual(t, Window(a.mem).Size(), regular+regular/4)
			require.Equal(t, commits[19*limit:], Window(a.mem).AppendTo(nil))
		})
	}
}

// narrow makes a window smaller that can be, and lets one that cannot be as it is.
func (a *arena) narrow() {
	from := Window(a.mem)
	size := from.Narrow(&a.scratch)
	if size == 0 {
		return
	}
	require.Less(a.t, size, from.Size())
	a.grow(size)
	Window(a.mem).Take(from, size, &a.scratch)
}

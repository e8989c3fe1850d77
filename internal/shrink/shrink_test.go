package shrink

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestMap(t *testing.T) {
	const n = 100_000
	before := heap()
	m := make(map[int][2]int)
	for i := range n {
		m[i] = [2]int{i, i}
	}
	full := heap() - before
	require.InEpsilon(t, full, Bytes(n, 24), 0.35)
	for i := 10; i < n; i++ {
		delete(m, i)
	}
	require.Greater(t, heap()-before, full/2, "the map of Go shrinks by itself")
	m, most := Map(m, n)
	require.Less(t, heap()-before, full/10)
	require.Equal(t, 10, most)
	require.Len(t, m, 10)
	require.Equal(t, [2]int{3, 3}, m[3])
}

func TestMapIsKept(t *testing.T) {
	for _, test := range []struct{ now, most int }{{0, 1024}, {1, 16}, {200, 3000}, {5000, 10}} {
		m := make(map[int]bool)
		for i := range test.now {
			m[i] = true
		}
		kept, most := Map(m, test.most)
		require.Equal(t, max(test.now, test.most), most)
		kept[-1] = true
		require.True(t, m[-1], "%+v: another map", test)
	}
}

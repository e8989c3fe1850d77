package curve

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"
)

// TestMemory measures the memory of the curve of a topic-partition in a block after a day of polls every 30 s, and compares it with
// the package's documentation.
func TestMemory(t *testing.T) {
	budgets := map[string]float64{
		"steady": 141, "noisy": 183, "slow": 333, "idle": 25, "bursty": 397, "on/off": 333, "batch job": 333, "daily": 226,
		"ramp": 226, "walk": 269,
	}
	for _, p := range producers {
		const n = 128 // as many as a page of a topic
		var polls [n][]int64
		for i := range polls {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			var end int64
			for s := int64(0); s < 24*3600; s++ {
				end += p.rate(r, s)
				if s%30 == 29 {
					polls[i] = append(polls[i], 1_000_000+end)
				}
			}
		}
		b := MakeBlock(n, nil, 0)
		var most int
		for j := range polls[0] {
			at := 1_790_000_000_000 + int64(j)*poll
			for i := range polls {
				b.Observe(i, polls[i][max(0, j-1)], at-poll, polls[i][j], at, DefaultSegments)
			}
			most = max(most, b.Size())
		}
		if most != b.Size() {
			t.Errorf("%s: the block took %d bytes once, and takes %d", p.name, most, b.Size())
		}
		used, segments := 0, 0
		for _, h := range b.heads {
			used += int(h.used)
			segments += int(h.n)
		}
		each := float64(b.Size()) / n
		t.Logf("%-10s %5.1f bytes a curve, %.1f of them used by %.1f segments", p.name, each, float64(used)/n, float64(segments)/n)
		if each > budgets[p.name] {
			t.Errorf("%s: %.0f bytes a curve, more than %.0f", p.name, each, budgets[p.name])
		}
	}
}

// TestNoPointers checks that a block is two objects without pointers, which the garbage collector does not scan.
func TestNoPointers(t *testing.T) {
	if size := unsafe.Sizeof(head{}); size != 12 {
		t.Errorf("a head takes %d bytes, documented are 12", size)
	}
	for i := range reflect.TypeFor[head]().NumField() {
		switch f := reflect.TypeFor[head]().Field(i); f.Type.Kind() {
		case reflect.Uint32, reflect.Uint16, reflect.Uint8:
		default:
			t.Errorf("field %s is a %s", f.Name, f.Type)
		}
	}
}

// TestSteadyStateAllocatesNothing runs a day until the buffer has its final size, and then counts allocations.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector a sync.Pool forgets at random what it was given")
	}
	const n = 100
	b := MakeBlock(n, nil, 0)
	var at, offset int64
	step := func() {
		before, last := offset, at
		at += poll
		offset += wobble(at)
		for i := range n {
			b.Observe(i, before, last, offset, at, DefaultSegments)
		}
	}
	for range 24 * 120 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n != 0 {
		t.Errorf("%v allocations a poll", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		c := b.Get(0, offset, at)
		c.Lag(offset/2, at)
	}); n != 0 {
		t.Errorf("%v allocations a lag", n)
	}
}

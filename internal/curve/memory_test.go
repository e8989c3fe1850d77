package curve

import (
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"unsafe"
)

// TestMemory measures what a topic-partition costs after a day of polls every 30 s, and holds the package's documentation
// to it: 72 bytes, and a buffer of no more than is listed here.
func TestMemory(t *testing.T) {
	if size := unsafe.Sizeof(Curve{}); size != 72 {
		t.Errorf("a Curve takes %d bytes, documented are 72", size)
	}
	budgets := map[string]int{
		"steady": 256, "noisy": 288, "slow": 384, "idle": 32, "bursty": 480, "on/off": 352, "batch job": 416, "daily": 352,
		"ramp": 352, "walk": 320,
	}
	for _, p := range producers {
		r := rand.New(rand.NewPCG(1, 2))
		var polls []int64
		var end int64
		for s := int64(0); s < 24*3600; s++ {
			end += p.rate(r, s)
			if s%30 == 29 {
				polls = append(polls, 1_000_000+end)
			}
		}
		n := 226 // which fill a size class of the allocator
		if raceEnabled {
			n = 2
		}
		before := heap()
		curves = make([]Curve, n)
		for i := range curves {
			for j, end := range polls {
				curves[i].Observe(end, 1_790_000_000_000+int64(j)*poll, DefaultSegments)
			}
		}
		measured := float64(heap()-before) / float64(n)
		c := &curves[0]
		t.Logf("%-10s %5.0f bytes measured, %d segments, buffer %3d of %3d bytes, %.1f bytes a step", p.name, measured, c.Len(),
			len(c.steps), cap(c.steps), float64(len(c.steps))/float64(max(1, c.Len()-1)))
		if cap(c.steps) > budgets[p.name] {
			t.Errorf("%s: the buffer takes %d bytes, more than %d", p.name, cap(c.steps), budgets[p.name])
		}
		// 64 is for what the runtime allocates meanwhile
		if limit := float64(72 + budgets[p.name] + 64); measured > limit && !raceEnabled {
			t.Errorf("%s: %.0f bytes a curve, more than %.0f", p.name, measured, limit)
		}
		curves = nil
		runtime.KeepAlive(polls)
	}
}

// curves is out here to be sure that the measured memory is on the heap.
var curves []Curve

// TestNoPointers checks that the buffer is all that the garbage collector has to follow.
func TestNoPointers(t *testing.T) {
	typ := reflect.TypeFor[Curve]()
	for i := range typ.NumField() {
		switch f := typ.Field(i); f.Type.Kind() {
		case reflect.Struct, reflect.Uint32, reflect.Uint8: // of numbers
		case reflect.Slice:
			if f.Name != "steps" || f.Type.Elem().Kind() != reflect.Uint8 {
				t.Errorf("field %s", f.Name)
			}
		default:
			t.Errorf("field %s is a %s", f.Name, f.Type)
		}
	}
}

// TestSteadyStateAllocatesNothing runs a day to let the buffer find its size, and then counts.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	var c Curve
	var at, offset int64
	step := func() {
		at += poll
		offset += wobble(at)
		c.Observe(offset, at, DefaultSegments)
	}
	for range 24 * 120 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n != 0 {
		t.Errorf("%v allocations a poll", n)
	}
	if n := testing.AllocsPerRun(100, func() { c.Lag(offset/2, at) }); n != 0 {
		t.Errorf("%v allocations a lag", n)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

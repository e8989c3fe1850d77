package curve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// FuzzDecode: whatever the bytes, Decode returns an error or a curve that holds the invariants, has these bytes as its form, and keeps
// working.
func FuzzDecode(f *testing.F) {
	for _, form := range samples() {
		f.Add(form, int64(5), int64(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, offset, at int64) {
		c, rest, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || c.Len() != 0 || rest != nil {
				t.Fatalf("%v with %d segments and %d bytes", err, c.Len(), len(rest))
			}
			return
		}
		checkInvariants(t, &c, MaxSegments)
		if form := c.AppendBinary(nil); !bytes.Equal(append(form, rest...), data) {
			t.Fatalf("%x became %x", data, form)
		}
		if len(c.steps) > len(data) {
			t.Fatalf("%d bytes of %d", len(c.steps), len(data))
		}
		checkOrder(t, &c, offset, at)
		c.Observe(offset, at, 5)
		checkInvariants(t, &c, MaxSegments)
		checkOrder(t, &c, offset, at)
	})
}

// FuzzObserveLag feeds polls: of 16 bytes if the first byte is 1, otherwise differences of one byte each.
func FuzzObserveLag(f *testing.F) {
	f.Add([]byte{0x00, 3, 200, 0x00, 3, 0, 0x00, 1, 100, 0x02, 9, 50, 0x00, 200, 10}, uint8(2), int64(3), int64(40))
	f.Add(bytes.Repeat([]byte{0x00, 255, 30}, 100), uint8(32), int64(255), int64(90))
	f.Add(append([]byte{0x01}, bytes.Repeat([]byte{0x7f}, 16)...), uint8(1), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, polls []byte, max uint8, commit, now int64) {
		var c Curve
		var offset, at int64
		for len(polls) >= 3 {
			kind := polls[0]
			switch {
			case kind == 0x01 && len(polls) >= 17:
				offset = int64(binary.LittleEndian.Uint64(polls[1:]))
				at = int64(binary.LittleEndian.Uint64(polls[9:]))
				polls = polls[17:]
			case kind == 0x02:
				offset, at = offset+int64(polls[1]), at-int64(polls[2])<<8
				polls = polls[3:]
			default:
				offset, at = offset+int64(polls[1])<<(kind>>3), at+int64(polls[2])<<(kind>>3)
				polls = polls[3:]
			}
			before, known := c.Newest()
			reset := c.Observe(offset, at, int(max))
			if want := known && offset >= 0 && max > 0 && offset < before.Offset; reset != want {
				t.Fatalf("Observe(%d, %d) = %t after %v", offset, at, reset, before)
			}
			if after, _ := c.Newest(); max > 0 && offset >= 0 && (after.Offset != offset || after.Last != at) {
				t.Fatalf("Observe(%d, %d) left %v", offset, at, after)
			}
			checkInvariants(t, &c, int(max))
		}
		checkOrder(t, &c, commit, now)
		checkOrder(t, &c, offset-1, at)
	})
}

// checkOrder checks the relations between answers: nothing is negative, a group further back is never closer in time, and a lag grows
// with time.
func checkOrder(t *testing.T, c *Curve, commit, now int64) {
	t.Helper()
	if commit < 0 {
		if e := c.Lag(commit, now); e != (Estimate{}) {
			t.Fatalf("Lag(%d, %d): %+v", commit, now, e)
		}
		return
	}
	after := now
	if now < math.MaxInt64 {
		after++
	}
	e, further, later := c.Lag(commit, now), c.Lag(commit/2, now), c.Lag(commit, after)
	for _, e := range []Estimate{e, further, later} {
		if e.Millis < 0 || e.ErrorMillis < 0 || e.Kind == Exact && e.Millis != 0 || (e.Kind == Unknown) != (c.Len() == 0) {
			t.Fatalf("Lag(%d, %d): %+v of %d segments", commit, now, e, c.Len())
		}
	}
	if further.Millis < e.Millis {
		t.Fatalf("at %d: %d lags %+v and %d lags %+v", now, commit, e, commit/2, further)
	}
	if later.Kind != e.Kind || later.Millis < e.Millis {
		t.Fatalf("commit %d lags %+v at %d and then %+v", commit, e, now, later)
	}
}

package curve

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

// samples are curves of every kind, as their binary forms.
func samples() [][]byte {
	var full, empty, back, wide, one Curve
	for i := range int64(200) {
		full.Observe(1000+i*i*977, i*poll, DefaultSegments)
		back.Observe(i*10, i*poll-i/50*hour, 20)
	}
	wide.Observe(0, math.MinInt64, DefaultSegments)
	wide.Observe(math.MaxInt64, math.MaxInt64, DefaultSegments)
	one.Observe(5, -7, DefaultSegments)
	one.Observe(5, 7, DefaultSegments)
	var forms [][]byte
	for _, c := range []*Curve{&full, &empty, &back, &wide, &one} {
		forms = append(forms, c.AppendBinary(nil))
	}
	return forms
}

func TestDecode(t *testing.T) {
	for i, form := range samples() {
		c, rest, err := Decode(append(slices.Clone(form), "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Fatalf("sample %d: %v, rest %q", i, err, rest)
		}
		if again := c.AppendBinary([]byte("x")); string(again) != "x"+string(form) {
			t.Errorf("sample %d: %x became %x", i, form, again)
		}
		checkInvariants(t, &c, MaxSegments)
		for cut := range form {
			if _, _, err := Decode(form[:cut]); !errors.Is(err, ErrMalformed) {
				t.Errorf("sample %d cut to %d bytes: %v", i, cut, err)
			}
		}
	}
}

// TestDecodeKeepsNothing changes the bytes that a curve was decoded from.
func TestDecodeKeepsNothing(t *testing.T) {
	form := samples()[0]
	data := slices.Clone(form)
	c, _, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 0xff
	}
	if !bytes.Equal(c.AppendBinary(nil), form) {
		t.Error("the curve changed with the bytes that it was decoded from")
	}
}

func TestDecodeMalformed(t *testing.T) {
	// 2 segments, none doubtful, oldest 5 at 0, newest seen for 0 ms; then the length of the step and the step
	head := []byte{3, 2, 0, 5, 0, 0}
	valid := append(slices.Clone(head), 3, 7, 9, 0)
	if c, _, err := Decode(valid); err != nil || c.newest != (Segment{12, 9, 9}) {
		t.Fatalf("%v, %v", c.newest, err)
	}
	seeded := func(more ...byte) []byte { return append(append([]byte{4, 2, 0}, more...), 5, 0, 0, 3, 7, 9, 0) }
	if c, _, err := Decode(seeded(1, 2, 50)); err != nil || c.margin != 50 || c.origin.source() != FromBroker {
		t.Fatalf("%v, %v", c, err)
	}
	for name, data := range map[string][]byte{
		"nothing":               {},
		"another version":       {2, 0},
		"too many segments":     {3, 129, 1, 0, 5, 0, 0, 0},
		"segments not shortest": {3, 0x80, 0},
		"all doubtful":          {3, 2, 2, 5, 0, 0, 3, 7, 9, 0},
		"negative offset":       {3, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0},
		"span past time":        {3, 1, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
		"longer than the data":  append(slices.Clone(head), 4, 7, 9, 0),
		"a step too few":        append(slices.Clone(head), 0),
		"a byte too many":       append(slices.Clone(head), 4, 0, 7, 9, 0),
		"no progress":           append(slices.Clone(head), 3, 0, 9, 0),
		"step not shortest":     append(slices.Clone(head), 4, 7, 0, 9, 4),
		"wide without need":     append(slices.Clone(head), 5, 7, 9, 0x10, 0x01, wide),
		"wide and cut short":    append(slices.Clone(head), 2, 0x01, wide),
		"length of 9":           append(slices.Clone(head), 14, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0x19, 0x01, wide),
		"tighter than exact":    append(slices.Clone(head), 4, 7, 9, 10, 0x40),
		"offset past int64":     append(slices.Clone(head), 12, 255, 255, 255, 255, 255, 255, 255, 127, 9, 0x80, 0x01, wide),
		"seeded and empty":      {4, 0},
		"all seeded":            seeded(2, 2, 50),
		"no source":             seeded(1, 0, 50),
		"another source":        seeded(1, 4, 50),
		"seeded without points": seeded(0, 2, 50),
		"too wide a margin":     seeded(1, 2, 0x80, 0x80, 0x80, 0x80, 0x10),
		"no margin":             {4, 2, 0, 1, 2},
	} {
		if c, _, err := Decode(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, c.AppendSegments(nil), err)
		}
	}
}

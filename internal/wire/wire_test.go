package wire

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// values are the bytes of a value of every kind, and reads what reads them.
func values() (bytes []byte, reads []func(t *testing.T, r *Reader)) {
	value := func(encoded []byte, read func(t *testing.T, r *Reader)) {
		bytes = append(bytes, encoded...)
		reads = append(reads, read)
	}
	for _, v := range []int64{0, 1, -1, 63, -64, 64, math.MaxInt64, math.MinInt64} {
		value(binary.AppendVarint(nil, v), func(t *testing.T, r *Reader) { require.Equal(t, v, r.Varint()) })
	}
	for _, v := range []uint64{0, 127, 128, math.MaxUint64} {
		value(binary.AppendUvarint(nil, v), func(t *testing.T, r *Reader) { require.Equal(t, v, r.Uvarint()) })
		value(binary.LittleEndian.AppendUint64(nil, v), func(t *testing.T, r *Reader) { require.Equal(t, v, r.Fixed()) })
	}
	value([]byte{7}, func(t *testing.T, r *Reader) { require.EqualValues(t, 7, r.Byte()) })
	value([]byte{1, 0}, func(t *testing.T, r *Reader) { require.Equal(t, []bool{true, false}, []bool{r.Flag(), r.Flag()}) })
	value([]byte{3, 'a', 'b', 'c', 0}, func(t *testing.T, r *Reader) {
		require.Equal(t, []string{"abc", ""}, []string{r.Text(3), r.Text(3)})
	})
	value([]byte{200, 1, 5}, func(t *testing.T, r *Reader) {
		require.EqualValues(t, []uint64{200, 5}, []uint64{r.Number(200), r.Number(5)})
	})
	value([]byte("rest"), func(t *testing.T, r *Reader) { require.Equal(t, "rest", string(r.Take(4))) })
	return bytes, reads
}

func TestReader(t *testing.T) {
	bytes, reads := values()
	r := &Reader{Rest: bytes}
	for _, read := range reads {
		read(t, r)
	}
	require.Empty(t, r.Rest)
	require.False(t, r.Failed)
}

// TestReaderFails gives each kind of value too few bytes or one that is out of range: it is zero, and so is all that follows.
func TestReaderFails(t *testing.T) {
	long := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	for name, c := range map[string]struct {
		bytes []byte
		read  func(r *Reader) any
		zero  any
	}{
		"byte":             {nil, func(r *Reader) any { return r.Byte() }, byte(0)},
		"flag":             {nil, func(r *Reader) any { return r.Flag() }, false},
		"flag of 2":        {[]byte{2}, func(r *Reader) any { return r.Flag() }, false},
		"fixed":            {make([]byte, 7), func(r *Reader) any { return r.Fixed() }, uint64(0)},
		"uvarint":          {[]byte{0x80}, func(r *Reader) any { return r.Uvarint() }, uint64(0)},
		"uvarint too long": {long, func(r *Reader) any { return r.Uvarint() }, uint64(0)},
		"varint":           {[]byte{0xff}, func(r *Reader) any { return r.Varint() }, int64(0)},
		"number":           {[]byte{6}, func(r *Reader) any { return r.Number(5) }, uint64(0)},
		"text":             {[]byte{2, 'a'}, func(r *Reader) any { return r.Text(5) }, ""},
		"text too long":    {[]byte("\x02ab"), func(r *Reader) any { return r.Text(1) }, ""},
		"take":             {[]byte("ab"), func(r *Reader) any { return r.Take(3) }, []byte{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Reader{Rest: c.bytes}
			require.Equal(t, c.zero, c.read(r))
			require.True(t, r.Failed)
			require.Zero(t, r.Byte())
			require.Empty(t, r.Rest)
			require.True(t, r.Failed)
		})
	}
}

package snapshot

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzReader gives a Reader any bytes: an error of one of two types, or a state that writes and reads back the same.
func FuzzReader(f *testing.F) {
	for _, wild := range []bool{false, true} {
		f.Add(fixedGenerator(wild).state(1, 2).encode(f))
	}
	f.Add((&state{}).encode(f))
	f.Add(appendPreamble(nil, versionMajor+1, 0))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzDecode(t, b) })
}

// FuzzBlock gives a Reader any payloads under checksums that hold, which FuzzReader would hardly ever find.
func FuzzBlock(f *testing.F) {
	for _, wild := range []bool{false, true} {
		blocks := blocksOf(f, fixedGenerator(wild).state(1, 2).encode(f))
		for _, block := range blocks {
			for kind := range byte(5) {
				f.Add(kind|versionMinor<<4, block[blockHeadSize:], []byte{tagContinued, 0, 0})
			}
		}
	}
	f.Add(byte(1), []byte{tagNew, 0, 1, 'c', 0, 1, 'g', 0, 0, tagGoesOn}, []byte{tagContinued, 0})
	f.Fuzz(func(t *testing.T, kind byte, first, second []byte) {
		blocks := blocksOf(t, (&state{}).encode(t))
		header, footer := blocks[0], blocks[len(blocks)-1]
		kinds := []blockType{blockTopics, blockGroups, blockHeader, blockFooter, 'X'}
		k := kinds[int(kind)%len(kinds)]
		switch k {
		case blockHeader:
			header = makeBlock(k, first)
			blocks = [][]byte{header, footer}
		case blockFooter:
			b := makeBlock(k, first)
			fuzzDecode(t, append(append(appendPreamble(nil, versionMajor, 0), header...), append(b, endMagic...)...))
			return
		default:
			blocks = [][]byte{header, makeBlock(k, first), makeBlock(k, second), footer}
		}
		file := assemble(uint16(kind>>4), blocks...)
		fuzzDecode(t, file)
		// Its footer counts nothing, so a Reader refuses whatever the payloads hold. Decode them without it.
		got := &state{}
		r := &Reader{minor: uint16(kind >> 4), src: bytes.NewReader(file), size: int64(len(file)), sum: Summary{Blocks: uint64(len(blocks))}}
		if err := r.CopyTo(got); err != nil {
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt)
			return
		}
		again, err := decode(got.encode(t))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func fuzzDecode(t *testing.T, b []byte) {
	got, err := decode(b)
	if err != nil {
		var corrupt *CorruptError
		var version *VersionError
		require.True(t, errors.As(err, &corrupt) || errors.As(err, &version), "%v", err)
		return
	}
	again, err := decode(got.encode(t))
	require.NoError(t, err)
	require.Equal(t, got, again)
}

// FuzzJSONLines gives ReadJSONLines any lines: an error that names the line, or a state that writes and reads back the
// same.
func FuzzJSONLines(f *testing.F) {
	for _, wild := range []bool{false, true} {
		f.Add(fixedGenerator(wild).state(1, 1).lines(f))
	}
	f.Add([]byte(`{"kind":"header","version":1,"taken_at":1}` + "\n" + `{"kind":"end"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := fromLines(bytes.NewReader(b), 1<<16)
		if err != nil {
			var line *LineError
			require.ErrorAs(t, err, &line)
			require.Positive(t, line.Line)
			return
		}
		again, report, err := fromLines(bytes.NewReader(got.lines(t)), math.MaxInt)
		require.NoError(t, err)
		require.True(t, report.Complete)
		require.Equal(t, got, again)
	})
}

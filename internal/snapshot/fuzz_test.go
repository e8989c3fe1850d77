package snapshot_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

// FuzzReader gives a Reader any bytes: an error of one of two types, or a state that writes and reads back the same.
func FuzzReader(f *testing.F) {
	for _, wild := range []bool{false, true} {
		f.Add(snapshottest.FixedGenerator(wild).State(1, 2).Encode(f))
	}
	f.Add((&snapshottest.State{}).Encode(f))
	f.Add(snapshot.AppendPreamble(nil, snapshot.VersionMajor+1, 0))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzDecode(t, b) })
}

// FuzzBlock gives a Reader any payloads under checksums that hold, which FuzzReader would hardly ever find.
func FuzzBlock(f *testing.F) {
	for _, wild := range []bool{false, true} {
		blocks := blocksOf(f, snapshottest.FixedGenerator(wild).State(1, 2).Encode(f))
		for _, block := range blocks {
			for kind := range byte(5) {
				f.Add(kind|snapshot.VersionMinor<<4, block[snapshot.BlockHeadSize:], []byte{snapshot.TagContinued, 0, 0})
			}
		}
	}
	f.Add(byte(1), []byte{snapshot.TagNew, 0, 1, 'c', 0, 1, 'g', 0, 0, snapshot.TagGoesOn}, []byte{snapshot.TagContinued, 0})
	f.Fuzz(func(t *testing.T, kind byte, first, second []byte) {
		blocks := blocksOf(t, (&snapshottest.State{}).Encode(t))
		header, footer := blocks[0], blocks[len(blocks)-1]
		kinds := []snapshot.BlockType{snapshot.BlockTopics, snapshot.BlockGroups, snapshot.BlockHeader, snapshot.BlockFooter, 'X'}
		k := kinds[int(kind)%len(kinds)]
		switch k {
		case snapshot.BlockHeader:
			header = makeBlock(k, first)
			blocks = [][]byte{header, footer}
		case snapshot.BlockFooter:
			b := makeBlock(k, first)
			fuzzDecode(t, append(append(snapshot.AppendPreamble(nil, snapshot.VersionMajor, 0), header...), append(b, snapshot.EndMagic...)...))
			return
		default:
			blocks = [][]byte{header, makeBlock(k, first), makeBlock(k, second), footer}
		}
		file := assemble(uint16(kind>>4), blocks...)
		fuzzDecode(t, file)
		// Its footer counts nothing, so a Reader refuses whatever the payloads hold. Decode them without it.
		got := &snapshottest.State{}
		r := snapshot.UncheckedReader(bytes.NewReader(file), int64(len(file)), uint16(kind>>4), len(blocks))
		if err := r.CopyTo(got); err != nil {
			var corrupt *snapshot.CorruptError
			require.ErrorAs(t, err, &corrupt)
			return
		}
		again, err := snapshottest.Decode(got.Encode(t))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func fuzzDecode(t *testing.T, b []byte) {
	got, err := snapshottest.Decode(b)
	if err != nil {
		var corrupt *snapshot.CorruptError
		var version *snapshot.VersionError
		require.True(t, errors.As(err, &corrupt) || errors.As(err, &version), "%v", err)
		return
	}
	again, err := snapshottest.Decode(got.Encode(t))
	require.NoError(t, err)
	require.Equal(t, got, again)
}

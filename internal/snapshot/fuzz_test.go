package snapshot_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

// FuzzReader gives a Reader any bytes: it returns an error of one of two types, or a state that survives a round trip.
func FuzzReader(f *testing.F) {
	for _, wild := range []bool{false, true} {
		f.Add(snapshottest.FixedGenerator(wild).State(1, 2).Encode(f))
	}
	f.Add((&snapshottest.State{}).Encode(f))
	f.Add(snapshot.AppendPreamble(nil, snapshot.Version+1))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzDecode(t, b) })
}

// FuzzBlock gives a Reader any payloads with correct checksums, which FuzzReader would hardly ever find.
func FuzzBlock(f *testing.F) {
	for _, wild := range []bool{false, true} {
		blocks := blocksOf(f, snapshottest.FixedGenerator(wild).State(1, 2).Encode(f))
		for _, block := range blocks {
			for kind := range byte(5) {
				f.Add(kind, block[snapshot.BlockHeadSize:], []byte{0, 0, 0})
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, first, second []byte) {
		blocks := blocksOf(t, (&snapshottest.State{}).Encode(t))
		header, footer := blocks[0], blocks[len(blocks)-1]
		kinds := []snapshot.BlockType{snapshot.BlockTopics, snapshot.BlockGroups, snapshot.BlockHeader, snapshot.BlockFooter, 'X'}
		switch k := kinds[int(kind)%len(kinds)]; k {
		case snapshot.BlockHeader:
			blocks = [][]byte{makeBlock(k, first), footer}
		case snapshot.BlockFooter:
			fuzzDecode(t, slices.Concat(snapshot.AppendPreamble(nil, snapshot.Version), header, makeBlock(k, first), []byte(snapshot.EndMagic)))
			return
		default:
			blocks = [][]byte{header, makeBlock(k, first), makeBlock(k, second), footer}
		}
		// The footer has the counts of the payloads, if those can be read.
		file := assemble(blocks)
		var seen counted
		r, err := snapshot.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			var corrupt *snapshot.CorruptError
			require.ErrorAs(t, err, &corrupt)
			return
		}
		_ = r.Read(t.Context(), &seen)
		fuzzDecode(t, assemble(blocks, seen.Topics, seen.Groups, seen.GroupPartitions, seen.Commits))
	})
}

// counted is a sink that counts.
type counted struct{ snapshot.Summary }

func (c *counted) WriteTopic(*snapshot.Topic) error {
	c.Topics++
	return nil
}

func (c *counted) WriteGroup(g *snapshot.Group) error {
	c.AddGroup(g)
	return nil
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

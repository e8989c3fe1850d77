package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

// blocksOf cuts a sound snapshot into its blocks.
func blocksOf(t testing.TB, b []byte) (blocks [][]byte) {
	t.Helper()
	for rest := b[snapshot.PreambleSize : len(b)-len(snapshot.EndMagic)]; len(rest) > 0; {
		length := snapshot.BlockHeadSize + int(binary.LittleEndian.Uint32(rest[8:]))
		require.LessOrEqual(t, length, len(rest))
		blocks = append(blocks, rest[:length:length])
		rest = rest[length:]
	}
	return blocks
}

func makeBlock(kind snapshot.BlockType, payload []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(kind))
	return append(append(b, make([]byte, snapshot.BlockHeadSize-4)...), payload...)
}

// assemble makes a file of blocks, with numbers, lengths, checksums and the end of the footer as they have to be. The
// counts of records in the footer stay.
func assemble(minor uint16, blocks ...[]byte) []byte {
	b := snapshot.AppendPreamble(nil, snapshot.VersionMajor, minor)
	digest := uint32(0)
	for n, block := range blocks {
		block = slices.Clone(block)
		binary.LittleEndian.PutUint32(block[4:], uint32(n))
		binary.LittleEndian.PutUint32(block[8:], uint32(len(block)-snapshot.BlockHeadSize))
		if snapshot.BlockType(binary.LittleEndian.Uint32(block)) == snapshot.BlockFooter {
			payload := block[snapshot.BlockHeadSize:]
			binary.LittleEndian.PutUint64(payload[32:], uint64(n+1))
			binary.LittleEndian.PutUint64(payload[40:], uint64(len(b)+len(block)+len(snapshot.EndMagic)))
			binary.LittleEndian.PutUint32(payload[48:], digest)
		}
		binary.LittleEndian.PutUint32(block[12:], snapshot.BlockChecksum(block, block[snapshot.BlockHeadSize:]))
		digest = crc32.Update(digest, snapshot.Castagnoli, block[12:16])
		b = append(b, block...)
	}
	return append(b, snapshot.EndMagic...)
}

func small(t testing.TB) (*snapshottest.State, []byte) {
	s := snapshottest.NewGenerator(t, true).State(3, 6)
	return s, s.Encode(t)
}

// requireDetected decodes damaged bytes: an error, or the same state as before.
func requireDetected(t *testing.T, damaged []byte, want *snapshottest.State, args ...any) {
	t.Helper()
	got, err := snapshottest.Decode(damaged)
	if err == nil {
		require.Equal(t, want, got, args...)
		return
	}
	var corrupt *snapshot.CorruptError
	require.ErrorAs(t, err, &corrupt, args...)
	require.NotEmpty(t, corrupt.Reason)
	require.LessOrEqual(t, corrupt.Offset, int64(len(damaged)), args...)
}

func TestEverySingleBitFlipIsDetected(t *testing.T) {
	want, b := small(t)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			requireDetected(t, b, want, "byte %d bit %d", i, bit)
			b[i] ^= 1 << bit
		}
	}
	t.Logf("%d bits", 8*len(b))
}

func TestEveryTruncationIsDetected(t *testing.T) {
	_, b := small(t)
	for n := range b {
		_, err := snapshottest.Decode(b[:n])
		var corrupt *snapshot.CorruptError
		require.ErrorAs(t, err, &corrupt, "%d of %d bytes", n, len(b))
		// A file that lies about its size, or shrinks while it is read.
		_, err = snapshot.NewReader(bytes.NewReader(b[:n]), int64(len(b)))
		require.ErrorAs(t, err, &corrupt, "%d of %d bytes", n, len(b))
	}
}

func TestMoreThanOneFault(t *testing.T) {
	g := snapshottest.NewGenerator(t, true)
	want := g.State(3, 6)
	sound := want.Encode(t)
	for range 3000 {
		b := slices.Clone(sound)
		switch g.IntN(4) {
		case 0: // a few bytes
			for range 1 + g.IntN(8) {
				b[g.IntN(len(b))] = byte(g.Uint32())
			}
		case 1: // a stretch of zeros, as after a power loss
			from := g.IntN(len(b))
			clear(b[from : from+g.IntN(len(b)-from)])
		case 2: // a stretch lost
			from := g.IntN(len(b))
			b = slices.Delete(b, from, from+g.IntN(len(b)-from))
		case 3: // a stretch twice
			from := g.IntN(len(b))
			b = slices.Insert(b, g.IntN(len(b)), b[from:from+g.IntN(len(b)-from)]...)
		}
		requireDetected(t, b, want)
	}
}

// Sound blocks, with checksums that hold, in the wrong file or place.
func TestBlocksOutOfPlace(t *testing.T) {
	s, b := small(t)
	sound := blocksOf(t, b)
	header, topics, groups, footer := sound[0], sound[1], sound[2], sound[3]
	require.Len(t, sound, 4)
	raw := func(blocks ...[]byte) []byte {
		return append(append(slices.Clone(b[:snapshot.PreambleSize]), bytes.Join(blocks, nil)...), snapshot.EndMagic...)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"swapped as they are":      {raw(header, groups, topics, footer), "says that it is block"},
		"one lost, as they are":    {raw(header, topics, footer), "says that it is block"},
		"one lost":                 {assemble(snapshot.VersionMinor, header, topics, footer), "footer counts"},
		"one twice":                {assemble(snapshot.VersionMinor, header, topics, groups, groups, footer), "footer counts"},
		"no header":                {assemble(snapshot.VersionMinor, topics, groups, footer), "the header is block 0"},
		"two headers":              {assemble(snapshot.VersionMinor, header, header, topics, groups, footer), "the header is block 0"},
		"no footer":                {assemble(snapshot.VersionMinor, header, topics, groups), "without its footer"},
		"nothing but the preamble": {b[:snapshot.PreambleSize], "without its footer"},
		"nothing":                  {nil, "empty"},
		"bytes behind":             {append(slices.Clone(b), 0), "1 bytes follow"},
		"twice":                    {append(slices.Clone(b), b...), "follow"},
		"an unknown block":         {assemble(snapshot.VersionMinor, header, topics, makeBlock('X', nil), groups, footer), "no block of this type"},
		"not a snapshot":           {bytes.Repeat([]byte("hello world\n"), 100), "not with the magic"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := snapshottest.Decode(c.file)
			var corrupt *snapshot.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.ErrorContains(t, err, c.want)
		})
	}

	other := *s
	other.Header.Sequence++
	t.Run("header of another snapshot", func(t *testing.T) {
		_, err := snapshottest.Decode(raw(blocksOf(t, other.Encode(t))[0], topics, groups, footer))
		require.ErrorContains(t, err, "checksum of all blocks")
	})
	t.Run("another order", func(t *testing.T) {
		got, err := snapshottest.Decode(assemble(snapshot.VersionMinor, header, groups, topics, footer))
		require.NoError(t, err)
		require.Equal(t, s, got)
	})
}

func TestLaterMinorVersion(t *testing.T) {
	s, b := small(t)
	blocks := blocksOf(t, b)
	header := append(slices.Clone(blocks[0]), "a field of later"...)
	footer := append(slices.Clone(blocks[3]), "a count of later"...)
	later := makeBlock('N'|'E'<<8|'W'<<16|'!'<<24, []byte("what a later minor version has to say"))
	b = assemble(7, header, later, blocks[1], later, blocks[2], later, footer)
	got, err := snapshottest.Decode(b)
	require.NoError(t, err)
	require.Equal(t, s, got)

	b[bytes.Index(b, []byte("what a later"))]++
	_, err = snapshottest.Decode(b)
	require.ErrorContains(t, err, "checksum", "a block that is skipped is checked")
}

func TestUnknownMajorVersion(t *testing.T) {
	_, b := small(t)
	for _, major := range []uint16{0, 1, 3, 999, math.MaxUint16} {
		future := append(snapshot.AppendPreamble(nil, major, 3), b[snapshot.PreambleSize:]...)
		_, err := snapshottest.Decode(future)
		var version *snapshot.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, snapshot.VersionError{Version: int(major), Known: snapshot.VersionMajor}, *version)
		_, err = snapshottest.Decode(future[:snapshot.PreambleSize])
		require.ErrorAs(t, err, &version, "only the preamble is the same in every version")
	}
}

// Payloads whose checksum holds and that claim more than there is: refused before anything is made room for.
func TestLengthsThatLie(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	huge := binary.AppendUvarint(nil, math.MaxUint64)
	payload := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	group := []byte{snapshot.TagNew, 0, 1, 'c', 0, 1, 'g', 0}
	topic := []byte{snapshot.TagNew, 0, 1, 't'}
	for name, c := range map[string]struct {
		kind    snapshot.BlockType
		payload []byte
	}{
		"string":            {snapshot.BlockGroups, payload([]byte{snapshot.TagNew, 0}, huge, []byte("abc"))},
		"string number":     {snapshot.BlockGroups, payload([]byte{snapshot.TagNew}, huge)},
		"flags":             {snapshot.BlockGroups, payload([]byte{snapshot.TagNew, 0, 0, 1, 255, 1})},
		"partition count":   {snapshot.BlockGroups, payload(group, topic, huge, []byte{0, 0, 0})},
		"partition":         {snapshot.BlockGroups, payload(group, topic, []byte{4, 0}, huge, []byte{0, 0, 0})},
		"commits":           {snapshot.BlockGroups, payload(group, topic, []byte{4, 0, 1}, huge, []byte{0, 0, 0})},
		"commit bits":       {snapshot.BlockGroups, payload(group, topic, []byte{4, 0, 1, 1 << 4, 0xf0, 0, 0, 0, 0, 0, 0})},
		"lag bits":          {snapshot.BlockGroups, payload(group, topic, []byte{4, 0, 1, 1 << 4, snapshot.CommitLagSame, 0, 0, 0, 0, 0, 0})},
		"goes on in vain":   {snapshot.BlockGroups, payload(group, []byte{snapshot.TagGoesOn})},
		"goes on too early": {snapshot.BlockGroups, payload(group, []byte{snapshot.TagGoesOn, snapshot.TagContinued, 0})},
		"continues nothing": {snapshot.BlockGroups, []byte{snapshot.TagContinued, 0}},
		"continued topic":   {snapshot.BlockGroups, payload(group, []byte{snapshot.TagContinued, 0, 0})},
		"number too long":   {snapshot.BlockGroups, bytes.Repeat([]byte{0xff}, 20)},
		"end offsets":       {snapshot.BlockTopics, payload([]byte{snapshot.TagNew, 0, 0, 0, 0, 4, 0, 1, 0, 0}, huge, []byte{0, 0})},
		"curve":             {snapshot.BlockTopics, payload([]byte{snapshot.TagNew, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}, huge, []byte{0, 0})},
		"topic goes on":     {snapshot.BlockTopics, []byte{snapshot.TagNew, 0, 0, 0, 0, 4, 0, 0, snapshot.TagGoesOn}},
		"topic continues":   {snapshot.BlockTopics, []byte{snapshot.TagContinued, 0, 0}},
		"incarnation":       {snapshot.BlockTopics, payload([]byte{snapshot.TagNew, 0, 0, 0, 0, 4, 0, 1}, huge, []byte{0, 0, 0, 0, 0})},
	} {
		t.Run(name, func(t *testing.T) {
			file := assemble(0, blocks[0], makeBlock(c.kind, c.payload), blocks[3])
			allocated := testing.AllocsPerRun(1, func() {
				_, err := snapshottest.Decode(file)
				var corrupt *snapshot.CorruptError
				require.ErrorAs(t, err, &corrupt)
				require.NotContains(t, corrupt.Reason, "footer counts")
			})
			require.Less(t, allocated, 1000.0)
		})
	}
}

// What goes on in the next block has to go on there, and only there.
func TestPartsThatDoNotFit(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	group := []byte{snapshot.TagNew, 0, 1, 'c', 0, 1, 'g', 0, snapshot.TagNew, 0, 1, 't', 2, 0, 1, 0, snapshot.TagEnd, snapshot.TagGoesOn}
	topic := []byte{snapshot.TagNew, 0, 1, 'c', 0, 1, 't', 2, 0, 1, 0, 0, 0, 0, snapshot.TagEnd, snapshot.TagGoesOn}
	for name, c := range map[string]struct {
		kind          snapshot.BlockType
		first, second []byte
		ok            bool
	}{
		"topic of a group goes on":         {snapshot.BlockGroups, group, []byte{snapshot.TagContinued, snapshot.TagContinued, 1, 0, snapshot.TagEnd, snapshot.TagEnd}, true},
		"group goes on with another topic": {snapshot.BlockGroups, group, []byte{snapshot.TagContinued, snapshot.TagNew, 0, 1, 'u', 2, 0, 1, 0, snapshot.TagEnd, snapshot.TagEnd}, true},
		"topic goes on":                    {snapshot.BlockTopics, topic, []byte{snapshot.TagContinued, 1, 0, 0, 0, 0, snapshot.TagEnd, snapshot.TagEnd}, true},
		"the other first":                  {snapshot.BlockGroups, group, []byte{snapshot.TagContinued, snapshot.TagNew, 0, 1, 'u', 2, 0, 1, 0, snapshot.TagEnd, snapshot.TagContinued, 1, 0, snapshot.TagEnd, snapshot.TagEnd}, false},
		"a partition again":                {snapshot.BlockGroups, group, []byte{snapshot.TagContinued, snapshot.TagContinued, 2, 0, snapshot.TagEnd, snapshot.TagEnd}, false},
		"a new group":                      {snapshot.BlockGroups, group, []byte{snapshot.TagNew, 0, 0, 0, 0, 0, snapshot.TagEnd}, false},
		"a new topic":                      {snapshot.BlockTopics, topic, []byte{snapshot.TagNew, 0, 0, 0, 0, 0, 0, snapshot.TagEnd, snapshot.TagEnd}, false},
		"an empty block of groups":         {snapshot.BlockGroups, group, nil, false},
		"an empty block of topics":         {snapshot.BlockTopics, topic, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := snapshottest.Decode(assemble(0, blocks[0], makeBlock(c.kind, c.first), makeBlock(c.kind, c.second), blocks[3]))
			require.Equal(t, c.ok, strings.Contains(err.Error(), "footer counts"), err)
		})
	}
}

func TestErrorSaysWhatAndWhere(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	at := snapshot.PreambleSize + len(blocks[0]) + len(blocks[1])
	b[at+snapshot.BlockHeadSize+10] ^= 4
	_, err := snapshottest.Decode(b)
	var corrupt *snapshot.CorruptError
	require.True(t, errors.As(err, &corrupt))
	require.EqualValues(t, at+12, corrupt.Offset)
	require.Equal(t, 2, corrupt.Block)
	require.Equal(t, "GRPS", corrupt.BlockType)
	require.ErrorContains(t, err, "checksum")
	t.Log(err)
}

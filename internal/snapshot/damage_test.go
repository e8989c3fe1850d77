package snapshot

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
)

// blocksOf cuts a sound snapshot into its blocks.
func blocksOf(t testing.TB, b []byte) (blocks [][]byte) {
	t.Helper()
	for rest := b[preambleSize : len(b)-len(endMagic)]; len(rest) > 0; {
		length := blockHeadSize + int(binary.LittleEndian.Uint32(rest[8:]))
		require.LessOrEqual(t, length, len(rest))
		blocks = append(blocks, rest[:length:length])
		rest = rest[length:]
	}
	return blocks
}

func makeBlock(kind blockType, payload []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(kind))
	return append(append(b, make([]byte, blockHeadSize-4)...), payload...)
}

// assemble makes a file of blocks, with numbers, lengths, checksums and the end of the footer as they have to be. The
// counts of records in the footer stay.
func assemble(minor uint16, blocks ...[]byte) []byte {
	b := appendPreamble(nil, versionMajor, minor)
	digest := uint32(0)
	for n, block := range blocks {
		block = slices.Clone(block)
		binary.LittleEndian.PutUint32(block[4:], uint32(n))
		binary.LittleEndian.PutUint32(block[8:], uint32(len(block)-blockHeadSize))
		if blockType(binary.LittleEndian.Uint32(block)) == blockFooter {
			payload := block[blockHeadSize:]
			binary.LittleEndian.PutUint64(payload[32:], uint64(n+1))
			binary.LittleEndian.PutUint64(payload[40:], uint64(len(b)+len(block)+len(endMagic)))
			binary.LittleEndian.PutUint32(payload[48:], digest)
		}
		binary.LittleEndian.PutUint32(block[12:], blockChecksum(block, block[blockHeadSize:]))
		digest = crc32.Update(digest, castagnoli, block[12:16])
		b = append(b, block...)
	}
	return append(b, endMagic...)
}

func small(t testing.TB) (*state, []byte) {
	s := newGenerator(t, true).state(3, 6)
	return s, s.encode(t)
}

// requireDetected decodes damaged bytes: an error, or the same state as before.
func requireDetected(t *testing.T, damaged []byte, want *state, args ...any) {
	t.Helper()
	got, err := decode(damaged)
	if err == nil {
		require.Equal(t, want, got, args...)
		return
	}
	var corrupt *CorruptError
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
		_, err := decode(b[:n])
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, "%d of %d bytes", n, len(b))
		// A file that lies about its size, or shrinks while it is read.
		_, err = NewReader(bytes.NewReader(b[:n]), int64(len(b)))
		require.ErrorAs(t, err, &corrupt, "%d of %d bytes", n, len(b))
	}
}

func TestMoreThanOneFault(t *testing.T) {
	g := newGenerator(t, true)
	want := g.state(3, 6)
	sound := want.encode(t)
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
		return append(append(slices.Clone(b[:preambleSize]), bytes.Join(blocks, nil)...), endMagic...)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"swapped as they are":      {raw(header, groups, topics, footer), "says that it is block"},
		"one lost, as they are":    {raw(header, topics, footer), "says that it is block"},
		"one lost":                 {assemble(versionMinor, header, topics, footer), "footer counts"},
		"one twice":                {assemble(versionMinor, header, topics, groups, groups, footer), "footer counts"},
		"no header":                {assemble(versionMinor, topics, groups, footer), "the header is block 0"},
		"two headers":              {assemble(versionMinor, header, header, topics, groups, footer), "the header is block 0"},
		"no footer":                {assemble(versionMinor, header, topics, groups), "without its footer"},
		"nothing but the preamble": {b[:preambleSize], "without its footer"},
		"nothing":                  {nil, "empty"},
		"bytes behind":             {append(slices.Clone(b), 0), "1 bytes follow"},
		"twice":                    {append(slices.Clone(b), b...), "follow"},
		"an unknown block":         {assemble(versionMinor, header, topics, makeBlock('X', nil), groups, footer), "no block of this type"},
		"not a snapshot":           {bytes.Repeat([]byte("hello world\n"), 100), "not with the magic"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(c.file)
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.ErrorContains(t, err, c.want)
		})
	}

	other := *s
	other.Header.Sequence++
	t.Run("header of another snapshot", func(t *testing.T) {
		_, err := decode(raw(blocksOf(t, other.encode(t))[0], topics, groups, footer))
		require.ErrorContains(t, err, "checksum of all blocks")
	})
	t.Run("another order", func(t *testing.T) {
		got, err := decode(assemble(versionMinor, header, groups, topics, footer))
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
	got, err := decode(b)
	require.NoError(t, err)
	require.Equal(t, s, got)

	b[bytes.Index(b, []byte("what a later"))]++
	_, err = decode(b)
	require.ErrorContains(t, err, "checksum", "a block that is skipped is checked")
}

func TestUnknownMajorVersion(t *testing.T) {
	_, b := small(t)
	for _, major := range []uint16{0, 2, 999, math.MaxUint16} {
		future := append(appendPreamble(nil, major, 3), b[preambleSize:]...)
		_, err := decode(future)
		var version *VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, VersionError{Major: int(major), Minor: 3}, *version)
		_, err = decode(future[:preambleSize])
		require.ErrorAs(t, err, &version, "only the preamble is the same in every version")
	}
}

// Payloads whose checksum holds and that claim more than there is: refused before anything is made room for.
func TestLengthsThatLie(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	huge := binary.AppendUvarint(nil, math.MaxUint64)
	payload := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	group := []byte{tagNew, 0, 1, 'c', 0, 1, 'g', 0}
	topic := []byte{tagNew, 0, 1, 't'}
	for name, c := range map[string]struct {
		kind    blockType
		payload []byte
	}{
		"string":            {blockGroups, payload([]byte{tagNew, 0}, huge, []byte("abc"))},
		"string number":     {blockGroups, payload([]byte{tagNew}, huge)},
		"flags":             {blockGroups, payload([]byte{tagNew, 0, 0, 1, 255, 1})},
		"partition count":   {blockGroups, payload(group, topic, huge, []byte{0, 0, 0})},
		"partition":         {blockGroups, payload(group, topic, []byte{4, 0}, huge, []byte{0, 0, 0})},
		"commits":           {blockGroups, payload(group, topic, []byte{4, 0, 1}, huge, []byte{0, 0, 0})},
		"commit bits":       {blockGroups, payload(group, topic, []byte{4, 0, 1, 1 << 4, 0xf0, 0, 0, 0, 0, 0, 0})},
		"lag bits":          {blockGroups, payload(group, topic, []byte{4, 0, 1, 1 << 4, commitLagSame, 0, 0, 0, 0, 0, 0})},
		"goes on in vain":   {blockGroups, payload(group, []byte{tagGoesOn})},
		"goes on too early": {blockGroups, payload(group, []byte{tagGoesOn, tagContinued, 0})},
		"continues nothing": {blockGroups, []byte{tagContinued, 0}},
		"continued topic":   {blockGroups, payload(group, []byte{tagContinued, 0, 0})},
		"number too long":   {blockGroups, bytes.Repeat([]byte{0xff}, 20)},
		"end offsets":       {blockTopics, payload([]byte{tagNew, 0, 0, 0, 0, 4, 0, 1, 0, 0}, huge, []byte{0, 0})},
		"curve":             {blockTopics, payload([]byte{tagNew, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}, huge, []byte{0, 0})},
		"topic goes on":     {blockTopics, []byte{tagNew, 0, 0, 0, 0, 4, 0, 0, tagGoesOn}},
		"topic continues":   {blockTopics, []byte{tagContinued, 0, 0}},
		"incarnation":       {blockTopics, payload([]byte{tagNew, 0, 0, 0, 0, 4, 0, 1}, huge, []byte{0, 0, 0, 0, 0})},
	} {
		t.Run(name, func(t *testing.T) {
			file := assemble(0, blocks[0], makeBlock(c.kind, c.payload), blocks[3])
			allocated := testing.AllocsPerRun(1, func() {
				_, err := decode(file)
				var corrupt *CorruptError
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
	group := []byte{tagNew, 0, 1, 'c', 0, 1, 'g', 0, tagNew, 0, 1, 't', 2, 0, 1, 0, tagEnd, tagGoesOn}
	topic := []byte{tagNew, 0, 1, 'c', 0, 1, 't', 2, 0, 1, 0, 0, 0, 0, tagEnd, tagGoesOn}
	for name, c := range map[string]struct {
		kind          blockType
		first, second []byte
		ok            bool
	}{
		"topic of a group goes on":         {blockGroups, group, []byte{tagContinued, tagContinued, 1, 0, tagEnd, tagEnd}, true},
		"group goes on with another topic": {blockGroups, group, []byte{tagContinued, tagNew, 0, 1, 'u', 2, 0, 1, 0, tagEnd, tagEnd}, true},
		"topic goes on":                    {blockTopics, topic, []byte{tagContinued, 1, 0, 0, 0, 0, tagEnd, tagEnd}, true},
		"the other first":                  {blockGroups, group, []byte{tagContinued, tagNew, 0, 1, 'u', 2, 0, 1, 0, tagEnd, tagContinued, 1, 0, tagEnd, tagEnd}, false},
		"a partition again":                {blockGroups, group, []byte{tagContinued, tagContinued, 2, 0, tagEnd, tagEnd}, false},
		"a new group":                      {blockGroups, group, []byte{tagNew, 0, 0, 0, 0, 0, tagEnd}, false},
		"a new topic":                      {blockTopics, topic, []byte{tagNew, 0, 0, 0, 0, 0, 0, tagEnd, tagEnd}, false},
		"an empty block of groups":         {blockGroups, group, nil, false},
		"an empty block of topics":         {blockTopics, topic, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(assemble(0, blocks[0], makeBlock(c.kind, c.first), makeBlock(c.kind, c.second), blocks[3]))
			require.Equal(t, c.ok, strings.Contains(err.Error(), "footer counts"), err)
		})
	}
}

func TestErrorSaysWhatAndWhere(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	at := preambleSize + len(blocks[0]) + len(blocks[1])
	b[at+blockHeadSize+10] ^= 4
	_, err := decode(b)
	var corrupt *CorruptError
	require.True(t, errors.As(err, &corrupt))
	require.EqualValues(t, at+12, corrupt.Offset)
	require.Equal(t, 2, corrupt.Block)
	require.Equal(t, "GRPS", corrupt.BlockType)
	require.ErrorContains(t, err, "checksum")
	t.Log(err)
}

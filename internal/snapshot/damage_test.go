package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// blocksOf cuts a sound snapshot into its blocks.
func blocksOf(t testing.TB, b []byte) (blocks [][]byte) {
	t.Helper()
	for rest := b[snapshot.PreambleSize : len(b)-len(snapshot.EndMagic)]; len(rest) > 0; {
		length := snapshot.BlockHeadSize + int(binary.LittleEndian.Uint64(rest[8:]))
		require.LessOrEqual(t, length, len(rest))
		blocks = append(blocks, rest[:length:length])
		rest = rest[length:]
	}
	return blocks
}

func makeBlock(kind snapshot.BlockType, payload []byte) []byte {
	b := append(make([]byte, snapshot.BlockHeadSize), payload...)
	snapshot.PutBlockHead(b, kind)
	return b
}

// assemble makes a file from blocks, with correct lengths, checksums and end of the footer. The counts of records in the
// footer are the given ones, or stay.
func assemble(blocks [][]byte, counts ...uint64) []byte {
	b := snapshot.AppendPreamble(nil, snapshot.Version)
	digest := uint32(0)
	for n, block := range blocks {
		block = slices.Clone(block)
		kind := snapshot.BlockType(binary.LittleEndian.Uint32(block))
		if kind == snapshot.BlockFooter {
			payload := block[snapshot.BlockHeadSize:]
			for i, count := range counts {
				binary.LittleEndian.PutUint64(payload[8*i:], count)
			}
			binary.LittleEndian.PutUint64(payload[32:], uint64(n+1))
			binary.LittleEndian.PutUint64(payload[40:], uint64(len(b)+len(block)+len(snapshot.EndMagic)))
			binary.LittleEndian.PutUint32(payload[48:], digest)
		}
		snapshot.PutBlockHead(block, kind)
		digest = crc32.Update(digest, snapshot.Castagnoli, block[4:8])
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
		// A file that is shorter than its size says, or shrinks while it is read.
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

// Sound blocks, with correct checksums, in the wrong file or place.
func TestBlocksOutOfPlace(t *testing.T) {
	s, b := small(t)
	sound := blocksOf(t, b)
	header, topics, groups, footer := sound[0], sound[1], sound[2], sound[3]
	require.Len(t, sound, 4)
	raw := func(blocks ...[]byte) []byte {
		return append(append(slices.Clone(b[:snapshot.PreambleSize]), bytes.Join(blocks, nil)...), snapshot.EndMagic...)
	}
	of := func(blocks ...[]byte) []byte { return assemble(blocks) }
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"swapped as they are":      {raw(header, groups, topics, footer), "checksum of all blocks"},
		"one lost, as they are":    {raw(header, topics, footer), "footer counts"},
		"one lost":                 {of(header, topics, footer), "footer counts"},
		"one twice":                {of(header, topics, groups, groups, footer), "footer counts"},
		"no header":                {of(topics, groups, footer), "the header is the first block"},
		"two headers":              {of(header, header, topics, groups, footer), "no block of this type here"},
		"no footer":                {of(header, topics, groups), "no footer"},
		"two footers":              {of(header, topics, groups, footer, footer), "no block of this type here"},
		"a long footer":            {of(header, topics, groups, append(slices.Clone(footer), 0)), "no footer"},
		"nothing but the preamble": {b[:snapshot.PreambleSize], "without its footer"},
		"nothing":                  {nil, "empty"},
		"bytes behind":             {append(slices.Clone(b), 0), "bytes follow it"},
		"twice":                    {append(slices.Clone(b), b...), "the footer counts"},
		"an unknown block":         {of(header, topics, makeBlock('X', nil), groups, footer), "no block of this type here"},
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
		got, err := snapshottest.Decode(of(header, groups, topics, footer))
		require.NoError(t, err)
		require.Equal(t, s, got)
	})
}

func TestUnknownVersion(t *testing.T) {
	_, b := small(t)
	for _, v := range []uint16{0, 1, 2, 3, 5, 999, math.MaxUint16} {
		foreign := append(snapshot.AppendPreamble(nil, v), b[snapshot.PreambleSize:]...)
		_, err := snapshottest.Decode(foreign)
		var version *snapshot.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, snapshot.VersionError{Version: int(v), Known: snapshot.Version}, *version)
		_, err = snapshottest.Decode(foreign[:snapshot.PreambleSize])
		require.ErrorAs(t, err, &version, "only the preamble is the same in every version")
	}
}

// Payloads with correct checksums that claim more than there is: refused before memory is allocated.
func TestLengthsThatLie(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	huge := binary.AppendUvarint(nil, math.MaxUint64)
	payload := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	group := []byte{0, 1, 'c', 0, 1, 'g', 0, 0}
	topic := []byte{snapshot.TagNew, 0, 1, 't'}
	// of is a topic with two partitions and a run of so many windows, the one given, after a change.
	of := func(windows byte, change func(run []byte) []byte, rest ...byte) []byte {
		run := snapshottest.Window(&snapshot.GroupPartition{Commits: make([]protocol.StoredCommit, 3)})
		run = change(slices.Clone(run))
		return payload(group, topic, []byte{2, 0, windows}, binary.AppendUvarint(nil, uint64(len(run))), run, rest)
	}
	same := func(run []byte) []byte { return run }
	set := func(at int, b byte) func([]byte) []byte {
		return func(run []byte) []byte {
			run[at] = b
			return run
		}
	}
	deletion := payload(group[:6], []byte{snapshot.IsDeletion}, topic, []byte{2})
	for name, c := range map[string]struct {
		kind    snapshot.BlockType
		payload []byte
	}{
		"string":             {snapshot.BlockGroups, payload([]byte{0}, huge, []byte("abc"))},
		"string number":      {snapshot.BlockGroups, huge},
		"flags":              {snapshot.BlockGroups, []byte{0, 0, 1, 255, 1}},
		"half a group":       {snapshot.BlockGroups, group},
		"half a topic":       {snapshot.BlockGroups, payload(group, topic)},
		"members":            {snapshot.BlockGroups, payload(group[:7], huge)},
		"half a member":      {snapshot.BlockGroups, payload(group[:7], []byte{2, 0, 1, 'o', 0, 1, 'i'})},
		"another tag":        {snapshot.BlockGroups, payload(group, []byte{2})},
		"flags of a topic":   {snapshot.BlockGroups, payload(group, topic, []byte{2, 4, 0, 0, 0, 0})},
		"partition count":    {snapshot.BlockGroups, payload(group, topic, huge, []byte{0, 0, 0})},
		"windows":            {snapshot.BlockGroups, payload(group, topic, []byte{4, 0}, huge, []byte{0, 0, 0})},
		"bytes of windows":   {snapshot.BlockGroups, payload(group, topic, []byte{4, 0, 1}, huge, make([]byte, 100))},
		"bytes of none":      {snapshot.BlockGroups, payload(group, topic, []byte{4, 0, 0, 10}, make([]byte, 100))},
		"no bytes":           {snapshot.BlockGroups, payload(group, topic, []byte{4, 0, 1, 0}, make([]byte, 100))},
		"too many bytes":     {snapshot.BlockGroups, of(1, func(run []byte) []byte { return append(run, 0, 0) }, 0)},
		"too few windows":    {snapshot.BlockGroups, of(2, same, make([]byte, 100)...)},
		"a long window":      {snapshot.BlockGroups, of(1, set(1, 1), 0)},
		"a partition twice":  {snapshot.BlockGroups, of(2, func(run []byte) []byte { return append(run, run...) }, make([]byte, 100)...)},
		"partition too high": {snapshot.BlockGroups, of(1, set(14, 2), 0)},
		"bits of the tag":    {snapshot.BlockGroups, of(1, set(16, 0x80), 0)},
		"form":               {snapshot.BlockGroups, of(1, set(7, 0xff), 0)},
		"no such owner":      {snapshot.BlockGroups, payload(group, topic, []byte{2, snapshot.HasOwners, 0, 0, 0, 1})},
		"deleted partition":  {snapshot.BlockGroups, payload(deletion, huge, []byte{0, 0, 0})},
		"deleted at 0":       {snapshot.BlockGroups, payload(deletion, []byte{1, 0, 0, 0})},
		"number too long":    {snapshot.BlockGroups, bytes.Repeat([]byte{0xff}, 20)},
		"end offsets":        {snapshot.BlockTopics, payload([]byte{0, 0, 0, 0, 4, 0, 1, 0, 0}, huge, []byte{0, 0})},
		"curve":              {snapshot.BlockTopics, payload([]byte{0, 0, 0, 0, 4, 0, 1, 0, 0, 0}, huge, []byte{0, 0})},
		"topic does not end": {snapshot.BlockTopics, []byte{0, 0, 0, 0, 4, 0}},
		"half an id":         {snapshot.BlockTopics, []byte{0, 0, 0, 0, 4, 16, 1, 2, 3}},
		"a short id":         {snapshot.BlockTopics, []byte{0, 0, 0, 0, 4, 3, 1, 2, 3, 0}},
		"incarnation":        {snapshot.BlockTopics, payload([]byte{0, 0, 0, 0, 4, 0, 1}, huge, []byte{0, 0, 0, 0, 0})},
	} {
		t.Run(name, func(t *testing.T) {
			file := assemble([][]byte{blocks[0], makeBlock(c.kind, c.payload), blocks[3]})
			allocated := testing.AllocsPerRun(1, func() {
				_, err := snapshottest.Decode(file)
				var corrupt *snapshot.CorruptError
				require.ErrorAs(t, err, &corrupt)
				require.NotContains(t, corrupt.Reason, "footer counts")
			})
			require.Less(t, allocated, 1000.0)
		})
	}
	for name, length := range map[string]uint64{"a block": 1 << 40, "all that there is": math.MaxUint64, "a byte": 1 << 10} {
		t.Run(name, func(t *testing.T) {
			block := makeBlock(snapshot.BlockGroups, []byte("0123"))
			binary.LittleEndian.PutUint64(block[8:], length)
			file := slices.Concat(b[:snapshot.PreambleSize], blocks[0], block, blocks[3], []byte(snapshot.EndMagic))
			file = fixFooter(file)
			_, err := snapshottest.Decode(file)
			require.ErrorContains(t, err, "left before the footer")
		})
	}
}

// fixFooter makes the footer of a file count its bytes.
func fixFooter(file []byte) []byte {
	footer := file[len(file)-snapshot.TailSize : len(file)-len(snapshot.EndMagic)]
	binary.LittleEndian.PutUint64(footer[snapshot.BlockHeadSize+40:], uint64(len(file)))
	snapshot.PutBlockHead(footer, snapshot.BlockFooter)
	return file
}

// TestMemoryOfHostileWindows decodes windows with as few bytes for a commit as possible: the memory stays in proportion to
// the bytes read, also if they are unpacked.
func TestMemoryOfHostileWindows(t *testing.T) {
	const windows = 500
	run := make([]byte, 0, windows*window.MaxCommits)
	for number := range int32(windows) {
		run = append(run, snapshottest.Window(&snapshot.GroupPartition{Number: number, Commits: make([]protocol.StoredCommit, window.MaxCommits)})...)
	}
	require.Len(t, run, windows*window.MaxCommits, "a byte for each commit")
	group := []byte{0, 1, 'c', 0, 1, 'g', 0, 0, snapshot.TagNew, 0, 1, 't'}
	count := binary.AppendUvarint(nil, windows)
	payload := slices.Concat(group, count, []byte{0}, count, binary.AppendUvarint(nil, uint64(len(run))), run, []byte{0})
	header := blocksOf(t, (&snapshottest.State{}).Encode(t))
	file := assemble([][]byte{header[0], makeBlock(snapshot.BlockGroups, payload), header[1]}, 0, 1, windows, windows*window.MaxCommits)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := snapshot.NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	seen := 0
	require.NoError(t, r.Read(t.Context(), counting{&seen}))
	runtime.ReadMemStats(&after)
	require.Equal(t, windows*window.MaxCommits, seen)
	require.Less(t, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(file)), 60.0, "bytes allocated for each that was read")

	// One with fewer is refused.
	dense := snapshottest.Window(&snapshot.GroupPartition{Commits: slices.Repeat([]protocol.StoredCommit{{LagKnown: true}}, 10)})
	const counts = (1<<10 - 1) << 15
	binary.LittleEndian.PutUint32(dense, binary.LittleEndian.Uint32(dense)&^counts|100<<15)
	file = assemble([][]byte{header[0], makeBlock(snapshot.BlockGroups, slices.Concat(group, []byte{1, 0, 1, byte(len(dense))}, dense, []byte{0})), header[1]})
	_, err = snapshottest.Decode(file)
	require.ErrorContains(t, err, "fewer than commits")
}

type counting struct{ commits *int }

func (counting) WriteTopic(*snapshot.Topic) error { return nil }

func (c counting) WriteGroup(g *snapshot.Group) error {
	unpacked := g.Unpacked()
	for _, p := range unpacked.Topics[0].Partitions {
		*c.commits += len(p.Commits)
	}
	return nil
}

func TestErrorSaysWhatAndWhere(t *testing.T) {
	_, b := small(t)
	blocks := blocksOf(t, b)
	at := snapshot.PreambleSize + len(blocks[0]) + len(blocks[1])
	b[at+snapshot.BlockHeadSize+10] ^= 4
	_, err := snapshottest.Decode(b)
	var corrupt *snapshot.CorruptError
	require.True(t, errors.As(err, &corrupt))
	require.EqualValues(t, at+4, corrupt.Offset)
	require.Equal(t, 2, corrupt.Block)
	require.Equal(t, "GRPS", corrupt.BlockType)
	require.ErrorContains(t, err, "checksum")
	t.Log(err)
}

package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The format is drawn byte by byte in docs/format/snapshot.md.

const (
	versionMajor = 2
	versionMinor = 0

	magic    = "\x89LKSNAP\n"
	endMagic = "LKSNEND\n"

	// preambleSize is the length of magic, versions and their checksum, the same in every version.
	preambleSize = 16
	// blockHeadSize is the length of a block's type, number, payload length and checksum.
	blockHeadSize = 16
	footerSize    = 6*8 + 4

	// blockTarget is the payload at which a block is closed.
	blockTarget = 256 << 10
	// maxPayload is the greatest payload of a block. One partition has to fit into one block, and nothing larger has to.
	maxPayload = 16 << 20
)

type blockType uint32

// The types read as four letters in a hex dump.
const (
	blockHeader blockType = 'H' | 'E'<<8 | 'A'<<16 | 'D'<<24
	blockTopics blockType = 'T' | 'O'<<8 | 'P'<<16 | 'C'<<24
	blockGroups blockType = 'G' | 'R'<<8 | 'P'<<16 | 'S'<<24
	blockFooter blockType = 'F' | 'O'<<8 | 'O'<<16 | 'T'<<24
)

func (t blockType) String() string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(t)))
}

// Tags inside topic and group blocks.
const (
	// tagEnd ends the topics of a group, or a topic; in place of a partition it ends the partitions.
	tagEnd = 0
	// tagNew begins a group or topic.
	tagNew = 1
	// tagContinued begins the rest of a group or topic that the block before broke off.
	tagContinued = 2
	// tagGoesOn breaks off: the rest is in the next block. Nothing follows it in its block.
	tagGoesOn = 3
)

// Bits of the word before a group's partition; the number of commits stands above them.
const (
	partitionOwner = 1 << iota
	partitionClientID
	partitionDeleted
	partitionIncarnation
	partitionBits = 4
)

// Bits of a group's or group topic's flags.
const (
	hasLastCommit = 1 << iota
	hasLastOwner
)

// Bits of the byte before a commit.
const (
	commitLagKnown = 1 << iota
	commitLagSame
	// Two bits tell how the observed timestamp is stored.
	commitObserved      = 3 << 2
	observedSameSecond  = 0 << 2
	observedNextSecond  = 1 << 2
	observedSeconds     = 2 << 2
	observedRaw         = 3 << 2
	commitBits          = commitLagKnown | commitLagSame | commitObserved
	leastBytesPerCommit = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func blockChecksum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:blockHeadSize-4], castagnoli), castagnoli, payload)
}

func appendPreamble(b []byte, major, minor uint16) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, major)
	b = binary.LittleEndian.AppendUint16(b, minor)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// CheckVersion reads the version of a file and nothing else. It returns a *VersionError for a sound preamble of another version, a
// *CorruptError for what is no sound preamble, or what r returned.
func CheckVersion(r io.ReaderAt) error {
	preamble := make([]byte, preambleSize)
	n, err := r.ReadAt(preamble, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read snapshot: %w", err)
	}
	_, err = parsePreamble(preamble[:n])
	return err
}

// parsePreamble returns the minor version, a *VersionError for a sound preamble of another major version, or a
// *CorruptError.
func parsePreamble(b []byte) (minor uint16, err error) {
	corrupt := func(offset int64, format string, args ...any) error {
		return &CorruptError{Offset: offset, Block: -1, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(b) == 0:
		return 0, corrupt(0, "the file is empty")
	case len(b) < preambleSize:
		return 0, corrupt(int64(len(b)), "the file ends after %d bytes, within its first %d", len(b), preambleSize)
	case string(b[:8]) != magic:
		return 0, corrupt(0, "it begins with %q, not with the magic %q", b[:8], magic)
	}
	stored, computed := binary.LittleEndian.Uint32(b[12:]), crc32.Checksum(b[:12], castagnoli)
	if stored != computed {
		return 0, corrupt(12, "the checksum of the version is %08x, its bytes give %08x", stored, computed)
	}
	major, minor := binary.LittleEndian.Uint16(b[8:]), binary.LittleEndian.Uint16(b[10:])
	if major != versionMajor {
		return 0, &VersionError{Version: int(major), Known: versionMajor}
	}
	return minor, nil
}

// zigzag maps small numbers of either sign to small unsigned ones, and every int64 to a uint64 of its own.
func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// floorSecond rounds milliseconds down to whole seconds. At the very least int64 it wraps around, the same way for writer
// and reader.
func floorSecond(ms int64) int64 {
	rest := ms % 1000
	if rest < 0 {
		rest += 1000
	}
	return ms - rest
}

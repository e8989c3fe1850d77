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
	// Version is the only version that is written and read.
	Version = 4

	magic    = "\x89LKSNAP\n"
	endMagic = "LKSNEND\n"

	// preambleSize is the length of magic, version and their checksum, the same in every version.
	preambleSize = 16
	// blockHeadSize is the length of a block's type, checksum and payload length.
	blockHeadSize = 16
	// footerSize is the length of the payload of the footer, tailSize that of the whole block and the end magic.
	footerSize = 6*8 + 4
	tailSize   = blockHeadSize + footerSize + len(endMagic)

	// blockTarget is the payload at which a block is closed. One core decodes it in a few milliseconds, so that all cores are
	// busy to the end, and it holds some hundred records, so that names are seldom repeated.
	blockTarget = 256 << 10
)

type blockType uint32

// The types are four letters in a hex dump.
const (
	blockHeader blockType = 'H' | 'E'<<8 | 'A'<<16 | 'D'<<24
	blockTopics blockType = 'T' | 'O'<<8 | 'P'<<16 | 'C'<<24
	blockGroups blockType = 'G' | 'R'<<8 | 'P'<<16 | 'S'<<24
	blockFooter blockType = 'F' | 'O'<<8 | 'O'<<16 | 'T'<<24
)

func (t blockType) String() string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(t)))
}

// tagEnd stands behind the last topic or partition; tagNew begins a topic of a group.
const (
	tagEnd = 0
	tagNew = 1
)

// Bits of a group's flags, and of those of its topics.
const (
	hasLastCommit = 1 << iota
	hasLastOwner
	isDeletion
)

const (
	_ = 1 << iota // hasLastCommit
	hasOwners
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putBlockHead fills in the head of a block, which has room for it before its payload.
func putBlockHead(block []byte, kind blockType) {
	binary.LittleEndian.PutUint32(block[0:], uint32(kind))
	binary.LittleEndian.PutUint64(block[8:], uint64(len(block)-blockHeadSize))
	binary.LittleEndian.PutUint32(block[4:], blockChecksum(block[:blockHeadSize], block[blockHeadSize:]))
}

func blockChecksum(head, payload []byte) uint32 {
	sum := crc32.Checksum(head[0:4], castagnoli)
	return crc32.Update(crc32.Update(sum, castagnoli, head[8:]), castagnoli, payload)
}

func appendPreamble(b []byte, version uint16) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = append(b, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// CheckVersion reads only the version of a file. It returns a *VersionError for a sound preamble of another version, a
// *CorruptError for an invalid preamble, or the error of r.
func CheckVersion(r io.ReaderAt) error {
	preamble := make([]byte, preambleSize)
	n, err := r.ReadAt(preamble, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return &ReadError{Offset: int64(n), Err: err}
	}
	return parsePreamble(preamble[:n])
}

func parsePreamble(b []byte) error {
	corrupt := func(offset int64, format string, args ...any) error {
		return &CorruptError{Offset: offset, Block: -1, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(b) == 0:
		return corrupt(0, "the file is empty")
	case len(b) < preambleSize:
		return corrupt(int64(len(b)), "the file ends after %d bytes, within its first %d", len(b), preambleSize)
	case string(b[:8]) != magic:
		return corrupt(0, "it begins with %q, not with the magic %q", b[:8], magic)
	}
	stored, computed := binary.LittleEndian.Uint32(b[12:]), crc32.Checksum(b[:12], castagnoli)
	if stored != computed {
		return corrupt(12, "the checksum of the version is %08x, its bytes give %08x", stored, computed)
	}
	if version := binary.LittleEndian.Uint16(b[8:]); version != Version {
		return &VersionError{Version: int(version), Known: Version}
	}
	return nil
}

// zigzag maps small numbers of either sign to small unsigned ones, and different int64 to different uint64.
func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

package snapshot

import "io"

// What the tests of the format take of it.

type BlockType = blockType

const (
	BlockTopics, BlockGroups, BlockHeader, BlockFooter = blockTopics, blockGroups, blockHeader, blockFooter

	PreambleSize, BlockHeadSize = preambleSize, blockHeadSize
	BlockTarget, MaxPayload     = blockTarget, maxPayload
	MaxName, EndMagic           = maxName, endMagic
	VersionMajor, VersionMinor  = versionMajor, versionMinor

	TagEnd, TagNew, TagContinued, TagGoesOn = tagEnd, tagNew, tagContinued, tagGoesOn
	CommitLagSame                           = commitLagSame
)

var (
	Castagnoli     = castagnoli
	BlockChecksum  = blockChecksum
	AppendPreamble = appendPreamble
)

// UncheckedReader reads blocks that no footer counts.
func UncheckedReader(r io.ReaderAt, size int64, minor uint16, blocks int) *Reader {
	return &Reader{minor: minor, src: r, size: size, sum: Summary{Blocks: uint64(blocks)}}
}

package snapshot

// The parts of the format that external tests need.

type BlockType = blockType

const (
	BlockTopics, BlockGroups, BlockHeader, BlockFooter = blockTopics, blockGroups, blockHeader, blockFooter

	PreambleSize, BlockHeadSize = preambleSize, blockHeadSize
	TailSize, FooterSize        = tailSize, footerSize
	BlockTarget, MaxName        = blockTarget, maxName
	EndMagic                    = endMagic
	TagEnd, TagNew              = tagEnd, tagNew
	IsDeletion, HasOwners       = isDeletion, hasOwners
)

var (
	Castagnoli     = castagnoli
	PutBlockHead   = putBlockHead
	AppendPreamble = appendPreamble
)

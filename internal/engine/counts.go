package engine

import "sync/atomic"

// clusterCounts counts what does not belong to a shard.
type clusterCounts struct {
	endOffsets        atomic.Uint64
	endOffsetsInvalid atomic.Uint64
}

func (c *clusterCounts) endOffset(why Reason) Reason {
	if why == 0 {
		c.endOffsets.Add(1)
	} else {
		c.endOffsetsInvalid.Add(1)
	}
	return why
}

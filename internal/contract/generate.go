package contract

import (
	"fmt"
	"math"

	"github.com/lagkeeper/storage/protocol"
)

// Generator makes sequences of requests from choices, which are random or come from the bytes of a fuzzer. It has few names,
// and orders and timestamps close to each other, so that commits collide, come late and replace each other, and topics and
// groups are deleted and recreated all the time.
type Generator struct {
	// Choose returns a number from 0 to n-1; n is at most 256.
	Choose func(n int) int
	// Groups, Topics and Partitions are the numbers of them, per cluster, group and topic.
	Groups, Topics, Partitions int
	// Wild makes some numbers extreme.
	Wild bool
	// Keep makes deletions rare, so that windows fill.
	Keep bool
	// Grain is the least difference of two timestamps in milliseconds, 0 meaning one.
	Grain int64
	// Expire is the age at which commits are too old, in milliseconds; 0 if no commit should come near it.
	Expire int64

	// made is the number of requests that have been made.
	made int64
}

// GeneratorClusters are the clusters in the requests of a Generator, some of which are not configured.
var GeneratorClusters = []string{"local", "remote"}

// Next makes one request at a time in Unix milliseconds.
func (g *Generator) Next(now int64) *protocol.StorageRequest {
	g.made++
	r := &protocol.StorageRequest{RequestType: g.kind()}
	r.Cluster = g.cluster()
	switch r.RequestType {
	case protocol.StorageSetBrokerOffset:
		r.Topic, r.Partition = g.topic(), g.partition()
		r.TopicPartitionCount = int32(g.Choose(min(g.Partitions+2, 256))) - 1
		r.Offset, r.Timestamp = g.offset(), now
	case protocol.StorageSetConsumerOffset:
		r.Group, r.Topic, r.Partition = g.group(), g.topic(), g.partition()
		r.Offset, r.Order, r.Timestamp = g.offset(), g.order(), g.timestamp(now)
	case protocol.StorageSetConsumerOwner:
		r.Group, r.Topic, r.Partition = g.group(), g.topic(), g.partition()
		r.Owner, r.ClientID = g.name("host", 100), g.name("client", 3)
	case protocol.StorageClearConsumerOwners, protocol.StorageFetchConsumer:
		r.Group = g.group()
	case protocol.StorageSetDeleteTopic, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		r.Topic = g.topic()
	case protocol.StorageSetDeleteGroup:
		r.Group = g.group()
		if g.Choose(3) > 0 {
			r.Topic = g.topic()
		}
	}
	return r
}

// kind chooses a request type: half of them commits, a few deletes.
func (g *Generator) kind() protocol.StorageRequestConstant {
	kinds := [...]protocol.StorageRequestConstant{
		protocol.StorageSetDeleteTopic,
		protocol.StorageSetDeleteGroup,
		protocol.StorageFetchClusters,
		protocol.StorageClearConsumerOwners,
		protocol.StorageFetchTopic,
		protocol.StorageFetchTopics,
		protocol.StorageFetchConsumers,
		protocol.StorageFetchConsumersForTopic,
		protocol.StorageSetConsumerOwner, protocol.StorageSetConsumerOwner,
		protocol.StorageFetchConsumer, protocol.StorageFetchConsumer, protocol.StorageFetchConsumer,
		protocol.StorageSetBrokerOffset, protocol.StorageSetBrokerOffset, protocol.StorageSetBrokerOffset,
		protocol.StorageSetBrokerOffset, protocol.StorageSetBrokerOffset,
	}
	i := g.Choose(2 * len(kinds))
	if i >= len(kinds) {
		return protocol.StorageSetConsumerOffset
	}
	if g.Keep && i < 2 && g.Choose(30) > 0 {
		return protocol.StorageSetConsumerOffset
	}
	return kinds[i]
}

func (g *Generator) cluster() string {
	switch g.Choose(20) {
	case 0:
		return "nowhere"
	case 1:
		return "LOCAL"
	case 2, 3, 4:
		return "remote"
	}
	return "local"
}

func (g *Generator) group() string { return g.name("group", g.Groups) }

func (g *Generator) topic() string { return g.name("topic", g.Topics) }

// name chooses one of n names, the low numbers more often than the others.
func (g *Generator) name(of string, n int) string {
	return fmt.Sprint(of, min(g.Choose(n), g.Choose(n)))
}

func (g *Generator) partition() int32 {
	// Beyond 256 partitions a number takes two choices.
	p := g.Choose(min(g.Partitions, 256))
	if g.Partitions > 256 {
		p = (p + 256*g.Choose((g.Partitions+255)/256)) % g.Partitions
	}
	switch g.Choose(40) {
	case 0:
		p = -p - 1
	case 1:
		p += g.Partitions
	}
	return int32(p)
}

func (g *Generator) offset() int64 {
	if g.Wild && g.Choose(4) == 0 {
		return extremes[g.Choose(len(extremes))]
	}
	return 2*g.made + int64(g.Choose(100))
}

func (g *Generator) order() int64 {
	switch g.Choose(30) {
	case 0:
		return 0
	case 1:
		return -g.made
	case 2:
		if g.Wild {
			return extremes[g.Choose(len(extremes))]
		}
	}
	return max(1, g.made/3+int64(g.Choose(20))-8)
}

func (g *Generator) timestamp(now int64) int64 {
	grain := max(g.Grain, 1)
	rising := min(0, -2_000_000+500*g.made) + int64(g.Choose(200))*100 - 15_000
	if g.Expire > 0 {
		rising = -int64(g.Choose(8)) * g.Expire / 16
		switch g.Choose(16) {
		case 0:
			return now - g.Expire
		case 1:
			return now - g.Expire - 1
		case 2:
			rising = g.Expire
		}
	}
	if g.Wild && g.Choose(20) == 0 {
		return extremes[g.Choose(len(extremes))]
	}
	return (now + rising) / grain * grain
}

// extremes are the limits of int64 and of narrower integers.
var extremes = []int64{
	math.MinInt64, math.MinInt64 + 1, math.MinInt32 - 1, math.MinInt32, -129, -128, -2, -1, 0, 1, 127, 128, 255, 256,
	1<<14 - 1, 1 << 14, 1<<16 - 1, 1 << 16, 1<<21 - 1, 1 << 21, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32,
	1 << 33, 1<<42 - 1, 1 << 42, 1<<53 + 1, 1<<56 - 1, 1 << 56, 1 << 62, math.MaxInt64 - 1, math.MaxInt64,
}

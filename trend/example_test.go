package trend_test

import (
	"fmt"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
)

// A monitor tells where each partition of a typed answer goes.
func ExampleOfPartition() {
	const now = 1_700_000_120_000
	// What Store.Group fills; here, a group that reads 25 messages a second of the 20 that come.
	var group protocol.Group
	commit := func(secondsAgo, offset int64, lag uint64) protocol.StoredCommit {
		at := now - 1000*secondsAgo
		return protocol.StoredCommit{Offset: offset, Timestamp: at, ObservedTimestamp: at, Lag: lag, LagKnown: true}
	}
	group.Topics = []protocol.GroupTopic{{Name: "orders", Partitions: []protocol.GroupPartition{{
		Commits:      []protocol.StoredCommit{commit(90, 7000, 1200), commit(60, 7750, 1050), commit(30, 8500, 900), commit(0, 9250, 750)},
		EndOffsets:   []int64{8200, 8800, 9400, 10_000},
		EndOffsetAge: 0, // seen just now
		State:        protocol.PartitionBehind, CurrentLag: 750,
	}}}}

	for _, topic := range group.Topics {
		for number := range topic.Partitions {
			p := &topic.Partitions[number]
			t := trend.OfPartition(p, now)
			fmt.Printf("%s/%d: %v by %d messages, lag is %v\n", topic.Name, number, p.State, p.CurrentLag, t.Lag)
			if t.Consumed.Known && t.Produced.Known {
				fmt.Printf("reads %.0f/s of %.0f/s\n", t.Consumed.PerSecond, t.Produced.PerSecond)
			}
			if t.CatchUp.Known {
				fmt.Printf("caught up in %d s\n", t.CatchUp.Millis/1000)
			}
		}
	}
	// Output:
	// orders/0: BEHIND by 750 messages, lag is shrinking
	// reads 25/s of 20/s
	// caught up in 150 s
}

package trend_test

import (
	"fmt"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
)

// A monitor shows where each partition of a typed answer is going.
func ExampleOfPartition() {
	now := time.Unix(1_700_000_120, 0)
	// Store.Group fills such an answer; here, for a group that reads 25 messages a second while 20 are produced.
	group := protocol.Group{TakenAt: now}
	commit := func(secondsAgo, offset int64, lag uint64) protocol.StoredCommit {
		at := now.UnixMilli() - 1000*secondsAgo
		return protocol.StoredCommit{Offset: offset, Timestamp: at, ObservedTimestamp: at, Lag: lag, LagKnown: true}
	}
	group.Topics = []protocol.GroupTopic{{Name: "orders", Partitions: []protocol.GroupPartition{{
		Commits:    []protocol.StoredCommit{commit(90, 7000, 1200), commit(60, 7750, 1050), commit(30, 8500, 900), commit(0, 9250, 750)},
		EndOffsets: []int64{8200, 8800, 9400, 10_000},
		TimedEndOffsets: []protocol.TimedEndOffset{
			{Offset: 8200, Time: now.Add(-90 * time.Second)}, {Offset: 8800, Time: now.Add(-60 * time.Second)},
			{Offset: 9400, Time: now.Add(-30 * time.Second)}, {Offset: 10_000, Time: now},
		},
		State: protocol.PartitionBehind, CurrentLag: 750,
	}}}}

	for _, topic := range group.Topics {
		for number := range topic.Partitions {
			p := &topic.Partitions[number]
			t := trend.OfPartition(p, group.TakenAt)
			fmt.Printf("%s/%d: %v by %d messages, lag is %v\n", topic.Name, number, p.State, p.CurrentLag, t.Lag)
			if t.Consumed.Known && t.Produced.Known {
				fmt.Printf("reads %.0f/s of %.0f/s\n", t.Consumed.PerSecond, t.Produced.PerSecond)
			}
			if t.CatchUp.Known {
				fmt.Printf("caught up in %v\n", t.CatchUp.Length)
			}
		}
	}
	// Output:
	// orders/0: BEHIND by 750 messages, lag is shrinking
	// reads 25/s of 20/s
	// caught up in 2m30s
}

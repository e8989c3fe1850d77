package lagredis_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// nodes are the addresses of some nodes of Redis, such as 10.0.0.1:6379.
var nodes []string

func TestExampleOpen(t *testing.T) {
	nodes = redistest.Single(t).Addresses()
	ExampleOpen()
}

// A store in Redis is opened with the addresses of some nodes, and then used like one in memory.
func ExampleOpen() {
	ctx := context.Background()
	db, err := lagredis.Open(ctx, lagredis.Options{
		Addresses: nodes,
		Store:     storage.Options{Clusters: []string{"prod"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.SetEndOffset(ctx, "prod", "orders", protocol.EndOffset{Partition: 0, Offset: 100}); err != nil {
		log.Print(err)
	}
	commit := protocol.Commit{Topic: "orders", Partition: 0, Offset: 90, Order: -1, Timestamp: time.Now().UnixMilli()}
	if err := db.Commit(ctx, "prod", "billing", commit); err != nil {
		log.Print(err)
	}
	var group protocol.Group
	if err := db.Group(ctx, "prod", "billing", &group); err != nil {
		log.Print(err)
	}
	for _, topic := range group.Topics {
		for number, partition := range topic.Partitions {
			fmt.Println(topic.Name, number, partition.State, partition.CurrentLag)
		}
	}
}

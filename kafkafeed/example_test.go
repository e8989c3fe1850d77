package kafkafeed_test

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed"
)

// A feed fills a store from a cluster until its context is done. This cluster has no __consumer_offsets, so it is polled.
func Example() {
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		panic(err)
	}
	defer brokers.Close()
	db, err := storage.Open(storage.Options{Clusters: []string{"prod"}})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(context.Background())

	feed, err := kafkafeed.New(db, "prod",
		kafkafeed.ClientOpts(kgo.SeedBrokers(brokers.ListenAddrs()...)), // any kgo.Opt
		kafkafeed.Interval(10*time.Second))
	if err != nil {
		panic(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }() // until ctx is done
	<-feed.Ready()                         // the answers of the store are complete
	fmt.Println(feed.Status().Mode)        // log, or poll with a Reason

	ends, err := db.EndOffsets(ctx, "prod", "orders", nil)
	fmt.Println(ends, err)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// poll
	// [0 0] <nil>
	// context canceled
}

package model_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// TestStorm lets one sender, a few and a crowd send random requests without waiting for anything: commits that are stored in
// runs, topics and groups that are deleted, fetches. Groups and topics expire between the rounds, and typed calls that change
// nothing come meanwhile. Each sender gets the answers of the model.
func TestStorm(t *testing.T) {
	t.Parallel()
	for _, senders := range []int{1, 2, 12} {
		for _, settings := range []map[string]any{
			{"intervals": 3, "expire-group": 80, "sweep-interval": 1},
			{"intervals": 10, "expire-group": 160, "expire-topic": 80, "sweep-interval": 2, "workers": 1, "queue-depth": 5},
			{"intervals": 60, "expire-group": 80, "sweep-interval": 1, "workers": 300, "queue-depth": 100},
		} {
			t.Run(fmt.Sprintf("senders=%d,%v", senders, settings), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(testkit.Seed(t), 0))
				generators := make([]*contract.Generator, senders)
				config := storagetest.Config{Settings: settings}
				for i := range generators {
					generators[i] = &contract.Generator{
						Choose: random.IntN, Groups: 40, Topics: 3, Partitions: 5, Keep: true,
						Grain: 10_000, Expire: int64(settings["expire-group"].(int)) * 1000,
					}
					config.Clusters = append(config.Clusters, fmt.Sprint("cluster", i))
				}
				rounds := 4
				contract.CheckStormAgainstModel(t, testkit.InMemory, config,
					func(now int64) (all [][]*protocol.StorageRequest, wait time.Duration) {
						if rounds--; rounds < 0 {
							return nil, 0
						}
						for i, g := range generators {
							requests := make([]*protocol.StorageRequest, testkit.Length(t, 600))
							for j := range requests {
								requests[j] = g.Next(now)
								requests[j].Cluster = config.Clusters[i]
							}
							all = append(all, requests)
						}
						if wait = time.Duration(1+random.IntN(4)) * 10 * time.Second; now%10_000 == 0 {
							// The bubble's clock starts on the hour.
							wait += 5 * time.Second
						}
						return all, wait
					},
					func(store storage.Backend) { disturb(store, config.Clusters) })
			})
		}
	}
}

// disturb makes calls that change nothing, several at once.
func disturb(store storage.Backend, clusters []string) {
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			var run []protocol.StorageRequest
			for n := range 40 {
				run = append(run, protocol.StorageRequest{
					RequestType: protocol.StorageSetConsumerOffset, Cluster: clusters[n%len(clusters)], Group: fmt.Sprint("group", (i*7+n)%40),
					Topic: fmt.Sprint("topic", n%3), Partition: int32(n % 5), Offset: -1,
				})
			}
			for n := range 20 {
				var outcomes []error
				store.(storage.Overlapping).CommitEach(context.Background(), run, &outcomes)
				_ = store.Group(context.Background(), clusters[n%len(clusters)], run[n].Group, new(protocol.Group))
			}
		})
	}
	all.Wait()
}

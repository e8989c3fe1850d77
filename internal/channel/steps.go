package channel

import (
	"iter"
	"sync"

	"github.com/lagkeeper/storage/protocol"
)

// about is what the effect of a request depends on.
type about uint8

const (
	aboutAll about = iota
	aboutGroup
	aboutTopic
	// aboutNothing stands for fetches, which must see what was set before them and nothing that is set after.
	aboutNothing
)

func aboutOf(request *protocol.StorageRequest) about {
	switch request.RequestType {
	case protocol.StorageSetConsumerOffset, protocol.StorageSetConsumerOwner, protocol.StorageClearConsumerOwners,
		protocol.StorageSetDeleteGroup:
		return aboutGroup
	case protocol.StorageSetBrokerOffset:
		return aboutTopic
	case protocol.StorageFetchClusters, protocol.StorageFetchConsumers, protocol.StorageFetchTopics,
		protocol.StorageFetchConsumer, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		return aboutNothing
	}
	return aboutAll
}

type chainKey struct{ cluster, name string }

// AtOnce lets do carry out requests, as many chains of them at once as their order allows, but at most a number.
func AtOnce(requests []protocol.StorageRequest, most int, do func(chain []*protocol.StorageRequest)) {
	room := make(chan struct{}, max(most, 1))
	for step := range steps(requests) {
		var calls sync.WaitGroup
		for _, chain := range step {
			room <- struct{}{}
			calls.Go(func() {
				defer func() { <-room }()
				do(chain)
			})
		}
		calls.Wait()
	}
}

// steps splits requests into steps, and each step into chains. A step begins when the one before has ended; its chains may be
// carried out at once, the requests of a chain one after the other. So the requests about one group or topic take effect in
// the order sent.
func steps(requests []protocol.StorageRequest) iter.Seq[[][]*protocol.StorageRequest] {
	return func(yield func([][]*protocol.StorageRequest) bool) {
		for from := 0; from < len(requests); {
			kind, to := aboutOf(&requests[from]), from+1
			for to < len(requests) && kind != aboutAll && aboutOf(&requests[to]) == kind {
				to++
			}
			if !yield(chains(requests[from:to], kind)) {
				return
			}
			from = to
		}
	}
}

func chains(requests []protocol.StorageRequest, kind about) (all [][]*protocol.StorageRequest) {
	index := make(map[chainKey]int)
	for i := range requests {
		request := &requests[i]
		key := chainKey{request.Cluster, request.Group}
		if kind == aboutTopic {
			key.name = request.Topic
		}
		at, ok := index[key]
		if !ok || kind == aboutNothing {
			at = len(all)
			index[key] = at
			all = append(all, nil)
		}
		all[at] = append(all[at], request)
	}
	return all
}

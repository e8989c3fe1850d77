package model_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// FuzzRequests turns bytes into a configuration, a mode and a sequence of requests, and compares the answers of the module
// with those of the model.
func FuzzRequests(f *testing.F) {
	seen := map[protocol.StorageRequestConstant]bool{}
	for seed := range uint64(12) {
		input := fuzzSeed(seed)
		_, _, requests := decode(input)
		for _, r := range requests(0) {
			seen[r.RequestType] = true
		}
		f.Add(input)
	}
	require.Len(f, seen, protocol.StorageRequestTypes, "the seeds do not cover every request")
	f.Add([]byte{})

	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 1<<14 {
			t.Skip("longer than useful")
		}
		config, mode, requests := decode(input)
		asked := false
		contract.CheckAgainstModel(t, testkit.InMemory, config, mode,
			func(now int64) ([]*protocol.StorageRequest, time.Duration) {
				if asked {
					return nil, 0
				}
				asked = true
				return requests(now), 0
			})
	})
}

// fuzzSeed returns the bytes of a seed: random, but always the same. The first seven choose the configuration.
func fuzzSeed(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	input := make([]byte, 800)
	for i := range input {
		input[i] = byte(random.Uint32())
	}
	input[0] = byte(seed)
	return input
}

// decode reads a configuration and a mode from the first bytes; requests makes as many requests as the rest suffices for.
func decode(input []byte) (
	config storagetest.Config, mode string, requests func(now int64) []*protocol.StorageRequest,
) {
	choose := func(n int) int {
		if len(input) == 0 {
			return 0
		}
		chosen := int(input[0]) % n
		input = input[1:]
		return chosen
	}
	modes := contract.Modes()
	mode = modes[choose(len(modes))]
	config = storagetest.Config{Settings: map[string]any{
		"intervals":    []int{1, 2, 3, 10, 60, 1000}[choose(6)],
		"min-distance": []int{0, 0, 1, 30}[choose(4)],
		"workers":      []int{1, 3, 20}[choose(3)],
		"queue-depth":  choose(3),
	}, Clusters: contract.GeneratorClusters}
	for key, value := range filters[choose(len(filters))] {
		config.Settings[key] = value
	}
	space := spaces[choose(len(spaces))]
	requests = func(now int64) []*protocol.StorageRequest {
		generator := &contract.Generator{
			Choose: choose, Groups: space.groups, Topics: space.topics, Partitions: space.partitions,
			Wild: space.wild, Keep: space.keep,
		}
		var all []*protocol.StorageRequest
		for len(input) > 0 {
			all = append(all, generator.Next(now))
		}
		return all
	}
	return config, mode, requests
}

package engine

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// collidingNames returns names for which xxhash, which has no seed, gives the same hash: of two blocks, the second undoes in
// one lane what the first did there.
func collidingNames(n int) []string {
	const (
		prime1 = 11400714785074694791
		prime2 = 14029467366897019727
	)
	inverse := uint64(1)
	for range 6 { // Newton's method: each step doubles the number of right bits
		inverse *= 2 - prime2*inverse
	}
	start := uint64(1)
	start *= prime1
	start += prime2
	round := func(v, x uint64) uint64 { return bits.RotateLeft64(v+x*prime2, 31) * prime1 }
	want := round(start, 0) // what must be in the lane before the second block of the first name
	names := make([]string, n)
	for i := range names {
		block := make([]byte, 64)
		binary.LittleEndian.PutUint64(block, uint64(i))
		binary.LittleEndian.PutUint64(block[32:], (want-round(start, uint64(i)))*inverse)
		names[i] = string(block)
	}
	return names
}

// Names that were chosen to collide without a seed spread like any others.
func TestChosenNamesShareNoChain(t *testing.T) {
	t.Parallel()
	const n, shards = 20_000, 8
	names := collidingNames(n)
	e, c, _ := newTestEngine(shards, 2)
	require.Zero(t, e.SetEndOffset(c, "t", &protocol.EndOffset{Offset: 1}))
	for i, name := range names {
		require.Equal(t, xxhash.Sum64String(names[0]), xxhash.Sum64String(name), "name %d", i)
		require.Zero(t, e.Commit(c, name, &protocol.Commit{Topic: "t", Timestamp: startTime}))
	}
	for i := range e.shards {
		s := &e.shards[i]
		for _, g := range s.groups {
			// The chance of two of 20,000 names under one hash of 64 bits is one in 10^11.
			require.Nil(t, g.next)
		}
		require.InDelta(t, n/shards, len(s.groups), 500, "groups of shard %d", i)
	}
}

// Two engines, and two clusters of one engine, place the same names differently.
func TestHashIsSeeded(t *testing.T) {
	t.Parallel()
	first, second := New(Config{Clusters: []string{"a", "b"}, Shards: 16, Clock: &stoppedClock{}}),
		New(Config{Clusters: []string{"a", "b"}, Shards: 16, Clock: &stoppedClock{}})
	moved, apart := 0, 0
	for i := range 1000 {
		name := fmt.Sprint("group-", i)
		hash := first.Cluster("a").hash(name)
		require.Equal(t, hash, first.Cluster("a").hash(name))
		if hash != second.Cluster("a").hash(name) {
			moved++
		}
		if hash != first.Cluster("b").hash(name) {
			apart++
		}
	}
	require.Equal(t, 1000, moved)
	require.Equal(t, 1000, apart)
}

func BenchmarkHash(b *testing.B) {
	c := New(Config{Clusters: []string{"a"}, Shards: 1, Clock: &stoppedClock{}}).Cluster("a")
	for _, length := range [...]int{8, 24, 64, 250} {
		name := string(make([]byte, length))
		b.Run(fmt.Sprintf("seeded-%d", length), func(b *testing.B) {
			for b.Loop() {
				c.hash(name)
			}
		})
		b.Run(fmt.Sprintf("xxhash-%d", length), func(b *testing.B) {
			for b.Loop() {
				xxhash.Sum64String(name)
			}
		})
	}
}

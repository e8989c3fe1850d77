package kafkafeed

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// coordinator is a naive model of Kafka's group coordinator: it keeps every record and computes the committed offsets from the
// beginning.
type coordinator struct{ log []Entry }

func (c *coordinator) committed() map[commitKey]Entry {
	stored := map[commitKey]Entry{}
	for i, entry := range c.log {
		switch entry.Kind {
		case KindCommit:
			key := commitKey{entry.Group, entry.Topic, entry.Partition}
			if entry.Producer < 0 {
				stored[key] = entry
			}
		case KindCommitTombstone:
			delete(stored, commitKey{entry.Group, entry.Topic, entry.Partition})
		case KindCommitMarker:
			for key, pending := range c.pending(entry.Producer, i) {
				if before, ok := stored[key]; !ok || pending.Order > before.Order {
					stored[key] = pending
				}
			}
		}
	}
	return stored
}

// pending returns the commits in the transaction of a producer just before the record at an index.
func (c *coordinator) pending(producer int64, at int) map[commitKey]Entry {
	begin := 0
	for i, entry := range c.log[:at] {
		if entry.Producer == producer && (entry.Kind == KindCommitMarker || entry.Kind == KindAbortMarker) {
			begin = i + 1
		}
	}
	held := map[commitKey]Entry{}
	for _, entry := range c.log[begin:at] {
		key := commitKey{entry.Group, entry.Topic, entry.Partition}
		switch {
		case entry.Kind == KindCommitTombstone:
			delete(held, key)
		case entry.Kind == KindCommit && entry.Producer == producer:
			held[key] = entry
		}
	}
	return held
}

// newest is a store that keeps the commit with the greatest order.
type newest map[commitKey]Entry

func (s newest) apply(effects []Effect) (missed bool) {
	for _, effect := range effects {
		entry := effect.Entry
		key := commitKey{entry.Group, entry.Topic, entry.Partition}
		before, ok := s[key]
		switch entry.Kind {
		case KindCommit:
			if !ok || entry.Order > before.Order {
				s[key] = entry
			}
		case KindCommitTombstone:
			if ok && before.Order < entry.Order {
				delete(s, key)
			}
		}
		missed = missed || effect.Missed
	}
	return missed
}

func randomHistory(random *rand.Rand, length int) []Entry {
	log := make([]Entry, 0, length)
	order := int64(random.IntN(3))
	for range length {
		entry := Entry{Order: order, Producer: -1, Group: fmt.Sprint("g", random.IntN(3)), Topic: fmt.Sprint("t", random.IntN(2)),
			Partition: int32(random.IntN(2)), Offset: random.Int64N(1000)}
		order += 1 + int64(random.IntN(4)/3) // compaction removed the missing ones
		producer := random.Int64N(4)
		switch n := random.IntN(20); {
		case n < 6:
			entry.Kind = KindCommit
		case n < 12:
			entry.Kind, entry.Producer = KindCommit, producer
		case n < 14:
			entry.Kind = KindCommitTombstone
		case n < 15:
			entry.Kind = KindGroupTombstone
		case n < 16:
			entry.Kind = KindConsumerGroup
		case n < 18 && producer != 3: // the transaction of producer 3 hangs
			entry.Kind, entry.Producer = KindCommitMarker, producer
		case producer != 3:
			entry.Kind, entry.Producer = KindAbortMarker, producer
		default:
			entry.Kind = KindUnknown
		}
		log = append(log, entry)
	}
	return log
}

func TestResolverEqualsTheCoordinator(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		log := randomHistory(random, random.IntN(60))
		resolver, store := NewResolver(0, 0), newest{}
		for i, entry := range log {
			store.apply(resolver.Apply(entry, nil))
			require.Equal(t, newest((&coordinator{log[:i+1]}).committed()), store, "seed %d, record %d", seed, i)
		}
	}
}

// A crash loses everything after the newest snapshot, which may be from any earlier moment.
func TestResolverLosesNothingInACrash(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 2))
		log := randomHistory(random, 1+random.IntN(80))
		resolver, store := NewResolver(0, 0), newest{}
		saved, position := newest{}, int64(0)
		for at, crashes := 0, 0; at < len(log); {
			if log[at].Order < resolver.Next() {
				at++
				continue
			}
			store.apply(resolver.Apply(log[at], nil))
			at++
			if random.IntN(5) == 0 {
				saved, position = maps.Clone(store), resolver.Position()
			}
			if random.IntN(10) == 0 && crashes < 5 {
				crashes++
				store, at = maps.Clone(saved), 0
				resolver = NewResolver(position, 0)
			}
		}
		require.Equal(t, newest((&coordinator{log}).committed()), store, "seed %d", seed)
	}
}

func TestResolverIsBounded(t *testing.T) {
	const most = 10
	resolver := NewResolver(0, most)
	order := int64(0)
	apply := func(entry Entry) []Effect {
		entry.Order = order
		order++
		return resolver.Apply(entry, nil)
	}
	commit := func(producer int64, partition int32) {
		require.Empty(t, apply(Entry{Kind: KindCommit, Producer: producer, Group: "g", Topic: "t", Partition: partition}))
	}
	for producer := range int64(3 * most) {
		for partition := range int32(3) {
			commit(producer, partition)
			commit(producer, partition)
		}
		transactions, commits := resolver.Pending()
		require.LessOrEqual(t, transactions, most)
		require.LessOrEqual(t, commits, most)
	}
	require.Equal(t, int64(0), resolver.Position())
	whole := apply(Entry{Kind: KindCommitMarker, Producer: 0})
	require.Len(t, whole, 3)
	require.False(t, newest{}.apply(whole))
	require.True(t, newest{}.apply(apply(Entry{Kind: KindCommitMarker, Producer: 3})), "only half of it was kept")
	require.True(t, newest{}.apply(apply(Entry{Kind: KindCommitMarker, Producer: 25})), "it was not known")
	require.Empty(t, apply(Entry{Kind: KindAbortMarker, Producer: 26}))
	// If a partition of a hanging transaction is deleted again and again, nothing grows.
	hanging := NewResolver(0, most)
	for i := range int64(1000) {
		hanging.Apply(Entry{Order: 2 * i, Kind: KindCommit, Producer: 1, Group: "g", Topic: "t"}, nil)
		hanging.Apply(Entry{Order: 2*i + 1, Kind: KindCommitTombstone, Producer: -1, Group: "g", Topic: "t"}, nil)
	}
	transactions, commits := hanging.Pending()
	require.Equal(t, []int{1, 0}, []int{transactions, commits})
	require.Empty(t, hanging.holders)
}

func TestResolverPosition(t *testing.T) {
	resolver := NewResolver(10, 0)
	require.Equal(t, int64(10), resolver.Position())
	resolver.Apply(Entry{Order: 10, Kind: KindCommit, Producer: 1, Group: "g"}, nil)
	resolver.Apply(Entry{Order: 11, Kind: KindCommit, Producer: 2, Group: "g"}, nil)
	resolver.Apply(Entry{Order: 12, Kind: KindCommit, Producer: 3, Group: "g"}, nil)
	require.Equal(t, int64(10), resolver.Position())
	resolver.Apply(Entry{Order: 13, Kind: KindCommitMarker, Producer: 2}, nil)
	require.Equal(t, int64(10), resolver.Position())
	resolver.Apply(Entry{Order: 14, Kind: KindAbortMarker, Producer: 1}, nil)
	require.Equal(t, int64(12), resolver.Position())
	resolver.Apply(Entry{Order: 15, Kind: KindCommitMarker, Producer: 3}, nil)
	require.Equal(t, int64(16), resolver.Position())
	resolver.SkipTo(20)
	require.Equal(t, int64(20), resolver.Position())
	require.Empty(t, resolver.Apply(Entry{Order: 19, Kind: KindCommit, Producer: -1}, nil), "it was read before")
}

// The content of a commit of a later version is unknown, but not that there was one.
func TestResolverTellsOfCommitsThatItCannotRead(t *testing.T) {
	resolver := NewResolver(0, 0)
	unread := Entry{Kind: KindUnknown, Group: "g", Topic: "t", Producer: -1}
	require.Equal(t, []Effect{{Missed: true}}, resolver.Apply(unread, nil))
	unread.Order, unread.Producer = 1, 7
	require.Empty(t, resolver.Apply(unread, nil), "the transaction is open")
	require.Equal(t, int64(1), resolver.Position())
	require.Equal(t, []Effect{{Missed: true}}, resolver.Apply(Entry{Kind: KindCommitMarker, Producer: 7, Order: 2}, nil))
	unread.Order = 3
	require.Empty(t, resolver.Apply(unread, nil))
	require.Empty(t, resolver.Apply(Entry{Kind: KindAbortMarker, Producer: 7, Order: 4}, nil))
	require.Empty(t, resolver.Apply(Entry{Kind: KindUnknown, Producer: -1, Order: 5}, nil), "it is not a commit")
}

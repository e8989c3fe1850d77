package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage/protocol"
)

type scenario struct {
	name string
	run  func(scale float64) []measurement
}

// scenarios are the loads that an application puts on its store; each runs in its own process.
var scenarios = []scenario{
	{"commit-1-sender", func(f float64) []measurement {
		return commits("commit, 1 sender, 100,000 group-partitions", f, 1_000, 1, zapcore.ErrorLevel)
	}},
	{"commit-64-senders", func(f float64) []measurement {
		return commits("commit, 64 senders, 100,000 group-partitions", f, 1_000, 64, zapcore.ErrorLevel)
	}},
	{"commit-logged", func(f float64) []measurement {
		return commits("commit, 1 sender, JSON log at debug", f, 1_000, 1, zapcore.DebugLevel)
	}},
	{"commit-1000000", func(f float64) []measurement {
		return commits("commit, 1 sender, 1,000,000 group-partitions", f, 10_000, 1, zapcore.ErrorLevel)
	}},
	{"fetch", fetches},
	{"fetch-beside-writers", fetchBesideWriters},
	{"list", lists},
	{"memory-small-lag", func(f float64) []measurement { return memory("memory, lag of tens", f, 10) }},
	{"memory-large-lag", func(f float64) []measurement { return memory("memory, lag of millions", f, 5_000_000) }},
}

func scaled(n int, scale float64) int { return max(1, int(float64(n)*scale)) }

// perGroup is the number of partitions of a group in the commit scenarios.
const perGroup = 100

// commits measures commits to random group-partitions of a filled store, one per request. The floor is passing such a request over
// a bare channel.
func commits(name string, scale float64, groupCount, senders int, level zapcore.Level) []measurement {
	s := start(level)
	defer s.stop()
	const topic, end = "orders", 1 << 40
	groups := names("group", scaled(groupCount, scale))
	s.topic(topic, perGroup, end)
	for n := range 2 {
		for _, g := range groups {
			for p := range int32(perGroup) {
				s.requests <- s.commit(g, topic, p, n, window, int64(n))
			}
		}
	}
	s.settle(groups)
	total := scaled(1_000_000, scale)
	send := func(to chan<- *protocol.StorageRequest) time.Duration {
		var wg sync.WaitGroup
		begun := time.Now()
		for sender := range senders {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(sender)))
				for n := range total / senders {
					g, p := groups[random.IntN(len(groups))], random.Int32N(perGroup)
					request := s.commit(g, topic, p, 2+n, window, int64(n))
					request.Order = int64(n*senders + sender + 3)
					request.Timestamp = s.now
					to <- request
				}
			})
		}
		wg.Wait()
		return time.Since(begun)
	}
	bare, received := make(chan *protocol.StorageRequest), make(chan struct{})
	go func() {
		defer close(received)
		for range bare {
		}
	}()
	floor := send(bare)
	close(bare)
	<-received
	begun := time.Now()
	send(s.requests)
	s.settle(groups)
	took := time.Since(begun)
	each := float64(total / senders * senders)
	return []measurement{{name, "ns", float64(took) / each, float64(floor) / each}}
}

// fill commits a whole window to each partition of a group.
func (s *subject) fill(group, topic string, partitions int32, offset func(partition int32, n int) int64) {
	for n := range window {
		for p := range partitions {
			s.requests <- s.commit(group, topic, p, n, window, offset(p, n))
		}
	}
}

// fetches measures fetches of a group while nothing else happens. The floor is building the same answer from an array.
func fetches(scale float64) (all []measurement) {
	var kept any // keeps the compiler from dropping the work
	defer func() { runtime.KeepAlive(kept) }()
	for _, partitions := range []int32{10, 100, 10_000} {
		s := start(zapcore.ErrorLevel)
		s.topic("orders", partitions, 1_000_000)
		s.fill("group", "orders", partitions, func(_ int32, n int) int64 { return int64(n) * 1000 })
		fetch := func() any {
			return s.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: "group"})
		}
		topics, _ := fetch().(protocol.ConsumerTopics)
		if len(topics["orders"]) != int(partitions) || topics["orders"][partitions-1].Offsets[window-1] == nil {
			fatal("the group does not hold what was committed")
		}
		repeat := scaled(200_000/int(partitions), scale)
		all = append(all, measurement{
			fmt.Sprintf("fetch, %d partitions × %d", partitions, window), "µs", micros(repeat, func() { fetch() }),
			micros(repeat, func() { kept = build(partitions) }),
		})
		s.stop()
	}
	return all
}

// micros returns the duration of a call in microseconds, the median of nine rounds.
func micros(repeat int, call func()) float64 {
	rounds := make([]float64, 9)
	for i := range rounds {
		begun := time.Now()
		for range repeat {
			call()
		}
		rounds[i] = float64(time.Since(begun).Nanoseconds()) / 1000 / float64(repeat)
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2]
}

var source [window]protocol.ConsumerOffset

// build makes the answer to a fetch from ready data, in as few objects as the types allow.
func build(partitions int32) protocol.ConsumerTopics {
	type stored struct {
		protocol.ConsumerOffset
		lag protocol.Lag
	}
	commits := make([]stored, int(partitions)*window)
	pointers := make([]*protocol.ConsumerOffset, len(commits))
	ends := make([]int64, partitions)
	each := make([]protocol.ConsumerPartition, partitions)
	list := make(protocol.ConsumerPartitions, partitions)
	for p := range each {
		for n := range window {
			c := &commits[p*window+n]
			c.ConsumerOffset = source[n]
			c.Lag = &c.lag
			pointers[p*window+n] = &c.ConsumerOffset
		}
		each[p].Offsets = pointers[p*window : (p+1)*window : (p+1)*window]
		each[p].BrokerOffsets = ends[p : p+1 : p+1]
		list[p] = &each[p]
	}
	return protocol.ConsumerTopics{"orders": list}
}

// fetchBesideWriters measures fetches and commits while writers send 100,000 commits a second: first beside fetches of 100
// partitions, then beside fetches of 10,000. The wait of a commit counts from the moment it was due.
func fetchBesideWriters(scale float64) (all []measurement) {
	for _, partitions := range []int32{100, 10_000} {
		s := start(zapcore.ErrorLevel)
		s.topic("orders", partitions, 1_000_000)
		s.fill("group", "orders", partitions, func(_ int32, n int) int64 { return int64(n) * 1000 })
		groups := names("writer", 1000)
		s.topic("written", perGroup, 1_000_000)
		const rate, tick = 100_000, 100 // commits a second, and commits per tick
		total := scaled(300_000, scale)
		waits := make([]time.Duration, 0, total)
		done := make(chan struct{})
		begun := time.Now()
		go func() {
			defer close(done)
			for n := 0; n < total; n++ {
				due := begun.Add(time.Duration(n/tick) * tick * time.Second / rate)
				if ahead := time.Until(due); ahead > 0 {
					time.Sleep(ahead)
				}
				request := s.commit(groups[n%len(groups)], "written", int32(n/len(groups)%perGroup), n, n, int64(n))
				request.Timestamp = s.now
				s.requests <- request
				waits = append(waits, time.Since(due))
			}
		}()
		var fetched []time.Duration
		for writing := true; writing; {
			select {
			case <-done:
				writing = false
			default:
				begun := time.Now()
				s.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: "group"})
				fetched = append(fetched, time.Since(begun))
				time.Sleep(time.Millisecond)
			}
		}
		all = append(all,
			measurement{Name: fmt.Sprintf("fetch of %d partitions beside writers, p99", partitions), Unit: "µs", Value: percentile(fetched, 99)},
			measurement{Name: fmt.Sprintf("commit beside fetches of %d partitions, p99", partitions), Unit: "µs", Value: percentile(waits, 99)})
		s.stop()
	}
	return all
}

// percentile returns a percentile in microseconds.
func percentile(all []time.Duration, percent int) float64 {
	slices.Sort(all)
	return float64(all[(len(all)-1)*percent/100].Nanoseconds()) / 1000
}

// lists measures listing the groups of a topic that one in a hundred groups reads.
func lists(scale float64) []measurement {
	s := start(zapcore.ErrorLevel)
	defer s.stop()
	groups := names("group", scaled(10_000, scale))
	s.topic("common", 1, 1000)
	s.topic("rare", 1, 1000)
	for i, g := range groups {
		topic := "common"
		if i%100 == 0 {
			topic = "rare"
		}
		s.requests <- s.commit(g, topic, 0, 0, 1, 1)
	}
	s.settle(groups)
	return []measurement{{Name: fmt.Sprintf("groups of a topic, 1 of 100 of %d", len(groups)), Unit: "µs", Value: micros(scaled(50, scale), func() {
		s.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchConsumersForTopic, Topic: "rare"})
	})}}
}

// memory measures the heap that a group-partition of ten commits takes, and the duration of a forced collection of the whole store.
func memory(name string, scale float64, lag int64) []measurement {
	before := heap()
	s := start(zapcore.ErrorLevel)
	defer s.stop()
	groups := names("group", scaled(1_000, scale))
	random := rand.New(rand.NewPCG(3, 4))
	s.topic("orders", perGroup, 1<<40)
	for _, g := range groups {
		s.fill(g, "orders", perGroup, func(_ int32, n int) int64 {
			return 1<<40 - lag - random.Int64N(lag) + int64(n)*1000
		})
	}
	s.settle(groups)
	used := heap() - before
	begun := time.Now()
	runtime.GC()
	collection := time.Since(begun)
	runtime.KeepAlive(groups)
	return []measurement{
		{Name: name, Unit: "B a group-partition", Value: float64(used) / float64(len(groups)*perGroup)},
		{Name: name + ", forced collection", Unit: "µs", Value: float64(collection.Nanoseconds()) / 1000},
	}
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

package lagredis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// Beside what a caller sees, the benchmarks report the cost of a call: exec-µs is the time in which the servers carried out commands,
// as INFO commandstats has it; cpu-µs the processor time of their processes, including reading from and writing to sockets; client-µs
// the processor time of this process.

const (
	benchPartitions = 100
	benchGroups     = 64
)

// serverTime is the time that servers and this process have spent, in microseconds.
type serverTime struct{ exec, cpu, client float64 }

func spent(servers *redistest.Servers, nodes int) (all serverTime) {
	var own syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) == nil {
		all.client = float64(own.Utime.Nano()+own.Stime.Nano()) / 1000
	}
	for i := range nodes {
		for line := range strings.Lines(servers.Do(i, "INFO", "commandstats")) {
			// cmdstat_hget:calls=1,usec=2,…; the commands that scripts call are already counted with the script.
			name, fields, _ := strings.Cut(line, ":")
			if name != "cmdstat_evalsha" && name != "cmdstat_eval" && !topLevel[name] {
				continue
			}
			for field := range strings.SplitSeq(fields, ",") {
				if usec, ok := strings.CutPrefix(field, "usec="); ok {
					n, _ := strconv.ParseFloat(usec, 64)
					all.exec += n
				}
			}
		}
		for line := range strings.Lines(servers.Do(i, "INFO", "cpu")) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if name == "used_cpu_sys" || name == "used_cpu_user" {
				n, _ := strconv.ParseFloat(value, 64)
				all.cpu += n * 1e6
			}
		}
	}
	return all
}

// topLevel are the commands that clients send, as opposed to those that the script calls.
var topLevel = map[string]bool{"cmdstat_hgetall": true, "cmdstat_ping": true, "cmdstat_zinter": true, "cmdstat_zrangebyscore": true}

// report reports the rates of n units since a given time.
func report(b *testing.B, servers *redistest.Servers, nodes int, before serverTime, n int, unit string) {
	after := spent(servers, nodes)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), unit+"s/s")
	b.ReportMetric((after.exec-before.exec)/float64(n), "exec-µs/"+unit)
	b.ReportMetric((after.cpu-before.cpu)/float64(n), "cpu-µs/"+unit)
	b.ReportMetric((after.client-before.client)/float64(n), "client-µs/"+unit)
}

// benchServers starts a single node, or three masters.
func benchServers(b *testing.B, masters int) *redistest.Servers {
	b.Helper()
	if masters == 1 {
		return redistest.Single(b, "appendonly", "no")
	}
	return redistest.Cluster(b, masters, 0, "appendonly", "no")
}

func openBench(b *testing.B, servers *redistest.Servers, prefix string) *lagredis.DB {
	b.Helper()
	db := open(b, servers, prefix, func(o *lagredis.Options) { o.Store.Intervals, o.Buckets = 10, 50 })
	var ends []protocol.EndOffset
	for p := range int32(benchPartitions) {
		ends = append(ends, protocol.EndOffset{Partition: p, TopicPartitionCount: benchPartitions, Offset: 1 << 30})
	}
	require.NoError(b, db.SetEndOffsetBatch(context.Background(), "local", "topic", ends))
	return db
}

// batchOf fills a batch with the commits of a round: one per partition, some messages after the last.
func batchOf(batch []protocol.Commit, round, order int64) []protocol.Commit {
	batch = batch[:0]
	for p := range int32(benchPartitions) {
		batch = append(batch, protocol.Commit{
			Topic: "topic", Partition: p, Offset: 1_000_000 + 500*round + int64(p), Order: order + int64(p),
			Timestamp: time.Now().UnixMilli() - 600_000 + 5000*min(round, 120),
		})
	}
	return batch
}

// BenchmarkCommitBatch stores batches as a feeder does: each has a hundred commits of one group, and several are stored at once.
func BenchmarkCommitBatch(b *testing.B) {
	for _, masters := range []int{1, 3} {
		b.Run(fmt.Sprintf("masters=%d", masters), func(b *testing.B) {
			servers := benchServers(b, masters)
			db := openBench(b, servers, freshPrefix())
			var orders atomic.Int64
			var rounds [benchGroups]int64
			store := func(g int, batch []protocol.Commit) error {
				rounds[g]++
				batch = batchOf(batch, rounds[g], orders.Add(benchPartitions))
				return db.CommitBatch(context.Background(), "local", "group-"+strconv.Itoa(g), batch)
			}
			for g := range benchGroups {
				for range 10 {
					require.NoError(b, store(g, nil))
				}
			}
			before := spent(servers, masters)
			b.ResetTimer()
			var feeders sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			const atOnce = 16
			for f := range atOnce {
				feeders.Go(func() {
					batch := make([]protocol.Commit, 0, benchPartitions)
					for g := f; left.Add(-1) >= 0; g = (g + atOnce) % benchGroups {
						if err := store(g, batch); err != nil {
							b.Error(err)
						}
					}
				})
			}
			feeders.Wait()
			b.StopTimer()
			report(b, servers, masters, before, b.N*benchPartitions, "commit")
		})
	}
}

// BenchmarkCommit stores single commits from many senders at once, of one group or of as many groups as there are senders.
func BenchmarkCommit(b *testing.B) {
	for _, groups := range []int{1, benchGroups} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			servers := benchServers(b, 1)
			db := openBench(b, servers, freshPrefix())
			var orders atomic.Int64
			before := spent(servers, 1)
			b.SetParallelism(128)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					order := orders.Add(1)
					c := protocol.Commit{
						Topic: "topic", Partition: int32(order % benchPartitions), Offset: order, Order: -1, Timestamp: time.Now().UnixMilli(),
					}
					if err := db.Commit(context.Background(), "local", "group-"+strconv.FormatInt(order%int64(groups), 10), c); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			report(b, servers, 1, before, b.N, "commit")
		})
	}
}

// BenchmarkGroup reads a group of a hundred partitions with ten commits each: cold, by a process without a copy of it, and warm.
func BenchmarkGroup(b *testing.B) {
	servers, prefix := benchServers(b, 1), freshPrefix()
	writer := openBench(b, servers, prefix)
	for round := range int64(10) {
		require.NoError(b, writer.CommitBatch(context.Background(), "local", "group", batchOf(nil, round, round*benchPartitions+1)))
	}
	read := func(b *testing.B, db *lagredis.DB) {
		var group protocol.Group
		before := spent(servers, 1)
		b.ResetTimer()
		for range b.N {
			require.NoError(b, db.Group(context.Background(), "local", "group", &group))
		}
		b.StopTimer()
		report(b, servers, 1, before, b.N, "group")
	}
	b.Run("warm", func(b *testing.B) { read(b, writer) })
	b.Run("cold", func(b *testing.B) {
		read(b, open(b, servers, prefix, func(o *lagredis.Options) { o.Store.Intervals, o.Buckets, o.CacheBytes = 10, 50, 1 }))
	})
}

// BenchmarkMemory reports the memory of a group-partition of ten commits, by MEMORY USAGE of all keys that hold it: with the numbers
// of a young cluster, and with those of a cluster that has run for years and whose groups have all kinds of lags.
func BenchmarkMemory(b *testing.B) {
	for _, grown := range []bool{false, true} {
		b.Run(fmt.Sprintf("grown=%v", grown), func(b *testing.B) {
			servers, prefix := benchServers(b, 1), freshPrefix()
			db := openBench(b, servers, prefix)
			random := rand.New(rand.NewPCG(1, 2))
			order := int64(0)
			if grown {
				order = 1e12
			}
			for round := range int64(10 * b.N) {
				for g := range benchGroups {
					batch := batchOf(nil, round, (round+1)*1_000_000)
					if grown {
						var ends []protocol.EndOffset
						for i := range batch {
							order += 1 + random.Int64N(100_000)
							batch[i].Order, batch[i].Offset = order, 1e12+1e7*round+random.Int64N(1e6)
							batch[i].Timestamp += random.Int64N(5000)
							end := protocol.EndOffset{Partition: int32(i), Offset: 2e12 + 1e7*round + random.Int64N(1e6)}
							if g == 0 {
								ends = append(ends, end)
							}
						}
						require.NoError(b, db.SetEndOffsetBatch(context.Background(), "local", "topic", ends))
					}
					require.NoError(b, db.CommitBatch(context.Background(), "local", "group-"+strconv.Itoa(g), batch))
				}
			}
			b.ReportMetric(float64(memoryOf(b, servers, prefix+"{g*"))/(benchGroups*benchPartitions), "B/partition")
		})
	}
}

// memoryOf returns the memory of all keys that match a pattern, in bytes.
func memoryOf(b *testing.B, servers *redistest.Servers, pattern string) (total int) {
	for key := range strings.Lines(servers.Do(0, "KEYS", pattern)) {
		n, err := strconv.Atoi(servers.Do(0, "MEMORY", "USAGE", strings.TrimSpace(key), "SAMPLES", "0"))
		require.NoError(b, err)
		total += n
	}
	return total
}

// BenchmarkMemoryOfTopics reports the memory of a topic-partition that has been polled until its curve is full, and of an event.
func BenchmarkMemoryOfTopics(b *testing.B) {
	servers, prefix := benchServers(b, 1), freshPrefix()
	db := openBench(b, servers, prefix)
	random := rand.New(rand.NewPCG(1, 2))
	ends := make([]protocol.EndOffset, benchPartitions)
	for p := range ends {
		ends[p] = protocol.EndOffset{Partition: int32(p), Offset: 1e12}
	}
	const polls = 500
	from := time.Now().UnixMilli() - polls*10_000
	for poll := range int64(polls * b.N) {
		for p := range ends {
			ends[p].Offset += random.Int64N(1e6)
			ends[p].Timestamp = from + min(poll, polls)*10_000
		}
		require.NoError(b, db.SetEndOffsetBatch(context.Background(), "local", "polled", ends))
	}
	b.ReportMetric(float64(memoryOf(b, servers, prefix+"{t*:topic:*:polled"))/benchPartitions, "B/partition")
	const events = 20_000
	for i := range events {
		group := "payments-service-" + strconv.Itoa(i)
		require.NoError(b, db.CommitBatch(context.Background(), "local", group, batchOf(nil, 0, 1)[:1]))
	}
	b.ReportMetric(float64(memoryOf(b, servers, prefix+"{g*:events"))/events, "B/event")
}

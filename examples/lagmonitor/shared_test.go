package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
)

// sharedBuckets is the number of partitions of the log, and the number of buckets in Redis.
const sharedBuckets = 8

// program is the monitor in a process of its own.
type program struct {
	*exec.Cmd
	ready chan struct{} // closed when it reports that all clusters have been read
}

func startProgram(t *testing.T, args ...string) *program {
	p := &program{exec.Command(os.Args[0]), make(chan struct{})}
	p.Env = append(os.Environ(), asProgram+"="+strings.Join(args, " "))
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<24)
		told := false
		for lines.Scan() {
			if !told && strings.Count(lines.Text(), `"ready":true`) == 2 {
				told = true
				close(p.ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-read
		_ = p.Wait()
	})
	return p
}

// logCommit writes the record that a coordinator writes for a commit.
func logCommit(t *testing.T, ctx context.Context, client *kgo.Client, group string, offset int64) {
	commit(t, ctx, client, group, offset)
	for partition := range int32(6) {
		key, value := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
		key.Version, key.Group, key.Topic, key.Partition = 1, group, "t", partition
		value.Version, value.Offset, value.CommitTimestamp = 3, offset, time.Now().UnixMilli()
		require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: "__consumer_offsets",
			Partition: protocol.LogPartitionOf(group, sharedBuckets), Key: key.AppendTo(nil), Value: value.AppendTo(nil)}).FirstErr())
	}
}

// windowsOf returns the commits that a store has for a cluster.
func windowsOf(t *testing.T, ctx context.Context, store storage.Store, cluster string, withOrders bool) map[string]string {
	windows := map[string]string{}
	groups, err := store.Groups(ctx, cluster)
	require.NoError(t, err)
	for name := range groups {
		var group protocol.Group
		require.NoError(t, store.Group(ctx, cluster, name, &group))
		for _, topic := range group.Topics {
			for partition, p := range topic.Partitions {
				key := fmt.Sprint(name, " ", topic.Name, " ", partition)
				if n := len(p.Commits); !withOrders && n > 0 {
					windows[key] = fmt.Sprint(p.Commits[n-1].Offset)
					continue
				}
				for _, c := range p.Commits {
					windows[key] += fmt.Sprint(c.Offset, "@", c.Order, " ")
				}
			}
		}
	}
	return windows
}

// Two monitors, configured but not programmed for it, fill one Redis from one Kafka. One is killed, and the other takes over its
// partitions. In the end the state equals that of a store in memory that was fed without a break.
func TestMonitorThatSharesARedisIsKilled(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	require.NoError(t, cluster.CreateTopic("__consumer_offsets", sharedBuckets, nil))
	write(t, ctx, client, 5)
	redis, kafka := redisServer(t), cluster.ListenAddrs()[0]
	path := configFile(t, "shared.toml", fmt.Sprintf(`[storage.shared]
class-name = "redis"
addresses = ["%s"]
buckets = %d
[cluster.logged]
servers = ["%s"]
mode = "log"
[cluster.polled]
servers = ["%[3]s"]
mode = "poll"
`, redis, sharedBuckets, kafka))
	commitAll := func(offset int64) {
		for i := range 12 {
			logCommit(t, ctx, client, fmt.Sprint("g", i), offset)
		}
	}
	commitAll(1)
	args := []string{"--config", path, "--json", "--interval", "200ms"}
	victim := startProgram(t, args...)
	<-victim.ready
	survivor := startProgram(t, args...)
	<-survivor.ready
	commitAll(2)
	require.NoError(t, victim.Process.Kill())
	commitAll(3)

	options := storage.Options{Clusters: []string{"logged", "polled"}}
	memory, err := storage.Open(options)
	require.NoError(t, err)
	defer memory.Close()
	feed, err := kafkafeed.New(memory, "logged", kafkafeed.ClientOpts(kgo.SeedBrokers(kafka)), kafkafeed.WithMode(kafkafeed.ModeLog))
	require.NoError(t, err)
	fed, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(fed) }()
	<-feed.Ready()
	end()
	require.ErrorIs(t, <-ended, context.Canceled)
	want := windowsOf(t, ctx, memory, "logged", true)
	require.Len(t, want, 12*6)

	shared, err := lagredis.Open(ctx, lagredis.Options{Store: options, Addresses: []string{redis}, Buckets: sharedBuckets})
	require.NoError(t, err)
	defer shared.Close()
	var have, polled map[string]string
	require.NoError(t, until(ctx, func() bool {
		have, polled = windowsOf(t, ctx, shared, "logged", true), windowsOf(t, ctx, shared, "polled", false)
		for _, offset := range polled {
			if offset != "3" {
				return false
			}
		}
		return len(polled) == len(want) && fmt.Sprint(have) == fmt.Sprint(want)
	}), "%v\n%v\n%v", want, have, polled)
}

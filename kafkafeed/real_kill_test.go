package kafkafeed

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tied"
)

const (
	// monitorVariable makes the test binary a monitor: it holds the path of the snapshot and the addresses of the brokers.
	monitorVariable = "KAFKAFEED_MONITOR"
	// killsVariable is the number of kills, if not fewKills.
	killsVariable = "KAFKAFEED_KILLS"
	fewKills      = 5
	// killsPerCheck is the number of kills after which the store is compared with Kafka.
	killsPerCheck = 5
)

// runMonitor feeds a store until it is killed, and takes snapshots all the time. It prints a line when the feed is ready.
func runMonitor(variable string) {
	path, brokers, _ := strings.Cut(variable, " ")
	store, err := storage.Open(storage.Options{Clusters: []string{"prod"}, SnapshotPath: path})
	if err != nil {
		panic(err)
	}
	feed, err := New(store, "prod", ClientOpts(kgo.SeedBrokers(strings.Fields(brokers)...)), Interval(300*time.Millisecond))
	if err != nil {
		panic(err)
	}
	go func() { panic(feed.Run(context.Background())) }()
	go func() {
		<-feed.Ready()
		fmt.Println("ready")
	}()
	for range time.Tick(50 * time.Millisecond) {
		if err := store.Snapshot(context.Background()); err != nil {
			panic(err)
		}
	}
}

// monitor is a process that feeds a store.
type monitor struct {
	command *exec.Cmd
	release func()
	output  *bufio.Reader
}

func (w *world) monitor(path string) *monitor {
	command := tied.Command(context.Background(), os.Args[0])
	command.Env = append(os.Environ(), monitorVariable+"="+path+" "+strings.Join(w.kafka.Addresses(), " "))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	require.NoError(w.t, err)
	release, err := tied.Start(command)
	require.NoError(w.t, err)
	m := &monitor{command, release, bufio.NewReader(output)}
	w.t.Cleanup(m.kill)
	return m
}

// kill kills the process like kill -9. It does nothing if it was killed before.
func (m *monitor) kill() {
	if m.command.ProcessState == nil {
		_ = m.command.Process.Kill()
		_ = m.command.Wait() // it was killed
		m.release()
	}
}

func (m *monitor) ready(t *testing.T) {
	line, err := m.output.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
}

// murder is a world in which processes are killed.
type murder struct {
	*world
	random *rand.Rand
	open   []*openTransaction
	counts map[string]int
	done   int // writes that Kafka acknowledged
	failed int // writes that it did not acknowledge, or not in time
}

// write commits, deletes and produces while any process may be killed.
func (m *murder) write(n int) {
	for range n {
		ctx, cancel := context.WithTimeout(m.t.Context(), time.Second)
		if err := m.writeOnce(ctx); err != nil {
			m.failed++
		} else {
			m.done++
		}
		cancel()
	}
}

func (m *murder) writeOnce(ctx context.Context) error {
	group, partition, offset := fmt.Sprint("g", m.random.IntN(12)), m.random.Int32N(6), m.random.Int64N(50)
	switch m.random.IntN(20) {
	case 0, 1:
		var set kadm.TopicsSet
		set.Add("orders", partition)
		_, err := m.admin.DeleteOffsets(ctx, group, set)
		return err
	case 2:
		_, err := m.admin.DeleteGroup(ctx, group)
		return err
	case 3:
		return m.client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Partition: partition, Value: []byte("v")}).FirstErr()
	case 4, 5, 6:
		if len(m.open) < 3 {
			x, err := m.tryBegin(ctx, fmt.Sprint("x", m.counts["transactions"]))
			if err != nil {
				return err
			}
			m.counts["transactions"]++
			m.open = append(m.open, x)
		}
		return m.open[m.random.IntN(len(m.open))].tryCommit(ctx, group, "orders", partition, offset)
	case 7, 8:
		if len(m.open) == 0 {
			return nil
		}
		i := m.random.IntN(len(m.open))
		x := m.open[i]
		m.open = append(m.open[:i], m.open[i+1:]...)
		return x.tryEnd(ctx, m.random.IntN(3) > 0)
	default:
		var to kadm.Offsets
		to.AddOffset("orders", partition, offset, -1)
		committed, err := m.admin.CommitOffsets(ctx, group, to)
		if err != nil {
			return err
		}
		return committed.Error()
	}
}

// coordinator returns the broker that coordinates a group, counted from 0.
func (m *murder) coordinator(group string) int {
	node := int32(0)
	eventually(m.t, "the group has a coordinator", func() bool {
		found := m.admin.FindGroupCoordinators(m.t.Context(), group)[group]
		node = found.NodeID
		return found.Err == nil && node > 0
	})
	return int(node) - 1
}

// Whichever processes are killed, and whenever, the store finally has what Kafka has.
func TestRealKafkaEqualsAfterKills(t *testing.T) {
	kills := fewKills
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed ", seed)
	// Killed brokers are noticed soon.
	soon := map[string]string{"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "300"}
	m := &murder{world: newWorldWith(t, 3, soon), random: rand.New(rand.NewPCG(seed, 9)), counts: map[string]int{}}
	m.topic("orders", 6, 50)
	path := filepath.Join(t.TempDir(), "lag.snapshot")
	process := m.monitor(path)
	process.ready(t)
	dead := -1 // broker
	revive := func() {
		if dead >= 0 {
			m.kafka.Restart(dead)
			m.kafka.Await()
			dead = -1
		}
	}
	for kill := range kills {
		m.write(m.random.IntN(40))
		switch kill % 5 {
		case 0, 2, 4:
			process.kill()
			m.counts["monitor"]++
			m.write(m.random.IntN(20))
			process = m.monitor(path)
			if m.random.IntN(2) == 0 {
				process.ready(t) // otherwise it may be killed while it starts
			}
		case 1:
			revive()
			dead = m.random.IntN(3)
			m.kafka.Kill(dead)
			m.counts["broker"]++
		case 3:
			revive()
			dead = m.coordinator(fmt.Sprint("g", m.random.IntN(12)))
			m.kafka.Kill(dead)
			m.counts["coordinator"]++
		}
		m.write(10)
		if kill%killsPerCheck == killsPerCheck-1 || kill == kills-1 {
			revive()
			process.kill()
			m.check(path)
			process = m.monitor(path)
		}
	}
	process.kill()
}

// check continues from the snapshot of a killed monitor, and compares the result with Kafka.
func (m *murder) check(path string) {
	left := crashed(m.t, path)
	store := openStore(m.t, left)
	feed := m.feed(store)
	<-feed.Ready()
	want := m.same(store)
	m.counts["comparisons"]++
	m.t.Logf("%v, %d writes acknowledged, %d not or not in time, %d commits equal", m.counts, m.done, m.failed, len(want))
	feed.stop()
	require.NoError(m.t, store.Close())
}

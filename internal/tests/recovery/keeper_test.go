package recovery_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// keeper is a module with a snapshot.
type keeper struct {
	*storage.InMemoryStorage
	storage.Persistent
	t    testing.TB
	path string
	logs *observer.ObservedLogs
}

// newKeeper makes and configures a module with a snapshot at a path. The settings are pairs of a key under storage.test and
// its value.
func newKeeper(t testing.TB, path string, settings ...any) *keeper {
	t.Helper()
	v := testkit.Configuration(storagetest.Config{Clusters: contract.GeneratorClusters})
	v.Set("storage.test.snapshot-path", path)
	for i := 0; i < len(settings); i += 2 {
		v.Set("storage.test."+settings[i].(string), settings[i+1])
	}
	return keeperOf(t, v)
}

// keeperOf is newKeeper with a given configuration.
func keeperOf(t testing.TB, v *viper.Viper) *keeper {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	m := &storage.InMemoryStorage{App: &protocol.ApplicationContext{}, Log: zap.New(core), Viper: v}
	m.Configure("test", "storage.test")
	t.Cleanup(func() { _ = m.Stop() })
	return &keeper{m, m.Store().(storage.Persistent), t, v.GetString("storage.test.snapshot-path"), logs}
}

// stats returns the statistics, the zero value while the module does not run.
func (k *keeper) stats() storage.Stats {
	stats, _ := k.Stats()
	return stats
}

// startKeeper is newKeeper and Start.
func startKeeper(t testing.TB, path string, settings ...any) *keeper {
	t.Helper()
	k := newKeeper(t, path, settings...)
	require.NoError(t, k.Start())
	return k
}

// save takes a snapshot.
func (k *keeper) save() {
	k.t.Helper()
	require.NoError(k.t, k.Snapshot(context.Background()))
}

// snapshotPath returns a path for a snapshot, in a directory of its own.
func snapshotPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

// crashed returns the path of what a crash of the store would leave now: copies of its files, without the lock, in a
// directory of their own.
func (k *keeper) crashed() string {
	k.t.Helper()
	path := snapshotPath(k.t)
	for _, suffix := range []string{"", ".prev"} {
		if held, err := os.ReadFile(k.path + suffix); err == nil {
			require.NoError(k.t, os.WriteFile(path+suffix, held, 0o600))
		}
	}
	return path
}

// do carries out a set over the typed API.
func (k *keeper) do(r *protocol.StorageRequest) error {
	ctx, s := context.Background(), k.Store()
	switch r.RequestType {
	case protocol.StorageSetBrokerOffset:
		return s.SetEndOffset(ctx, r.Cluster, r.Topic, protocol.EndOffset{
			Partition: r.Partition, TopicPartitionCount: r.TopicPartitionCount, Offset: r.Offset, Timestamp: r.Timestamp,
			LogStartOffset: r.LogStartOffset,
		})
	case protocol.StorageSetConsumerOffset:
		return s.Commit(ctx, r.Cluster, r.Group, protocol.Commit{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Order: r.Order, Timestamp: r.Timestamp,
		})
	case protocol.StorageSetConsumerOwner:
		return s.SetOwner(ctx, r.Cluster, r.Group, protocol.PartitionOwner{
			Topic: r.Topic, Partition: r.Partition, Owner: r.Owner, ClientID: r.ClientID,
		})
	case protocol.StorageClearConsumerOwners:
		return s.ClearOwners(ctx, r.Cluster, r.Group)
	case protocol.StorageSetDeleteTopic:
		return s.DeleteTopic(ctx, r.Cluster, r.Topic)
	case protocol.StorageSetDeleteGroup:
		if r.Topic != "" {
			return s.DeleteGroupTopic(ctx, r.Cluster, r.Group, r.Topic)
		}
		return s.DeleteGroup(ctx, r.Cluster, r.Group)
	}
	panic("not a set: " + r.RequestType.String())
}

// ask makes a request of the channel protocol.
func (k *keeper) ask(kind protocol.StorageRequestConstant, cluster, group, topic string) any {
	r := &protocol.StorageRequest{
		RequestType: kind, Cluster: cluster, Group: group, Topic: topic, Reply: make(chan any, 1),
	}
	k.Submit(r)
	return <-r.Reply
}

// names returns a list of the channel protocol, sorted.
func (k *keeper) names(kind protocol.StorageRequestConstant, cluster, topic string) []string {
	names, _ := k.ask(kind, cluster, "", topic).([]string)
	slices.Sort(names)
	return names
}

// unsettled are the states that depend on the difference alone, so Difference is compared in their place.
var unsettled = []protocol.PartitionState{
	protocol.PartitionRestored, protocol.PartitionAhead, protocol.PartitionCaughtUp, protocol.PartitionBehind,
}

// held returns everything that the store holds, as lines: all answers over both APIs, and the export, which also holds what
// no answer has (the greatest order of a group, when it last committed, curves). Without marks it leaves out what a replay
// cannot know: when a commit was observed and an owner was set, and whether a partition is RESTORED.
func (k *keeper) held(marks bool) string {
	k.t.Helper()
	var all strings.Builder
	state := func(s protocol.PartitionState) string {
		if !marks && slices.Contains(unsettled, s) {
			return "RESTORED, AHEAD, CAUGHTUP or BEHIND"
		}
		return string(s)
	}
	ctx, s := context.Background(), k.Store()
	for _, cluster := range k.names(protocol.StorageFetchClusters, "", "") {
		for _, topic := range k.names(protocol.StorageFetchTopics, cluster, "") {
			ends, err := s.EndOffsets(ctx, cluster, topic, nil)
			require.NoError(k.t, err)
			require.Equal(k.t, ends, k.ask(protocol.StorageFetchTopic, cluster, "", topic))
			fmt.Fprintf(&all, "%s topic %q: %v, of %q\n", cluster, topic, ends,
				k.names(protocol.StorageFetchConsumersForTopic, cluster, topic))
		}
		for _, group := range k.names(protocol.StorageFetchConsumers, cluster, "") {
			fmt.Fprintf(&all, "%s group %q\n", cluster, group)
			var typed protocol.Group
			require.NoError(k.t, s.Group(ctx, cluster, group, &typed))
			slices.SortFunc(typed.Topics, func(a, b protocol.GroupTopic) int { return cmp.Compare(a.Name, b.Name) })
			for _, topic := range typed.Topics {
				for number := range topic.Partitions {
					p := topic.Partitions[number]
					told := state(p.State)
					p.State = protocol.PartitionUnknown
					for i := range p.Commits {
						if !marks {
							p.Commits[i].ObservedTimestamp = 0
						}
					}
					fmt.Fprintf(&all, "  %s/%d: %s %+v\n", topic.Name, number, told, p)
				}
			}
			channel := k.ask(protocol.StorageFetchConsumer, cluster, group, "").(protocol.ConsumerTopics)
			for _, topic := range typed.Topics {
				for number, p := range channel[topic.Name] {
					told := state(p.State)
					p.State = protocol.PartitionUnknown
					for _, c := range p.Offsets {
						if c != nil && !marks {
							c.ObservedTimestamp = 0
						}
					}
					line, err := json.Marshal(p)
					require.NoError(k.t, err)
					fmt.Fprintf(&all, "  %s/%d: %s %v %s\n", topic.Name, number, told, p.BrokerOffsets, line)
				}
			}
		}
	}
	for _, line := range k.exported(marks) {
		all.WriteString(line + "\n")
	}
	return all.String()
}

// exported returns the export without its header and footer, its lines and the topics of each group sorted; marks as in held.
func (k *keeper) exported(marks bool) []string {
	k.t.Helper()
	var buffer bytes.Buffer
	require.NoError(k.t, k.Export(context.Background(), &buffer))
	lines := strings.Split(strings.TrimSuffix(buffer.String(), "\n"), "\n")
	lines = lines[1 : len(lines)-1]
	for i, line := range lines {
		var fields map[string]any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		require.NoError(k.t, decoder.Decode(&fields))
		if topics, ok := fields["topics"].([]any); ok {
			slices.SortFunc(topics, func(a, b any) int {
				return cmp.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
			})
			if !marks {
				unmark(fields, topics)
			}
		}
		sorted, err := json.Marshal(fields)
		require.NoError(k.t, err)
		lines[i] = string(sorted)
	}
	slices.Sort(lines)
	return lines
}

var lastCommit = regexp.MustCompile(`("kind":"group",)"last_commit":[^,]*,`)

// exportedMeanwhile is exported(false) for snapshots that were taken while requests arrived, without the time of the last commit of each
// group. If a topic of a group is deleted between its copy and the end of the snapshot, the snapshot has the deletion, and the replay
// does not bring the topic's commits back: not even that a commit of the group was seen at their time.
func (k *keeper) exportedMeanwhile() string {
	k.t.Helper()
	lines := k.exported(false)
	for i := range lines {
		lines[i] = lastCommit.ReplaceAllString(lines[i], "$1")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// unmark removes from an exported group when commits were observed and owners set.
func unmark(group map[string]any, topics []any) {
	delete(group, "last_owner")
	for _, topic := range topics {
		committed := false
		for _, partition := range topic.(map[string]any)["partitions"].([]any) {
			for _, commit := range partition.(map[string]any)["commits"].([]any) {
				committed = true
				delete(commit.(map[string]any), "observed_at")
			}
		}
		if !committed {
			delete(topic.(map[string]any), "last_commit")
		}
	}
}

// sameHeld compares everything that two stores hold, and shows what only one of them holds.
func sameHeld(t testing.TB, want, got, what string) {
	t.Helper()
	if want == got {
		return
	}
	wanted, gotten := strings.Split(want, "\n"), strings.Split(got, "\n")
	only := func(these, others []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(these), func(line string) bool { return slices.Contains(others, line) }), "\n")
	}
	require.FailNowf(t, "the stores differ", "want: %s\ngot:  %s\n%s", only(wanted, gotten), only(gotten, wanted), what)
}

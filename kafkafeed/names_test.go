package kafkafeed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/protocol"
)

// The group and topic that are found are those of the key, in whatever order keys come.
func TestNamesAreThoseOfTheKey(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	n := newNames()
	groups, topics := map[string]*groupNames{}, map[string]*topicNames{}
	for range 20_000 {
		group, topic := fmt.Sprint("g", random.IntN(20)), fmt.Sprint("t", random.IntN(3*fewTopics))
		foundGroup, foundTopic := n.find([]byte(group), []byte(topic))
		require.Equal(t, []string{group, topic}, []string{foundGroup, foundTopic})
		require.Equal(t, []string{group, topic}, []string{n.group.name, n.topic.name})
		if groups[group] == nil {
			groups[group] = n.group
		}
		require.Same(t, groups[group], n.group)
		if topics[group+" "+topic] == nil {
			topics[group+" "+topic] = n.topic
		}
		require.Same(t, topics[group+" "+topic], n.topic)
	}
	require.Equal(t, len(groups)+len(topics), n.count)
}

func TestNamesAreBounded(t *testing.T) {
	n := newNames()
	for i := range maxNames {
		n.find(fmt.Append(nil, "g", i), []byte("t"))
		n.trim()
		require.LessOrEqual(t, n.count, maxNames+2)
	}
}

// Usual commits are decoded without memory of their own.
func TestUsualCommitsAllocateNothing(t *testing.T) {
	for version := int16(3); version <= 4; version++ {
		record := &kgo.Record{Key: commitKeyBytes(1, "g", "orders", 7), Value: commitValueBytes(version, 42, 1700), Offset: 9}
		n := newNames()
		var commit protocol.Commit
		require.True(t, n.quick(record, &commit))
		require.Equal(t, protocol.Commit{Topic: "orders", Partition: 7, Offset: 42, Order: 9, Timestamp: 1700}, commit)
		require.Equal(t, "g", n.group.name)
		require.Zero(t, testing.AllocsPerRun(100, func() { n.quick(record, &commit) }))
	}
}

// Of the records of a partition that are kept apart until the log has been read, the newest remain, oldest first.
func TestSeedKeepsTheNewestCommits(t *testing.T) {
	for n := range 12 {
		all := seeds{}
		all.add(slices.Values([]commitKey{{"g", "t", 4}}))
		of := all["g"]["t"]
		for i := range n {
			require.True(t, of.take(3, &protocol.Commit{Partition: 4, Offset: int64(i)}, 5))
		}
		var want []protocol.Commit
		for i := max(0, n-5); i < n; i++ {
			want = append(want, protocol.Commit{Topic: "t", Partition: 4, Offset: int64(i)})
		}
		require.Equal(t, want, of.find(4).appendTo(nil, "t"))
		require.True(t, of.drop(4))
		require.Empty(t, of.find(4).commits)
		require.True(t, of.find(4).seen)
	}
}

// Partitions are found whether a group has all of a topic or a few, and a seed that was there keeps its records.
func TestSeedsAreFoundByPartition(t *testing.T) {
	all := seeds{}
	all.add(slices.Values([]commitKey{{"g", "t", 7}, {"g", "t", 0}, {"g", "u", 1}}))
	require.True(t, all["g"]["t"].take(0, &protocol.Commit{Partition: 7, Offset: 1}, 5))
	all.add(slices.Values([]commitKey{{"g", "t", 1}, {"g", "t", 7}, {"h", "t", 7}}))
	for partition := range int32(9) {
		found := all["g"]["t"].find(partition)
		require.Equal(t, slices.Contains([]int32{0, 1, 7}, partition), found != nil, partition)
		if found != nil {
			require.Equal(t, partition, found.partition)
		}
	}
	require.Len(t, all["g"]["t"].find(7).commits, 1)
	require.False(t, all["g"]["u"].take(0, &protocol.Commit{Partition: 7}, 5))
	require.False(t, all["g"]["u"].drop(0))
	var none *topicSeeds
	require.False(t, none.take(0, &protocol.Commit{}, 5))
	require.False(t, none.drop(0))
}

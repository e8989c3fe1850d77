package kafkafeed

import (
	"fmt"
	"math/rand/v2"
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
		s := &seed{}
		for i := range n {
			s.add(3, &protocol.Commit{Offset: int64(i)}, 5)
		}
		var kept []int64
		for _, commit := range s.inOrder(nil) {
			kept = append(kept, commit.Offset)
		}
		var want []int64
		for i := max(0, n-5); i < n; i++ {
			want = append(want, int64(i))
		}
		require.Equal(t, want, kept)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// snapshot is what one poll saw of Kafka. What a request failed to tell is missing from it and marked as such, so that
// nobody takes it for something that is gone.
type snapshot struct {
	// at is when the commits were read.
	at time.Time

	topics       map[string]topicSeen
	topicsListed bool // topics holds every topic there is

	groups       map[string]groupSeen
	groupsListed bool // groups holds every group there is

	// problems are the requests that failed, for the user to know.
	problems []error
}

// topicSeen is one topic of a snapshot.
type topicSeen struct {
	id         kadm.TopicID    // zero where the brokers know no ids
	partitions int32           // 0 where they could not be loaded
	starts     map[int32]int64 // the first offsets that the partitions still hold
	ends       map[int32]int64
}

// groupSeen is one group of a snapshot.
type groupSeen struct {
	commits      map[string]map[int32]int64
	commitsKnown bool // commits holds every commit of the group
	owners       map[string]map[int32]owner
	ownersKnown  bool // owners holds every assigned partition, and the assignment stands
}

// owner is who consumes a partition.
type owner struct {
	host     string
	clientID string
}

// gatherer reads a Kafka cluster.
type gatherer struct {
	client *kgo.Client
	admin  *kadm.Client
	now    func() time.Time
}

func newGatherer(client *kgo.Client) *gatherer {
	return &gatherer{client: client, admin: kadm.NewClient(client), now: time.Now}
}

// gather reads topics, groups, commits and end offsets. It returns an error where there is nothing to show for the poll at
// all; what failed in part is in the problems of the snapshot.
//
// Commits are read before end offsets: a group that commits in between then looks a little more behind than it is, where
// the other way round it would look ahead of the brokers.
//
// What of knownTopics and knownGroups is not in the snapshot is gone, where that has them all listed.
func (g *gatherer) gather(ctx context.Context, knownTopics, knownGroups []string) (*snapshot, error) {
	s := &snapshot{
		topics: make(map[string]topicSeen),
		groups: make(map[string]groupSeen),
	}
	if err := g.topics(ctx, s); err != nil {
		return nil, err
	}
	g.confirmTopics(ctx, s, knownTopics)
	g.groups(ctx, s)
	g.confirmGroups(ctx, s, knownGroups)
	s.at = g.now()
	g.commits(ctx, s)
	// Starts before ends, so that no log seems to begin beyond its end.
	g.offsets(ctx, s, "start", g.admin.ListStartOffsets, func(t topicSeen) map[int32]int64 { return t.starts })
	g.offsets(ctx, s, "end", g.admin.ListEndOffsets, func(t topicSeen) map[int32]int64 { return t.ends })
	return s, nil
}

// topics lists the topics with a request of its own, since the client's cache may not know the newest.
func (g *gatherer) topics(ctx context.Context, s *snapshot) error {
	request := kmsg.NewPtrMetadataRequest() // nil topics: all of them
	response, err := request.RequestWith(ctx, g.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	s.topicsListed = true
	for _, topic := range response.Topics {
		if topic.Topic == nil || topic.IsInternal || topic.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			continue
		}
		seen := topicSeen{id: topic.TopicID, starts: make(map[int32]int64), ends: make(map[int32]int64)}
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			s.problem("load topic "+*topic.Topic, err)
		} else {
			seen.partitions = int32(len(topic.Partitions))
		}
		s.topics[*topic.Topic] = seen
	}
	return nil
}

// offsets lists the start or end offsets of all listed topics, and sorts them into what to says of a topic.
func (g *gatherer) offsets(
	ctx context.Context, s *snapshot, which string,
	list func(context.Context, ...string) (kadm.ListedOffsets, error), to func(topicSeen) map[int32]int64,
) {
	names := make([]string, 0, len(s.topics))
	for name, topic := range s.topics {
		if topic.partitions > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return // no names would mean every topic
	}
	listed, err := list(ctx, names...)
	if err != nil {
		s.problem("list "+which+" offsets", err)
	}
	listed.Each(func(offset kadm.ListedOffset) {
		topic, ok := s.topics[offset.Topic]
		switch {
		case !ok, errors.Is(offset.Err, kerr.UnknownTopicOrPartition): // deleted since it was listed
		case offset.Err != nil:
			s.problem(fmt.Sprintf("list %s offset of %s/%d", which, offset.Topic, offset.Partition), offset.Err)
		case offset.Partition >= 0 && offset.Offset >= 0:
			to(topic)[offset.Partition] = offset.Offset
		}
	})
}

// complete tells whether the snapshot holds everything that there is.
func (s *snapshot) complete() bool {
	return s.topicsListed && s.groupsListed && len(s.problems) == 0
}

func (s *snapshot) problem(what string, err error) {
	s.problems = append(s.problems, fmt.Errorf("%s: %w", what, err))
}

// topicByID finds the name of a topic, "" where it is not listed.
func (s *snapshot) topicByID(id kadm.TopicID) string {
	for name, topic := range s.topics {
		if topic.id == id {
			return name
		}
	}
	return ""
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	id         kadm.TopicID // zero where the brokers know no ids
	partitions int32        // 0 where they could not be loaded
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

// gather reads groups, commits, topics and end offsets. It returns an error where there is nothing to show for the poll
// at all; what failed in part is in the problems of the snapshot.
//
// Commits are read before end offsets: a group that commits in between then looks a little more behind than it is, where
// the other way round it would look ahead of the brokers.
func (g *gatherer) gather(ctx context.Context) (*snapshot, error) {
	s := &snapshot{
		topics: make(map[string]topicSeen),
		groups: make(map[string]groupSeen),
	}
	g.groups(ctx, s)
	s.at = g.now()
	g.commits(ctx, s)
	if err := g.topics(ctx, s); err != nil {
		return nil, err
	}
	g.ends(ctx, s)
	return s, nil
}

// groups lists the groups and who consumes what.
func (g *gatherer) groups(ctx context.Context, s *snapshot) {
	listed, err := g.admin.ListGroups(ctx)
	if err != nil {
		s.problem("list groups", err)
	}
	s.groupsListed = err == nil
	var names []string
	for name, group := range listed {
		// Connect workers and share groups have no commits to lag with.
		if group.ProtocolType == "consumer" || group.ProtocolType == "" {
			names = append(names, name)
			s.groups[name] = groupSeen{}
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	described, err := g.admin.DescribeGroups(ctx, names...)
	if err != nil {
		s.problem("describe groups", err)
	}
	var consumers []string // groups of the newer protocol, which the older request does not describe
	for _, name := range names {
		group, ok := described[name]
		switch {
		case !ok:
		case errors.Is(group.Err, kerr.GroupIDNotFound), group.Err == nil && group.State == "Dead":
			consumers = append(consumers, name)
		case group.Err != nil:
			s.problem("describe group "+name, group.Err)
		// While a group rebalances its assignment says nothing.
		case group.State == "Stable", group.State == "Empty":
			s.setOwners(name, classicOwners(group))
		}
	}
	if len(consumers) > 0 {
		g.consumerGroups(ctx, s, consumers)
	}
}

// consumerGroups describes groups of the consumer protocol of KIP-848. Brokers that do not know it have no such groups.
func (g *gatherer) consumerGroups(ctx context.Context, s *snapshot, names []string) {
	described, _ := g.admin.DescribeConsumerGroups(ctx, names...)
	for _, name := range names {
		group, ok := described[name]
		if !ok || group.Err != nil {
			continue
		}
		owners := make(map[string]map[int32]owner)
		for _, member := range group.Members {
			for topic, partitions := range member.Assignment {
				for partition := range partitions {
					setOwner(owners, topic, partition, member.ClientHost, member.ClientID)
				}
			}
		}
		s.setOwners(name, owners)
	}
}

// classicOwners are the owners by the assignment of a group of the classic protocol.
func classicOwners(group kadm.DescribedGroup) map[string]map[int32]owner {
	owners := make(map[string]map[int32]owner)
	for _, member := range group.Members {
		assigned, ok := member.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, topic := range assigned.Topics {
			for _, partition := range topic.Partitions {
				setOwner(owners, topic.Topic, partition, member.ClientHost, member.ClientID)
			}
		}
	}
	return owners
}

func setOwner(owners map[string]map[int32]owner, topic string, partition int32, host, clientID string) {
	if owners[topic] == nil {
		owners[topic] = make(map[int32]owner)
	}
	// The JVM's way to print an address has a slash before it.
	owners[topic][partition] = owner{host: strings.TrimPrefix(host, "/"), clientID: clientID}
}

// commits reads what the listed groups have committed.
func (g *gatherer) commits(ctx context.Context, s *snapshot) {
	names := make([]string, 0, len(s.groups))
	for name := range s.groups {
		names = append(names, name)
	}
	for name, fetched := range g.admin.FetchManyOffsets(ctx, names...) {
		if fetched.Err != nil {
			// A group that was deleted since it was listed is no problem: the next listing does not have it.
			if !errors.Is(fetched.Err, kerr.GroupIDNotFound) {
				s.problem("fetch commits of group "+name, fetched.Err)
			}
			continue
		}
		group := s.groups[name]
		group.commits = make(map[string]map[int32]int64)
		group.commitsKnown = true
		for topic, partitions := range fetched.Fetched {
			for partition, response := range partitions {
				if response.Err != nil {
					group.commitsKnown = false
					s.problem(fmt.Sprintf("fetch commit of group %s for %s/%d", name, topic, partition), response.Err)
					continue
				}
				if response.At < 0 {
					continue
				}
				if group.commits[topic] == nil {
					group.commits[topic] = make(map[int32]int64)
				}
				group.commits[topic][partition] = response.At
			}
		}
		s.groups[name] = group
	}
}

// topics lists the topics with a request of its own, since the client's cache may not know the newest.
func (g *gatherer) topics(ctx context.Context, s *snapshot) error {
	request := kmsg.NewPtrMetadataRequest() // nil topics: all of them
	response, err := request.RequestWith(ctx, g.client)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	s.topicsListed = true
	for _, topic := range response.Topics {
		if topic.Topic == nil || topic.IsInternal || topic.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			continue
		}
		seen := topicSeen{id: topic.TopicID, ends: make(map[int32]int64)}
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			s.problem("load topic "+*topic.Topic, err)
		} else {
			seen.partitions = int32(len(topic.Partitions))
		}
		s.topics[*topic.Topic] = seen
	}
	return nil
}

// ends reads the end offsets of all listed topics.
func (g *gatherer) ends(ctx context.Context, s *snapshot) {
	names := make([]string, 0, len(s.topics))
	for name := range s.topics {
		names = append(names, name)
	}
	if len(names) == 0 {
		return // no names would mean every topic
	}
	listed, err := g.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		s.problem("list end offsets", err)
	}
	listed.Each(func(end kadm.ListedOffset) {
		topic, ok := s.topics[end.Topic]
		switch {
		case !ok, errors.Is(end.Err, kerr.UnknownTopicOrPartition): // deleted since it was listed
		case end.Err != nil:
			s.problem(fmt.Sprintf("list end offset of %s/%d", end.Topic, end.Partition), end.Err)
		case end.Partition >= 0 && end.Offset >= 0:
			topic.ends[end.Partition] = end.Offset
		}
	})
}

func (s *snapshot) setOwners(name string, owners map[string]map[int32]owner) {
	group := s.groups[name]
	group.owners, group.ownersKnown = owners, true
	s.groups[name] = group
}

func (s *snapshot) problem(what string, err error) {
	s.problems = append(s.problems, fmt.Errorf("%s: %w", what, err))
}

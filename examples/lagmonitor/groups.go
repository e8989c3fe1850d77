package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
		case newerProtocol(group):
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

// newerProtocol tells whether the description of a group that is listed looks as if it were not of the classic protocol:
// brokers then say, each in its way, that there is nothing to describe.
func newerProtocol(group kadm.DescribedGroup) bool {
	if group.Err != nil {
		return errors.Is(group.Err, kerr.GroupIDNotFound)
	}
	return group.State == "Dead" || group.State == "Stable" && len(group.Members) == 0
}

// consumerGroups describes groups of the consumer protocol of KIP-848. Brokers that do not know it have no such groups.
func (g *gatherer) consumerGroups(ctx context.Context, s *snapshot, names []string) {
	request := kmsg.NewPtrConsumerGroupDescribeRequest()
	request.Groups = names
	for _, shard := range g.client.RequestSharded(ctx, request) {
		response, ok := shard.Resp.(*kmsg.ConsumerGroupDescribeResponse)
		if shard.Err != nil || !ok {
			continue
		}
		for _, group := range response.Groups {
			if group.ErrorCode == 0 {
				s.setOwners(group.Group, s.consumerOwners(group.Members))
			}
		}
	}
}

// consumerOwners are the owners by the assignment of a group of the consumer protocol.
func (s *snapshot) consumerOwners(members []kmsg.ConsumerGroupDescribeResponseGroupMember) map[string]map[int32]owner {
	owners := make(map[string]map[int32]owner)
	for _, member := range members {
		for _, assigned := range member.Assignment.TopicPartitions {
			topic := assigned.Topic
			if topic == "" { // some brokers give just the id
				topic = s.topicByID(assigned.TopicID)
			}
			for _, partition := range assigned.Partitions {
				setOwner(owners, topic, partition, member.ClientHost, member.ClientID)
			}
		}
	}
	return owners
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
	if topic == "" {
		return
	}
	if owners[topic] == nil {
		owners[topic] = make(map[int32]owner)
	}
	owners[topic][partition] = owner{host: hostOnly(host), clientID: clientID}
}

// hostOnly takes off what brokers put around the address of a client: the JVM prints a slash before it, some add a port.
func hostOnly(host string) string {
	host = strings.TrimPrefix(host, "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// commits reads what the listed groups have committed.
func (g *gatherer) commits(ctx context.Context, s *snapshot) {
	for name, fetched := range g.admin.FetchManyOffsets(ctx, slices.Collect(maps.Keys(s.groups))...) {
		group, ok := s.groups[name]
		if !ok || fetched.Err != nil {
			// A group that was deleted since it was listed is no problem: the next listing does not have it.
			if !errors.Is(fetched.Err, kerr.GroupIDNotFound) {
				s.problem("fetch commits of group "+name, fetched.Err)
			}
			continue
		}
		group.commits = make(map[string]map[int32]int64)
		group.commitsKnown = true
		for topic, partitions := range fetched.Fetched {
			for partition, response := range partitions {
				switch {
				case response.Err != nil:
					group.commitsKnown = false
					s.problem(fmt.Sprintf("fetch commit of group %s for %s/%d", name, topic, partition), response.Err)
				case topic == "", response.At < 0: // no such topic any more, or no commit
				case group.commits[topic] == nil:
					group.commits[topic] = map[int32]int64{partition: response.At}
				default:
					group.commits[topic][partition] = response.At
				}
			}
		}
		s.groups[name] = group
	}
}

func (s *snapshot) setOwners(name string, owners map[string]map[int32]owner) {
	group := s.groups[name]
	group.owners, group.ownersKnown = owners, true
	s.groups[name] = group
}

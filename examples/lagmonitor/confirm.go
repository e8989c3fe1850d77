package main

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A listing leaves out what the monitor is no longer allowed to see, without a word. So whatever the store has and a
// listing has not is asked for by name: brokers then tell the one from the other.

// confirmTopics adds those of the known topics to the snapshot that are not listed and yet not gone.
func (g *gatherer) confirmTopics(ctx context.Context, s *snapshot, known []string) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = false
	for _, name := range known {
		if _, listed := s.topics[name]; !listed {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(name)
			request.Topics = append(request.Topics, topic)
		}
	}
	if len(request.Topics) == 0 {
		return
	}
	response, err := request.RequestWith(ctx, g.client)
	if err != nil {
		s.topicsListed = false
		s.problem("look for missing topics", err)
		return
	}
	for _, topic := range response.Topics {
		err := kerr.ErrorForCode(topic.ErrorCode)
		if topic.Topic == nil || errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue
		}
		// Also without an error: then it was created again in between, and the next poll lists it.
		if err != nil {
			s.problem("load topic "+*topic.Topic, err)
		}
		s.topics[*topic.Topic] = topicSeen{}
	}
}

// confirmGroups adds those of the known groups to the snapshot that are not listed and yet not gone.
func (g *gatherer) confirmGroups(ctx context.Context, s *snapshot, known []string) {
	request := kmsg.NewPtrDescribeGroupsRequest()
	for _, name := range known {
		if _, listed := s.groups[name]; !listed {
			request.Groups = append(request.Groups, name)
		}
	}
	if len(request.Groups) == 0 {
		return
	}
	for _, shard := range g.client.RequestSharded(ctx, request) {
		response, ok := shard.Resp.(*kmsg.DescribeGroupsResponse)
		if shard.Err != nil || !ok {
			s.groupsListed = false
			s.problem("look for missing groups", shard.Err)
			continue
		}
		for _, group := range response.Groups {
			err := kerr.ErrorForCode(group.ErrorCode)
			if errors.Is(err, kerr.GroupIDNotFound) || err == nil && group.State == "Dead" {
				continue
			}
			if err != nil {
				s.problem("describe group "+group.Group, err)
			}
			s.groups[group.Group] = groupSeen{}
		}
	}
}

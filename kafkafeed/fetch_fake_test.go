package kafkafeed

import (
	"sync/atomic"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuseFetch answers every fetch like a broker that does not grant Read.
func refuseFetch(cluster *kfake.Cluster) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		request := r.(*kmsg.FetchRequest)
		response := request.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range request.Topics {
			answer := kmsg.NewFetchResponseTopic()
			answer.Topic, answer.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				partition := kmsg.NewFetchResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				answer.Partitions = append(answer.Partitions, partition)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	}
}

// emptyFetch answers a fetch as if there were nothing to read.
func emptyFetch(request *kmsg.FetchRequest) *kmsg.FetchResponse {
	response := request.ResponseKind().(*kmsg.FetchResponse)
	for _, t := range request.Topics {
		answer := kmsg.NewFetchResponseTopic()
		answer.Topic, answer.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			partition := kmsg.NewFetchResponseTopicPartition()
			partition.Partition = p.Partition
			answer.Partitions = append(answer.Partitions, partition)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response
}

// hideGroups answers every list of groups like brokers that do not lead any log partition yet, and counts the answers.
func hideGroups(cluster *kfake.Cluster, hidden *atomic.Bool, answers *atomic.Int64) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !hidden.Load() {
			return nil, nil, false
		}
		answers.Add(1)
		return r.ResponseKind(), nil, true
	}
}

// refuseJoin answers every member like a broker that does not grant the group.
func refuseJoin(cluster *kfake.Cluster) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := r.ResponseKind().(*kmsg.JoinGroupResponse)
		response.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return response, nil, true
	}
}

// brokers returns the brokers in the metadata.
func (f *fake) brokers() (brokers []kmsg.MetadataResponseBroker) {
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(f.t.Context(), f.client)
	require.NoError(f.t, err)
	return response.Brokers
}

// hideTopics answers requests for all topics like a broker that knows of none yet, and counts the answers.
func hideTopics(cluster *kfake.Cluster, brokers []kmsg.MetadataResponseBroker, hidden *atomic.Bool, answers *atomic.Int64) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !hidden.Load() || r.(*kmsg.MetadataRequest).Topics != nil {
			return nil, nil, false
		}
		answers.Add(1)
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		response.Brokers = brokers
		return response, nil, true
	}
}

// refuseTopics answers like brokers that do not grant Describe: they list no topic, and refuse to describe one by name. It counts the
// refusals.
func refuseTopics(cluster *kfake.Cluster, brokers []kmsg.MetadataResponseBroker, hidden *atomic.Bool, answers *atomic.Int64) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !hidden.Load() {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		response.Brokers = brokers
		for _, t := range r.(*kmsg.MetadataRequest).Topics {
			answers.Add(1)
			refused := kmsg.NewMetadataResponseTopic()
			refused.Topic, refused.ErrorCode = t.Topic, kerr.TopicAuthorizationFailed.Code
			response.Topics = append(response.Topics, refused)
		}
		return response, nil, true
	}
}

package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// ErrNoRecord is returned by RecordTime if there is no record at the offset or after it.
var ErrNoRecord = errors.New("kafkafeed: no record at or after the offset")

// RecordTime returns the time of the first record of a partition at or after an offset, and the source of that time. If the offset is
// the commit of a group with a lag, the age of the record is the group's time lag. RecordTime reads from the leader, for which the
// feed needs the right to read the topic. It returns ErrNoRecord if there is no such record, and an error while the feed does not run.
func (f *Feed) RecordTime(ctx context.Context, topic string, partition int32, offset int64) (time.Time, protocol.TimeSource, error) {
	record, err := f.recordAt(ctx, topic, partition, offset)
	if err != nil {
		return time.Time{}, "", fmt.Errorf("read record %d of partition %d of topic %q: %w", offset, partition, topic, err)
	}
	if record.Attrs.TimestampType() == 1 {
		return record.Timestamp, protocol.TimeSourceBroker, nil
	}
	return record.Timestamp, protocol.TimeSourceProducer, nil
}

func (f *Feed) recordAt(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
	client := f.live.Load()
	if client == nil {
		return nil, errors.New("feed does not run")
	}
	for {
		f := fetch{client: client, topic: topic, partition: partition, offset: offset, wait: time.Millisecond}
		records, next, err := f.do(ctx)
		if err != nil {
			return nil, err
		}
		// A group does not read the end of a transaction.
		i := slices.IndexFunc(records, func(r *kgo.Record) bool { return !r.Attrs.IsControl() })
		if i >= 0 {
			return records[i], nil
		}
		if next <= offset || f.end <= next {
			return nil, ErrNoRecord
		}
		offset = next // compaction removed all records of the batch
	}
}

// fetch is one read of one partition, apart from what the client consumes.
type fetch struct {
	client    *kgo.Client
	topic     string
	partition int32
	offset    int64
	wait      time.Duration // how long the leader may wait for a record
	end       int64         // the high watermark, set by do
}

// do returns the records at the offset, and the offset after them.
func (f *fetch) do(ctx context.Context) (records []*kgo.Record, next int64, err error) {
	leader, id, err := f.leader(ctx)
	if err != nil {
		return nil, 0, err
	}
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes, request.SessionEpoch = int32(f.wait.Milliseconds()), 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = f.topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = f.partition, f.offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	answer, err := f.client.Broker(int(leader)).Request(ctx, request)
	if err != nil {
		return nil, 0, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, 0, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, 0, errors.New("fetch was answered without the partition")
	}
	opts := kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Offset: f.offset, Topic: f.topic, Partition: f.partition}
	read, next := kgo.ProcessFetchPartition(opts, &response.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if len(response.Topics[0].Partitions[0].RecordBatches) == 0 && read.Err == nil {
		next = max(next, f.offset, read.HighWatermark) // a leader that has more records returns at least one batch
	}
	f.end = read.HighWatermark
	return read.Records, next, read.Err
}

// leader returns the broker that leads the partition, and the id of the topic.
func (f *fetch) leader(ctx context.Context) (int32, protocol.TopicID, error) {
	request := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(f.topic)
	request.Topics = append(request.Topics, t)
	response, err := f.client.RequestCachedMetadata(ctx, request, quiet)
	if err != nil {
		return 0, protocol.TopicID{}, err
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return 0, protocol.TopicID{}, err
		}
		for _, p := range t.Partitions {
			if p.Partition == f.partition && p.Leader >= 0 {
				return p.Leader, protocol.TopicID(t.TopicID), nil
			}
		}
	}
	return 0, protocol.TopicID{}, kerr.LeaderNotAvailable
}

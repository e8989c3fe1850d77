package kafkafeed

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// ladder holds the ages at which the past end offset of a partition is requested, until one is at or before the lowest commit of its
// groups. Each rung is three to five times the one before, so a few requests give any lag with a margin of about its own size.
var ladder = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour}

// The margins of the times of records.
const (
	// A broker dates a record when it appends it. Synchronised clocks differ by far less.
	brokerMargin = time.Second
	// A producer dates a record when it is handed over, and sends it within delivery.timeout.ms, by default two minutes. No margin
	// covers a producer's wrong clock, or a mirror that keeps times: the source of the time shows that.
	producerMargin = 2 * time.Minute
)

// halvings is how often, after the ladder, the span is halved in which the record at the lowest commit was written.
const halvings = 4

// backlog is a partition on which a group has a lag.
type backlog struct {
	commit int64 // the lowest of all groups, or the log start if that is greater
	end    int64
	asked  time.Time // the time that is requested
	failed bool      // reports whether the last request failed
	points []protocol.EndOffsetAt
	// before is the newest point at or before the commit, after the oldest point beyond it. A before with a zero Time is unknown.
	before, after protocol.EndOffsetAt
}

// seedTimes gives the store the past end offsets of the partitions on which a group has a lag, each partition once. So the age of a
// backlog does not start with the store. It returns an error that no retry can resolve.
func (f *Feed) seedTimes(ctx context.Context) error {
	f.times.Lock()
	defer f.times.Unlock()
	behind, err := f.backlogs(ctx)
	if err != nil || len(behind) == 0 {
		return err
	}
	now := time.Now()
	remaining := maps.Clone(behind)
	var faults faultList
	for _, age := range ladder {
		at := now.Add(-age)
		f.askTimes(ctx, remaining, &faults, func(*backlog) time.Time { return at })
		maps.DeleteFunc(remaining, func(_ commitKey, b *backlog) bool { return b.failed || !b.before.Time.IsZero() })
	}
	remaining = maps.Clone(behind)
	for range halvings {
		maps.DeleteFunc(remaining, func(_ commitKey, b *backlog) bool { return b.failed || !b.isWide() })
		f.askTimes(ctx, remaining, &faults, (*backlog).between)
	}
	f.asked(askTimes, faults.err())
	return f.tellTimes(ctx, behind)
}

// forgetSeeded lets the past end offsets of a topic be fetched again, if one of its name comes.
func (f *Feed) forgetSeeded(topic string) {
	f.times.Lock()
	defer f.times.Unlock()
	maps.DeleteFunc(f.seeded, func(key commitKey, _ bool) bool { return key.topic == topic })
}

// askTimes requests the first record at or after a time, one time for each partition.
func (f *Feed) askTimes(ctx context.Context, of map[commitKey]*backlog, faults *faultList, at func(*backlog) time.Time) {
	asked := make(partitions)
	for key, b := range of {
		asked[key.topic] = append(asked[key.topic], key.partition)
		b.asked, b.failed = at(b), true
	}
	err := f.askOffsets(ctx, asked, func(topic string, partition int32) int64 {
		return of[commitKey{topic: topic, partition: partition}].asked.UnixMilli()
	}, false, func(topic string, p *kmsg.ListOffsetsResponseTopicPartition) {
		if b := of[commitKey{topic: topic, partition: p.Partition}]; b != nil {
			b.failed = false
			b.add(p.Offset, p.Timestamp)
		}
	})
	if err != nil {
		faults.add(err)
	}
}

// backlogs returns the partitions on which a group has a lag, without those that were seeded.
func (f *Feed) backlogs(ctx context.Context) (map[commitKey]*backlog, error) {
	ctx = storage.Uncounted(ctx)
	groups, err := f.storedGroups(ctx)
	if err != nil {
		return nil, err
	}
	behind, now := make(map[commitKey]*backlog), time.Now()
	var stored protocol.Group
	for _, group := range groups {
		if err := f.target.store.Group(ctx, f.cluster, group, &stored); known(err) != nil {
			return nil, err
		}
		for i := range stored.Topics {
			t := &stored.Topics[i]
			for partition := range t.Partitions {
				p := &t.Partitions[partition]
				key := commitKey{topic: t.Name, partition: int32(partition)}
				if !p.DifferenceKnown || p.Difference <= 0 || len(p.Commits) == 0 || f.seeded[key] {
					continue
				}
				end := p.EndOffsets[len(p.EndOffsets)-1]
				position := max(p.Commits[len(p.Commits)-1].Offset, end-p.Difference)
				if b := behind[key]; b == nil {
					behind[key] = &backlog{commit: position, end: end, after: protocol.EndOffsetAt{Offset: end, Time: now}}
				} else {
					b.commit = min(b.commit, position)
				}
			}
		}
	}
	return behind, nil
}

// add records the first record at or after the requested time, and its time in ms; the offset is below 0 if all are older.
func (b *backlog) add(offset, timestamp int64) {
	asked := b.asked
	if offset < 0 || offset > b.end {
		offset = b.end
	}
	// The end did not move until this record came. A record from the future gives no information.
	came := time.UnixMilli(timestamp)
	if timestamp > asked.UnixMilli() && came.Before(b.after.Time) {
		b.take(protocol.EndOffsetAt{Offset: offset, Time: came})
	} else if offset <= b.commit {
		b.before = protocol.EndOffsetAt{Offset: offset, Time: asked}
	}
	// Records before the commit may have been deleted, so nothing is known of the requested time.
	if offset > b.commit {
		b.take(protocol.EndOffsetAt{Offset: offset, Time: asked})
	}
}

func (b *backlog) take(p protocol.EndOffsetAt) {
	b.points = append(b.points, p)
	if p.Offset <= b.commit {
		b.before = p
	} else if p.Time.Before(b.after.Time) {
		b.after = p
	}
}

// isWide reports whether the time of the record at the commit should be narrowed down further.
func (b *backlog) isWide() bool {
	return !b.before.Time.IsZero() && b.after.Time.Sub(b.before.Time) > brokerMargin
}

// between returns the next time to request: right after the record at the commit if that was found, otherwise the middle.
func (b *backlog) between() time.Time {
	if b.before.Offset == b.commit {
		return b.before.Time.Add(time.Millisecond)
	}
	return b.before.Time.Add(b.after.Time.Sub(b.before.Time) / 2)
}

// ascending returns the points in the form that the store accepts: by time, each moment once.
func (b *backlog) ascending() []protocol.EndOffsetAt {
	slices.SortStableFunc(b.points, func(x, y protocol.EndOffsetAt) int {
		return cmp.Or(cmp.Compare(x.Time.UnixMilli(), y.Time.UnixMilli()), cmp.Compare(x.Offset, y.Offset))
	})
	highest, last := int64(-1), int64(-1)
	return slices.DeleteFunc(b.points, func(p protocol.EndOffsetAt) bool {
		if p.Offset < highest || p.Time.UnixMilli() == last {
			return true
		}
		highest, last = p.Offset, p.Time.UnixMilli()
		return false
	})
}

func (f *Feed) tellTimes(ctx context.Context, behind map[commitKey]*backlog) error {
	topics := make(map[string]bool)
	for key := range behind {
		topics[key.topic] = true
	}
	appended := f.logAppendTopics(ctx, slices.Collect(maps.Keys(topics)))
	for key, b := range behind {
		if b.failed {
			f.timesFailed.Store(true)
			continue
		}
		margin, source := producerMargin, protocol.TimeSourceProducer
		if appended[key.topic] {
			margin, source = brokerMargin, protocol.TimeSourceBroker
		}
		points := b.ascending()
		for i := range points {
			points[i].Margin, points[i].Source = margin, source
		}
		err := known(f.target.store.SeedEndOffsets(ctx, f.cluster, key.topic, key.partition, points))
		if fatal(err) {
			return err
		}
		if err != nil {
			f.failed(askStoreWrites, err)
		}
		f.seeded[key] = true
	}
	return nil
}

// logAppendTopics returns those of some topics whose records the broker dates. If that is unknown, the producer dates them.
func (f *Feed) logAppendTopics(ctx context.Context, topics []string) map[string]bool {
	appended := make(map[string]bool)
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, topic := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"message.timestamp.type"}
		request.Resources = append(request.Resources, r)
	}
	response, err := request.RequestWith(ctx, f.client)
	var faults faultList
	if err != nil {
		faults.add(err)
		response = kmsg.NewPtrDescribeConfigsResponse()
	}
	for i := range response.Resources {
		r := &response.Resources[i]
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			faults.add(err)
		}
		for _, c := range r.Configs {
			if c.Value != nil && *c.Value == "LogAppendTime" {
				appended[r.ResourceName] = true
			}
		}
	}
	f.asked(askConfigs, faults.err())
	return appended
}

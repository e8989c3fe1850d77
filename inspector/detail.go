package inspector

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// errNotFound is what a request gets for what is not there and for what it may not see alike.
var errNotFound = errors.New("not found")

// group reads one group now, from the store itself.
func (h *Handler) group(ctx context.Context, cluster, name string) (*GroupDetail, error) {
	var group protocol.Group
	err := h.source.Group(storage.Uncounted(ctx), cluster, name, &group)
	if errors.Is(err, storage.ErrUnknownGroup) || errors.Is(err, storage.ErrUnknownCluster) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	out := DetailOf(cluster, name, &group, h.options.Status)
	out.Spark = h.historyOf(out.seriesKeys(), sparkLength).Messages
	return out, nil
}

// DetailOf returns everything about a group as of the moment at which it was taken, as api/v1/group has it, less the history. It
// sorts the topics of the group.
func DetailOf(cluster, name string, group *protocol.Group, options status.Options) *GroupDetail {
	out := &GroupDetail{At: millis(group.TakenAt), GroupRow: RowOf(cluster, name, group, options)}
	slices.SortFunc(group.Topics, func(a, b protocol.GroupTopic) int { return cmp.Compare(a.Name, b.Name) })
	for i := range group.Topics {
		out.TopicDetails = append(out.TopicDetails, topicOf(&group.Topics[i], group.TakenAt, options))
	}
	return out
}

func topicOf(t *protocol.GroupTopic, now time.Time, options status.Options) GroupTopic {
	verdict := status.OfTopic(t, now, options)
	out := GroupTopic{
		Topic: t.Name, Status: verdict.Status, Why: verdict.Why, WhyPartition: verdict.Partition, WhyPartitions: verdict.Partitions,
		Lag:        lagOf(status.LagOfTopic(t)),
		Partitions: make([]GroupPartition, len(t.Partitions)),
	}
	for i := range t.Partitions {
		out.Partitions[i] = partitionOf(&t.Partitions[i], i, now, options)
	}
	return out
}

func partitionOf(p *protocol.GroupPartition, number int, now time.Time, options status.Options) GroupPartition {
	verdict := status.OfPartition(p, now, options)
	out := GroupPartition{
		Partition: number, State: p.State, Status: verdict.Status, Why: verdict.Why, Owner: p.Owner, ClientID: p.ClientID,
		Lag: Lag{Lost: p.Lost}, Commits: make([]Commit, len(p.Commits)),
	}
	if status.Believable(p) {
		messages := p.CurrentLag
		out.Lag.Messages = &messages
		out.Lag.setTime(p.TimeLag)
	}
	for i := range p.Commits {
		c := &p.Commits[i]
		out.Commits[i] = Commit{Offset: c.Offset, Timestamp: c.Timestamp}
		if c.LagKnown {
			lag := c.Lag
			out.Commits[i].Lag = &lag
		}
	}
	if n := len(p.Commits); n > 0 {
		out.Committed = &out.Commits[n-1].Offset
	}
	if n := len(p.EndOffsets); n > 0 {
		end := p.EndOffsets[n-1]
		out.EndOffset = &end
		if age := p.EndOffsetAge; age >= 0 {
			ms := age.Milliseconds()
			out.EndOffsetAgeMs = &ms
		}
	}
	return out
}

// historyOf returns the newest n readings of some series together.
func (h *Handler) historyOf(keys []seriesKey, n int) History {
	c := h.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.history.sum(keys, n)
	switch {
	case out.Kept:
	case c.history.length == 0:
		out.Why = "no history is kept"
	case c.current.hasAny(keys):
		out.Why = "the history has no room left"
	default:
		out.Why = "nothing has been read yet"
	}
	return out
}

// topic makes the detail of a topic from a reading. The lag of each reader is that of the reading.
func (h *Handler) topic(ctx context.Context, r *reading, cluster, name string, allow func(cluster, group string) bool) (*TopicDetail, error) {
	ends, err := h.source.EndOffsets(storage.Uncounted(ctx), cluster, name, nil)
	if errors.Is(err, storage.ErrUnknownTopic) || errors.Is(err, storage.ErrUnknownCluster) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	out := &TopicDetail{At: millis(r.at), EndOffsets: make([]*int64, len(ends)), Readers: []TopicGroup{}}
	out.TopicRow = TopicRow{Cluster: cluster, Topic: name, Partitions: len(ends)}
	if i, ok := r.byTopic[groupKey{cluster, name}]; ok {
		out.InPerSecond = r.topics[i].InPerSecond
	}
	for i := range ends {
		if ends[i] >= 0 {
			out.EndOffsets[i] = &ends[i]
		}
	}
	for _, reader := range r.readers[groupKey{cluster, name}] {
		g := &r.groups[reader.group]
		if allow == nil || allow(g.Cluster, g.Group) {
			v := &reader.verdict
			out.Readers = append(out.Readers, TopicGroup{
				Group: g.Group, Status: v.Status, Why: v.Why, WhyPartition: v.Partition, WhyPartitions: v.Partitions, Lag: reader.lag,
			})
		}
	}
	slices.SortStableFunc(out.Readers, func(a, b TopicGroup) int {
		return cmp.Or(compareStatus(a.Status, b.Status), compareKnown(b.Lag.Messages, a.Lag.Messages))
	})
	out.Groups = len(out.Readers)
	return out, nil
}

// topicRows returns the topics of a reading with the number of groups that a request may see.
func (r *reading) topicRows(allow func(cluster, group string) bool) []TopicRow {
	rows := slices.Clone(r.topics)
	for i := range rows {
		for _, reader := range r.readers[groupKey{rows[i].Cluster, rows[i].Topic}] {
			g := &r.groups[reader.group]
			if allow == nil || allow(g.Cluster, g.Group) {
				rows[i].Groups++
			}
		}
	}
	return rows
}

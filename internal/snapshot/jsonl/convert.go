package jsonl

import (
	"errors"
	"fmt"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// never returns nil for Never, so that it is null, and the time otherwise.
func never(at *int64) *int64 {
	if *at == snapshot.Never {
		return nil
	}
	return at
}

func orNever(at *int64) int64 {
	if at == nil {
		return snapshot.Never
	}
	return *at
}

// topicToJSON makes the line of the topic. It points into the topic.
func topicToJSON(t *snapshot.Topic) *jsonTopic {
	to := &jsonTopic{
		Kind: kindTopic, Cluster: (*text)(&t.Cluster), Name: (*text)(&t.Name), PartitionCount: t.PartitionCount,
		Partitions: make([]jsonPartition, len(t.Partitions)),
	}
	if !t.ID.IsZero() {
		to.ID = &t.ID
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		ends := make([]jsonEndOffset, len(p.EndOffsets))
		for j := range p.EndOffsets {
			ends[j] = jsonEndOffset{Offset: &p.EndOffsets[j].Offset, Timestamp: &p.EndOffsets[j].Timestamp}
		}
		to.Partitions[i] = jsonPartition{
			Partition: &p.Number, Incarnation: p.Incarnation, LogStart: p.LogStart, EndOffsets: ends, Curve: p.Curve,
		}
	}
	return to
}

// topic makes the topic of the line, as a Writer takes it.
func (j *jsonTopic) topic() (*snapshot.Topic, error) {
	if j.Cluster == nil || j.Name == nil {
		return nil, errors.New("topic without cluster or name")
	}
	t := &snapshot.Topic{
		Cluster: string(*j.Cluster), Name: string(*j.Name), PartitionCount: j.PartitionCount,
		Partitions: make([]snapshot.Partition, len(j.Partitions)),
	}
	if j.ID != nil {
		t.ID = *j.ID
	}
	for i := range j.Partitions {
		p := &j.Partitions[i]
		if p.Partition == nil {
			return nil, fmt.Errorf("topic %q: partitions[%d] without partition", t.Name, i)
		}
		ends := make([]snapshot.EndOffset, len(p.EndOffsets))
		for k, e := range p.EndOffsets {
			if e.Offset == nil || e.Timestamp == nil {
				return nil, fmt.Errorf("topic %q: partition %d: end_offsets[%d] without offset or timestamp", t.Name,
					*p.Partition, k)
			}
			ends[k] = snapshot.EndOffset{Offset: *e.Offset, Timestamp: *e.Timestamp}
		}
		t.Partitions[i] = snapshot.Partition{
			Number: *p.Partition, Incarnation: p.Incarnation, LogStart: p.LogStart, EndOffsets: ends, Curve: p.Curve,
		}
	}
	return t, t.Validate()
}

// groupToJSON makes the line of the group. It points into the group.
func groupToJSON(g *snapshot.Group) *jsonGroup {
	to := &jsonGroup{
		Kind: kindGroup, Cluster: (*text)(&g.Cluster), Name: (*text)(&g.Name), LastCommit: never(&g.LastCommit),
		LastOwner: never(&g.LastOwner), Topics: make([]jsonGroupTopic, len(g.Topics)),
	}
	for i := range g.Topics {
		t := &g.Topics[i]
		partitions := make([]jsonGroupPartition, len(t.Partitions))
		for k := range t.Partitions {
			p := &t.Partitions[k]
			partitions[k] = jsonGroupPartition{
				Partition: &p.Number, Owner: text(p.Owner), ClientID: text(p.ClientID), DeletedOrder: p.DeletedOrder,
				Incarnation: p.Incarnation, Commits: commitsToJSON(p.Commits),
			}
		}
		to.Topics[i] = jsonGroupTopic{
			Name: (*text)(&t.Name), PartitionCount: t.PartitionCount, LastCommit: never(&t.LastCommit),
			Partitions: partitions,
		}
	}
	return to
}

func commitsToJSON(commits []protocol.StoredCommit) []jsonCommit {
	to := make([]jsonCommit, len(commits))
	for i := range commits {
		c := &commits[i]
		to[i] = jsonCommit{
			Offset: &c.Offset, Order: c.Order, Timestamp: &c.Timestamp, ObservedAt: c.ObservedTimestamp,
		}
		if c.LagKnown {
			to[i].Lag = &c.Lag
		}
	}
	return to
}

// group makes the group of the line, as a Writer takes it.
func (j *jsonGroup) group() (*snapshot.Group, error) {
	if j.Cluster == nil || j.Name == nil {
		return nil, errors.New("group without cluster or name")
	}
	g := &snapshot.Group{
		Cluster: string(*j.Cluster), Name: string(*j.Name), LastCommit: orNever(j.LastCommit),
		LastOwner: orNever(j.LastOwner), Topics: make([]snapshot.GroupTopic, len(j.Topics)),
	}
	for i := range j.Topics {
		if err := j.Topics[i].topic(&g.Topics[i]); err != nil {
			return nil, fmt.Errorf("group %q: topics[%d]: %w", g.Name, i, err)
		}
	}
	return g, g.Validate()
}

func (j *jsonGroupTopic) topic(t *snapshot.GroupTopic) error {
	if j.Name == nil {
		return errors.New("topic without name")
	}
	*t = snapshot.GroupTopic{
		Name: string(*j.Name), PartitionCount: j.PartitionCount, LastCommit: orNever(j.LastCommit),
		Partitions: make([]snapshot.GroupPartition, len(j.Partitions)),
	}
	for i := range j.Partitions {
		p := &j.Partitions[i]
		if p.Partition == nil {
			return fmt.Errorf("partitions[%d] without partition", i)
		}
		commits := make([]protocol.StoredCommit, len(p.Commits))
		for k, c := range p.Commits {
			if c.Offset == nil || c.Timestamp == nil {
				return fmt.Errorf("partition %d: commits[%d] without offset or timestamp", *p.Partition, k)
			}
			commits[k] = protocol.StoredCommit{
				Offset: *c.Offset, Order: c.Order, Timestamp: *c.Timestamp, ObservedTimestamp: c.ObservedAt,
			}
			if c.Lag != nil {
				commits[k].Lag, commits[k].LagKnown = *c.Lag, true
			}
		}
		t.Partitions[i] = snapshot.GroupPartition{
			Number: *p.Partition, Owner: string(p.Owner), ClientID: string(p.ClientID), DeletedOrder: p.DeletedOrder,
			Incarnation: p.Incarnation, Commits: commits,
		}
	}
	return nil
}

// positionsToJSON makes the positions of the header. It points into them.
func positionsToJSON(positions []snapshot.Position) []jsonPosition {
	to := make([]jsonPosition, len(positions))
	for i := range positions {
		p := &positions[i]
		to[i] = jsonPosition{Cluster: (*text)(&p.Cluster), Partition: &p.Partition, Offset: &p.Offset}
	}
	return to
}

func positionsOf(lines []jsonPosition) ([]snapshot.Position, error) {
	var positions []snapshot.Position
	for i, p := range lines {
		if p.Cluster == nil || p.Partition == nil || p.Offset == nil {
			return nil, fmt.Errorf("positions[%d] without cluster, partition or offset", i)
		}
		positions = append(positions, snapshot.Position{Cluster: string(*p.Cluster), Position: protocol.Position{Partition: *p.Partition, Offset: *p.Offset}})
	}
	return positions, nil
}

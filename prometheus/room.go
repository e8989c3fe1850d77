package prometheus

import (
	dto "github.com/prometheus/client_model/go"

	"github.com/lagkeeper/storage/protocol"
)

// room is the room that series take: their number, and their bytes in a scrape.
type room struct{ series, bytes int }

// rooms computes the room of a group. It is what the group's partitions need in the worst state, not in their present one:
// otherwise a group that is reset would make room for another, and take it back with its next commit.
type rooms struct {
	by Aggregation
	// state is the room of the state series, without the labels of the group; each is that of all other series.
	state, each room
}

func newRooms(o Options, states []*dto.LabelPair) rooms {
	r := rooms{by: o.Lags.By}
	for series, d := range lagDescriptions {
		if d.help[o.Lags.By] == "" {
			continue
		}
		if lagSeriesKind(series) == beyondEndMessages && o.Lags.By == PerPartition {
			continue // where there is one there is no lag_messages, which takes no less
		}
		bytes := len(o.Prefix) + len("consumergroup_") + len(d.name) + valueBytes
		if lagSeriesKind(series) != stateSeries {
			r.each.series++
			r.each.bytes += bytes
			continue
		}
		longest := 0
		for _, state := range states {
			longest = max(longest, pairBytes(state))
		}
		r.state = room{1, bytes + longest}
	}
	return r
}

// partitionBytes is the most that the label of a partition takes: their numbers have up to seven digits.
const partitionBytes = len(`partition="1048575",`)

// of returns the room for a group with these labels, without the topic.
func (r *rooms) of(group *protocol.Group, labels []*dto.LabelPair) (need room) {
	groupBytes := 0
	for _, pair := range labels {
		groupBytes += pairBytes(pair)
	}
	for i := range group.Topics {
		topic := &group.Topics[i]
		topicLabel := labelOf(topic.Name)
		bytes := groupBytes + pairBytes(labelPair("topic", topicLabel))
		if r.by == PerTopic {
			need.add(r.state, min(len(topic.Partitions), len(states)), bytes)
			need.add(r.each, 1, bytes)
			continue
		}
		bytes += partitionBytes
		committed := 0
		for p := range topic.Partitions {
			if len(topic.Partitions[p].Commits) > 0 {
				committed++
			}
		}
		need.add(r.state, len(topic.Partitions), bytes)
		need.add(r.each, committed, bytes)
	}
	return need
}

// add adds count times the room of some series whose labels take that many bytes each.
func (n *room) add(of room, times, labelBytes int) {
	n.series += of.series * times
	n.bytes += (of.bytes + of.series*labelBytes) * times
}

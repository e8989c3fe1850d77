package prometheus

import (
	dto "github.com/prometheus/client_model/go"

	"github.com/lagkeeper/storage/protocol"
)

// room is what series take: their number, and their bytes in a scrape.
type room struct{ series, bytes int }

// rooms says how much room a group is given. It is what its partitions need in the worst of states, not in the one that they
// are in: otherwise a group that is reset would make room for another, and take it back with its next commit.
type rooms struct {
	by Aggregation
	// state is the state series, without what the labels of a group take; each is all series but that.
	state, each room
}

func newRooms(o Options, states []*dto.LabelPair) rooms {
	r := rooms{by: o.Lags.By}
	for series, d := range lagDescriptions {
		if d.help[o.Lags.By] == "" {
			continue
		}
		if lagSeriesKind(series) == beyondEndMessages && o.Lags.By == PerPartition {
			continue // where it is, lag_messages is not, whose room is no less
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

// partitionBytes is what the label of a partition takes at most: their numbers have seven digits.
const partitionBytes = len(`partition="1048575",`)

// of returns the room for a group whose labels without a topic these are.
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

// add adds a number of times what some series take whose labels take so many bytes each.
func (n *room) add(of room, times, labelBytes int) {
	n.series += of.series * times
	n.bytes += (of.bytes + of.series*labelBytes) * times
}

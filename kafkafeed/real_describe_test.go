package kafkafeed

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
	"github.com/lagkeeper/storage/protocol"
)

// A row of ConsumerGroupCommand --describe: GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID.
const (
	rowGroup = iota
	rowTopic
	rowPartition
	rowCommit
	rowEnd
	rowLag
	rowConsumer
	rowHost
	rowClient
	rowWords
)

// The differences that docs/kafkafeed.md explains.
const (
	differsAhead    = "a commit beyond the end has a lag below 0"
	differsLost     = "the lag has messages that are lost"
	differsInternal = "an internal topic has rows"
	differsNoCommit = "a member without a commit has a row"
	differsSlash    = "a host begins with a slash"
	differsConsumer = "a member has an id"
)

// comparison counts how the store and Kafka's own tool differ over all groups.
type comparison struct {
	groups      map[string]bool // all groups that the tool has a row for
	owned       map[string]bool // groups with members in both
	cells       int             // cells that are equal or whose difference is explained
	explained   map[string]int  // by difference
	unexplained []string
}

// compare compares each cell of the tool's rows with the store, and the partitions of the store with the rows.
func compare(t *testing.T, rows [][]string, store storage.Store) *comparison {
	c := &comparison{groups: map[string]bool{}, owned: map[string]bool{}, explained: map[string]int{}}
	stored := storedPartitions(t, store)
	for _, row := range rows {
		if len(row) != rowWords || row[rowGroup] == "Consumer" {
			continue // a remark such as "Consumer group 'x' has no active members."
		}
		c.groups[row[rowGroup]] = true
		key := strings.Join(row[:rowCommit], " ")
		p, ok := stored[key]
		delete(stored, key)
		switch {
		case ok:
			c.row(key, row, p)
		case row[rowTopic] == logTopic:
			c.explained[differsInternal]++
		default:
			c.unexplained = append(c.unexplained, "not in the store: "+strings.Join(row, " "))
		}
	}
	for key := range stored {
		c.unexplained = append(c.unexplained, "not in the tool: "+key)
	}
	slices.Sort(c.unexplained)
	return c
}

// storedPartitions are the partitions of all groups with a commit or an owner, by "group topic partition".
func storedPartitions(t *testing.T, store storage.Store) map[string]protocol.GroupPartition {
	found := map[string]protocol.GroupPartition{}
	groups, err := store.Groups(t.Context(), "prod")
	require.NoError(t, err)
	for name := range groups {
		var group protocol.Group
		if store.Group(t.Context(), "prod", name, &group) != nil {
			continue // it was deleted meanwhile
		}
		for _, topic := range group.Topics {
			for partition, p := range topic.Partitions {
				if len(p.Commits) > 0 || p.Owner != "" || p.ClientID != "" {
					found[fmt.Sprint(name, " ", topic.Name, " ", partition)] = p
				}
			}
		}
	}
	return found
}

func (c *comparison) row(key string, row []string, p protocol.GroupPartition) {
	cell := func(column int, have string) {
		if want := row[column]; want != have {
			c.unexplained = append(c.unexplained, fmt.Sprintf("%s, column %d: tool %s, store %s", key, column, want, have))
			return
		}
		c.cells++
	}
	explain := func(difference string) {
		c.explained[difference]++
		c.cells++
	}
	if n := len(p.EndOffsets); n > 0 {
		cell(rowEnd, fmt.Sprint(p.EndOffsets[n-1]))
	} else {
		cell(rowEnd, "-")
	}
	if n := len(p.Commits); n > 0 {
		cell(rowCommit, fmt.Sprint(p.Commits[n-1].Offset))
		lag, err := strconv.ParseInt(row[rowLag], 10, 64)
		switch {
		case err == nil && lag < 0 && p.DifferenceKnown && p.Difference == lag && p.CurrentLag == 0:
			explain(differsAhead)
		case err == nil && p.Lost > 0 && uint64(lag) == p.CurrentLag+p.Lost:
			explain(differsLost)
		default:
			cell(rowLag, fmt.Sprint(p.CurrentLag))
		}
	} else {
		cell(rowCommit, "-")
		cell(rowLag, "-")
		c.explained[differsNoCommit]++
	}
	if row[rowHost] == "/"+p.Owner {
		explain(differsSlash)
	} else {
		cell(rowHost, orDash(p.Owner))
	}
	cell(rowClient, orDash(p.ClientID))
	if row[rowConsumer] != "-" {
		explain(differsConsumer)
		c.owned[row[rowGroup]] = p.ClientID != ""
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestRealKafkaIsTheSameCellByCell(t *testing.T) {
	w := newWorldWith(t, 1, map[string]string{"log.cleaner.backoff.ms": "200"})
	z := newZoo(w)
	z.topics()
	z.byHand()
	z.transactional()
	z.classic()
	z.modern()
	z.java()

	store := openStore(t, "")
	feed := w.feed(store)
	<-feed.Ready()
	feed.readsLog(t)
	var c *comparison
	defer func() {
		if t.Failed() && c != nil {
			t.Log(strings.Join(c.unexplained, "\n"))
		}
	}()
	eventually(t, "every cell is the same, or differs as explained", func() bool {
		c = compare(t, w.kafka.Describe(), store)
		return len(c.unexplained) == 0 && z.settled(c)
	})
	t.Logf("%d groups, %d cells; explained: %v", len(c.groups), c.cells, c.explained)
	require.GreaterOrEqual(t, len(c.groups), 60)
	for group := range z.shown {
		require.Contains(t, c.groups, group)
	}
	require.ElementsMatch(t, []string{differsAhead, differsLost, differsInternal, differsNoCommit, differsSlash, differsConsumer},
		slices.Collect(maps.Keys(c.explained)))
	require.Equal(t, 3, c.explained[differsLost], "groups below the start of the truncated topic")
	require.Equal(t, wide+7, c.explained[differsAhead], "of the third group of each of the topics wide, grown and empty, and the second of empty")
	status := feed.Status()
	require.Zero(t, status.Records[KindCorrupt]+status.Records[KindUnknown])
	require.Empty(t, status.Refused)
	if !kafkatest.IsOld() {
		require.Positive(t, status.Records[KindConsumerGroup])
		require.Positive(t, status.Records[KindShareGroup])
		require.NotContains(t, z.storedGroups(store), "share")
	}
}

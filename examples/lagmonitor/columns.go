package main

import (
	"cmp"
	"strconv"

	"charm.land/lipgloss/v2"

	"github.com/lagkeeper/storage/inspector"
)

func groupStyle(r *groupRow) lipgloss.Style { return statusStyle(r.Status) }

// lagStyle colours a lag, unless it is zero or unknown.
func lagStyle(r *groupRow) lipgloss.Style {
	if r.Lag.Messages == nil || *r.Lag.Messages == 0 && !r.Lag.AtLeast {
		return normal
	}
	return statusStyle(r.Status)
}

// groupColumns are the columns of the table of groups, from left to right.
var groupColumns = []column[groupRow]{
	{title: "STATE", cell: func(r *groupRow) string { return statusName(r.Status) }, paint: groupStyle, compare: byAlarm},
	{title: "CLUSTER", seldom: true, flexible: true, rank: 1, cell: func(r *groupRow) string { return r.shownCluster },
		compare: by("cluster")},
	{title: "GROUP", flexible: true, cell: func(r *groupRow) string { return printable(r.Group) },
		compare: by("group")},
	{title: "TOPIC", flexible: true, rank: 2, cell: func(r *groupRow) string { return printable(r.topic) },
		compare: func(a, b *groupRow) int { return cmp.Compare(a.topic, b.topic) }},
	{title: "PARTS", right: true, rank: 9, cell: func(r *groupRow) string { return strconv.Itoa(r.Partitions) },
		compare: func(a, b *groupRow) int { return cmp.Compare(b.Partitions, a.Partitions) }},
	{title: "MEMBERS", right: true, rank: 8, cell: func(r *groupRow) string { return strconv.Itoa(r.Members) },
		compare: by("members")},
	{title: "LAG", right: true, cell: func(r *groupRow) string { return lagText(r.Lag) }, paint: lagStyle,
		compare: by("lag")},
	{title: "LOST", right: true, rank: 1, seldom: true, cell: func(r *groupRow) string { return lostText(r.Lag) },
		paint:   func(*groupRow) lipgloss.Style { return red },
		compare: func(a, b *groupRow) int { return cmp.Compare(b.Lag.Lost, a.Lag.Lost) }},
	{title: "TIME LAG", right: true, rank: 1, cell: func(r *groupRow) string { return timeLagText(r.Lag) },
		brief: func(r *groupRow) string { return timeLagBrief(r.Lag) }, briefRank: 5, paint: lagStyle,
		compare: by("time")},
	{title: "TREND", rank: 6, cell: func(r *groupRow) string { return sparkline(r.trend) }, paint: groupStyle},
	{title: "IN/S", right: true, rank: 7, cell: func(r *groupRow) string { return rateText(r.Flow.InPerSecond) },
		compare: by("in")},
	{title: "OUT/S", right: true, rank: 7, cell: func(r *groupRow) string { return rateText(r.Flow.OutPerSecond) },
		compare: by("out")},
	{title: "CATCH UP", right: true, rank: 5, cell: func(r *groupRow) string { return catchUpText(r.Flow.CatchUpMs) },
		compare: by("catch-up")},
	{title: "COMMITTED", right: true, rank: 4, cell: func(r *groupRow) string { return agoText(r.at, r.LastCommit) },
		compare: func(a, b *groupRow) int { return by("commit")(b, a) }},
}

// partitionRow is a partition of a group as the table shows it.
type partitionRow struct {
	inspector.GroupPartition
	at    int64 // time of the reading, in Unix milliseconds
	topic string
}

// committedAt is the time of the partition's last commit, nil if there was none.
func (r *partitionRow) committedAt() *int64 {
	if n := len(r.Commits); n > 0 {
		return &r.Commits[n-1].Timestamp
	}
	return nil
}

func partitionRows(g *inspector.GroupDetail) (rows []*partitionRow) {
	for i := range g.TopicDetails {
		t := &g.TopicDetails[i]
		for p := range t.Partitions {
			rows = append(rows, &partitionRow{t.Partitions[p], g.At, t.Topic})
		}
	}
	return rows
}

func partitionStyle(r *partitionRow) lipgloss.Style { return statusStyle(r.Status) }

func offsetText(offset *int64) string {
	if offset == nil {
		return unknown
	}
	return strconv.FormatInt(*offset, 10)
}

// partitionColumns are the columns of the table of partitions.
var partitionColumns = []column[partitionRow]{
	{title: "STATE", cell: func(r *partitionRow) string { return statusName(r.Status) }, paint: partitionStyle},
	{title: "TOPIC", flexible: true, cell: func(r *partitionRow) string { return printable(r.topic) }},
	{title: "PART", right: true, cell: func(r *partitionRow) string { return strconv.Itoa(r.Partition) }},
	{title: "OWNER", flexible: true, rank: 3, cell: func(r *partitionRow) string { return printable(r.Owner) }},
	{title: "CLIENT", flexible: true, rank: 5, cell: func(r *partitionRow) string { return printable(r.ClientID) }},
	{title: "COMMIT", right: true, rank: 2, cell: func(r *partitionRow) string { return offsetText(r.Committed) }},
	{title: "END", right: true, rank: 2, cell: func(r *partitionRow) string { return offsetText(r.EndOffset) }},
	{title: "LAG", right: true, cell: func(r *partitionRow) string { return lagText(r.Lag) }, paint: partitionStyle},
	{title: "LOST", right: true, seldom: true, cell: func(r *partitionRow) string { return lostText(r.Lag) },
		paint: func(*partitionRow) lipgloss.Style { return red }},
	{title: "TIME LAG", right: true, rank: 1, cell: func(r *partitionRow) string { return timeLagText(r.Lag) },
		brief: func(r *partitionRow) string { return timeLagBrief(r.Lag) }, briefRank: 6},
	{title: "COMMITTED", right: true, rank: 4, cell: func(r *partitionRow) string { return agoText(r.at, r.committedAt()) }},
}

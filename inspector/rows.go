package inspector

import (
	"cmp"
	"html/template"
	"net/url"
	"slices"
	"strconv"

	"github.com/lagkeeper/storage/status"
)

// The rows of the two tables that may be long, a page of groups and the partitions of a group, are written here: a template
// takes five times as long for each. All that comes from a store goes through text or link.

// groupRows are the rows of a page of groups.
func groupRows(list *GroupList) template.HTML {
	var p picture
	p.Grow(1500 * len(list.Groups))
	for i := range list.Groups {
		p.group(&list.Groups[i], list.At)
	}
	return template.HTML(p.String())
}

func (p *picture) group(g *GroupRow, now int64) {
	p.WriteString(`<tr><td>`)
	p.badge(g.Status)
	p.WriteString(`</td><th scope="row"><a href="group?cluster=`)
	p.WriteString(url.QueryEscape(g.Cluster))
	p.WriteString(`&amp;name=`)
	p.WriteString(url.QueryEscape(g.Group))
	p.WriteString(`"><bdi>`)
	p.text(shownName(g.Group))
	p.WriteString(`</bdi></a> <small><bdi>`)
	p.text(shownName(g.Cluster))
	p.WriteString(`</bdi></small><br><small>`)
	p.text(g.Why)
	p.text(whereText(g.Status, g.WhyTopic, g.WhyPartition, g.WhyPartitions, g.Partitions))
	p.WriteString(`</small></th>`)
	for _, n := range [...]int{g.Topics, g.Members} {
		p.WriteString(`<td class="number less">`)
		p.WriteString(strconv.Itoa(n))
		p.WriteString(`</td>`)
	}
	for _, value := range [...]string{
		g.Lag.MessagesText(), g.Lag.TimeText(), rateText(g.Flow.InPerSecond), rateText(g.Flow.OutPerSecond),
		durationText(g.Flow.CatchUpMs), agoText(now, g.LastCommit),
	} {
		p.cell(value)
	}
	p.WriteString(`<td>`)
	p.spark(g.Spark)
	p.WriteString("</td></tr>\n")
}

// cell writes a number, or what stands for it.
func (p *picture) cell(value string) {
	p.WriteString(`<td class="number">`)
	p.text(value)
	p.WriteString(`</td>`)
}

func (p *picture) badge(s status.Status) {
	p.WriteString(`<span class="badge `)
	p.WriteString(statusClass(s))
	p.WriteString(`">`)
	p.text(statusName(s))
	p.WriteString(`</span>`)
}

// partitionRows are the rows of the partitions of one topic of a group: of too many, the most alarming.
func partitionRows(t *GroupTopic, now int64, most int) template.HTML {
	var p picture
	rows := mostAlarming(t.Partitions, most, func(a, b *GroupPartition) int {
		return cmp.Or(compareStatus(a.Status, b.Status), compareKnown(b.Lag.Messages, a.Lag.Messages))
	})
	p.Grow(1000 * len(rows))
	for _, row := range rows {
		p.partition(row, now)
	}
	return template.HTML(p.String())
}

// mostAlarming returns at most so many of all: the first by compare, in the order that they have.
func mostAlarming[T any](all []T, most int, compare func(a, b *T) int) []*T {
	places := make([]int, len(all))
	for i := range places {
		places[i] = i
	}
	if len(all) > most {
		slices.SortStableFunc(places, func(i, j int) int { return compare(&all[i], &all[j]) })
		places = places[:most]
		slices.Sort(places)
	}
	rows := make([]*T, len(places))
	for i, place := range places {
		rows[i] = &all[place]
	}
	return rows
}

// maxPartitions is about how many partitions the page of a group shows in all its topics: of many topics only the most alarming
// partitions of each.
const maxPartitions = 2000

// partitionsPerTopic returns how many partitions of each topic the page of a group shows.
func partitionsPerTopic(topics int) int {
	return min(max(maxPartitions/max(topics, 1), 10), maxPerPage)
}

// shownTopics are the topics that the page of a group shows: of too many, the most alarming.
func (g *GroupDetail) shownTopics() []*GroupTopic {
	return mostAlarming(g.TopicDetails, maxPerPage, func(a, b *GroupTopic) int {
		return cmp.Or(compareStatus(a.Status, b.Status), compareKnown(b.Lag.Messages, a.Lag.Messages))
	})
}

func (p *picture) partition(row *GroupPartition, now int64) {
	p.WriteString(`<tr><th scope="row" class="number">`)
	p.WriteString(strconv.Itoa(row.Partition))
	p.WriteString(`</th><td>`)
	p.badge(row.Status)
	p.WriteString(` <small>`)
	p.text(string(row.State))
	p.WriteString(`</small></td>`)
	for _, name := range [...]string{row.Owner, row.ClientID} {
		p.WriteString(`<td><bdi>`)
		p.text(shownName(name))
		p.WriteString(`</bdi></td>`)
	}
	for _, value := range [...]string{
		offsetText(row.Committed), offsetText(row.EndOffset), row.Lag.MessagesText(), row.Lag.TimeText(), strconv.FormatUint(row.Lag.Lost, 10),
	} {
		p.cell(value)
	}
	p.WriteString(`<td>`)
	p.window(row, now)
	p.WriteString("</td></tr>\n")
}

// text writes text as text, whatever it holds.
func (p *picture) text(text string) { template.HTMLEscape(p, []byte(text)) }

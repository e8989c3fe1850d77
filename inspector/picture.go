package inspector

import (
	"html/template"
	"math"
	"strconv"
	"strings"
)

// picture is an SVG being drawn. Its numbers have one decimal: a tenth of a pixel is more than anybody sees.
type picture struct{ strings.Builder }

// number writes a coordinate.
func (p *picture) number(v float64) {
	tenths := int64(math.Round(v * 10))
	var digits [24]byte
	b := digits[:0]
	if tenths < 0 {
		b, tenths = append(b, '-'), -tenths
	}
	b = strconv.AppendInt(b, tenths/10, 10)
	if rest := tenths % 10; rest != 0 {
		b = append(b, '.', byte('0'+rest))
	}
	p.Write(b)
}

// point writes a pair of coordinates as polylines have them.
func (p *picture) point(x, y float64) {
	p.number(x)
	p.WriteByte(',')
	p.number(y)
	p.WriteByte(' ')
}

// dot writes a step of a path that draws nothing but its round end.
func (p *picture) dot(x, y float64) {
	p.WriteByte('M')
	p.number(x)
	p.WriteByte(' ')
	p.number(y)
	p.WriteString("h0")
}

// partitionRows are the rows of the table of a group's partitions. A topic may have thousands, and a template takes ten times as
// long for each.
func partitionRows(t *GroupTopic, now int64) template.HTML {
	var p picture
	p.Grow(1000 * len(t.Partitions))
	for i := range t.Partitions {
		p.partition(&t.Partitions[i], now)
	}
	return template.HTML(p.String())
}

func (p *picture) partition(row *GroupPartition, now int64) {
	p.WriteString(`<tr><th scope="row" class="number">`)
	p.WriteString(strconv.Itoa(row.Partition))
	p.WriteString(`</th><td><span class="badge `)
	p.WriteString(statusClass(row.Status))
	p.WriteString(`">`)
	p.text(statusName(row.Status))
	p.WriteString(`</span> <small>`)
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
		p.WriteString(`<td class="number">`)
		p.text(value)
		p.WriteString(`</td>`)
	}
	p.WriteString(`<td>`)
	p.window(row, now)
	p.WriteString("</td></tr>\n")
}

// text writes text as text, whatever it holds.
func (p *picture) text(text string) { template.HTMLEscape(p, []byte(text)) }

// window draws the commits of a partition against its end offset, to scale over time.
func (p *picture) window(row *GroupPartition, now int64) {
	const width, height = 260, 44
	commits := row.Commits
	if len(commits) == 0 {
		return
	}
	firstTime, lastTime := commits[0].Timestamp, max(now, commits[len(commits)-1].Timestamp)
	low, high := commits[0].Offset, commits[0].Offset
	for i := range commits {
		c := &commits[i]
		low, high = min(low, c.Offset), max(high, c.Offset)
		if c.Lag != nil {
			high = max(high, c.Offset+int64(min(*c.Lag, math.MaxInt32)))
		}
	}
	if row.EndOffset != nil {
		high = max(high, *row.EndOffset)
	}
	x := func(t int64) float64 {
		return 3 + float64(t-firstTime)/float64(max(lastTime-firstTime, 1))*(width-6)
	}
	y := func(offset float64) float64 {
		return height - 4 - (offset-float64(low))/max(float64(high-low), 1)*(height-8)
	}
	p.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" class="window" viewBox="0 0 260 44" role="img" aria-label="`)
	p.WriteString(strconv.Itoa(len(commits)))
	p.WriteString(` commits"><polyline class="ends" points="`)
	for i := range commits {
		if c := &commits[i]; c.Lag != nil {
			p.point(x(c.Timestamp), y(float64(c.Offset)+float64(*c.Lag)))
		}
	}
	if row.EndOffset != nil {
		p.point(x(lastTime), y(float64(*row.EndOffset)))
	}
	p.WriteString(`"/><path class="dots" d="`)
	for i := range commits {
		p.dot(x(commits[i].Timestamp), y(float64(commits[i].Offset)))
	}
	p.WriteString(`"/></svg>`)
}

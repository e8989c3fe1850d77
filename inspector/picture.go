package inspector

import (
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

// spark draws a small line without axes.
func (p *picture) spark(values []*float64) {
	const width, height = 90, 20
	most := 1.0
	for _, v := range values {
		if v != nil {
			most = max(most, *v)
		}
	}
	x := func(i int) float64 { return 1 + float64(i)/float64(max(len(values)-1, 1))*(width-2) }
	y := func(v float64) float64 { return height - 2 - v/most*(height-4) }
	p.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" class="spark" viewBox="0 0 90 20" aria-hidden="true">`)
	for _, r := range runs(values) {
		if r.to-r.from == 1 {
			p.WriteString(`<path class="dots" d="`)
			p.dot(x(r.from), y(*values[r.from]))
			p.WriteString(`"/>`)
			continue
		}
		p.WriteString(`<polyline class="line" points="`)
		for i := r.from; i < r.to; i++ {
			p.point(x(i), y(*values[i]))
		}
		p.WriteString(`"/>`)
	}
	p.WriteString(`</svg>`)
}

// window draws the commits of a partition against its end offset, to scale over time.
func (p *picture) window(row *GroupPartition, now int64) {
	const width, height = 260, 44
	commits := row.Commits
	if len(commits) == 0 {
		return
	}
	firstTime, lastTime := commits[0].Timestamp, max(now, commits[len(commits)-1].Timestamp)
	low := float64(commits[0].Offset)
	high := low
	for i := range commits {
		offset, end := float64(commits[i].Offset), commits[i].end()
		low, high = min(low, offset), max(high, offset, end)
	}
	if row.EndOffset != nil {
		high = max(high, float64(*row.EndOffset))
	}
	x := func(t int64) float64 {
		return 3 + float64(t-firstTime)/float64(max(lastTime-firstTime, 1))*(width-6)
	}
	y := func(offset float64) float64 {
		return height - 4 - (offset-low)/max(high-low, 1)*(height-8)
	}
	p.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" class="window" viewBox="0 0 260 44" role="img" aria-label="`)
	p.WriteString(strconv.Itoa(len(commits)))
	p.WriteString(` commits"><polyline class="ends" points="`)
	for i := range commits {
		if c := &commits[i]; c.Lag != nil {
			p.point(x(c.Timestamp), y(c.end()))
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

// end returns the end offset at the commit, the commit itself if its lag is not known.
func (c *Commit) end() float64 {
	if c.Lag == nil {
		return float64(c.Offset)
	}
	return float64(c.Offset) + float64(*c.Lag)
}

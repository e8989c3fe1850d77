package inspector

import (
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strings"
	"time"
)

// A chart is drawn here, for browsers with and without JavaScript alike: a page swaps one picture for the next. Colours are
// classes of the style sheet, so that light, dark and print are its affair; the attributes beside them, which any rule of a
// style sheet goes before, are for the picture that stands alone.

const (
	chartWidth, chartHeight            = 720, 220
	marginLeft, marginRight, marginTop = 84, 12, 12
	marginBottom                       = 28
)

// chartKind says what a chart shows.
type chartKind struct {
	title  string
	values func(*History) []*float64
	margin func(*History, int) (float64, bool)
	bound  func(*History, int) bool
	format func(float64) string
	// steps are the distances of axis lines that a person would choose, beside 1, 2 and 5 times a power of ten.
	steps []float64
}

var chartKinds = map[string]chartKind{
	"lag": {
		title: "Lag in messages", format: count,
		values: func(h *History) []*float64 { return h.Messages },
		margin: func(*History, int) (float64, bool) { return 0, false },
		bound:  func(h *History, i int) bool { return h.AtLeast[i] },
	},
	"time": {
		title: "Lag in time", format: duration,
		values: func(h *History) []*float64 { return h.TimeMs },
		margin: func(h *History, i int) (float64, bool) {
			if h.MarginMs[i] == nil {
				return 0, false
			}
			return *h.MarginMs[i], true
		},
		bound: func(h *History, i int) bool { return h.TimeMs[i] != nil && h.MarginMs[i] == nil },
		steps: []float64{1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 2 * 3600e3, 3 * 3600e3,
			6 * 3600e3, 12 * 3600e3, 24 * 3600e3},
	},
}

// axis returns the lines of an axis from 0 to at least most: about four, at distances that a person would choose.
func (k chartKind) axis(most float64) []float64 {
	if !(most > 0) {
		most = 1
	}
	rough := most / 4
	step := 0.0
	for _, s := range k.steps {
		if s >= rough {
			step = s
			break
		}
	}
	if step == 0 || k.steps != nil && rough < k.steps[0] {
		power := math.Pow(10, math.Floor(math.Log10(rough)))
		for _, factor := range []float64{1, 2, 5, 10} {
			if step = factor * power; step >= rough {
				break
			}
		}
	}
	if k.steps == nil {
		step = max(step, 1) // there are no parts of messages
	}
	var lines []float64
	for at := 0.0; ; at += step {
		lines = append(lines, at)
		if at >= most {
			return lines
		}
	}
}

// drawChart draws a history. A reading that is not known is a gap, and is never joined over; a lower bound is dashed.
func drawChart(name string, h *History) string {
	k := chartKinds[name]
	values := k.values(h)
	most := 0.0
	for i, v := range values {
		if v == nil {
			continue
		}
		margin, _ := k.margin(h, i)
		most = max(most, *v+margin)
	}
	lines := k.axis(most)
	top := lines[len(lines)-1]
	first, last := span(h.At)
	xOf := func(at int64) float64 {
		return marginLeft + float64(at-first)/float64(last-first)*(chartWidth-marginLeft-marginRight)
	}
	x := func(i int) float64 { return xOf(h.At[i]) }
	y := func(v float64) float64 {
		return chartHeight - marginBottom - min(v/top, 1)*(chartHeight-marginTop-marginBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="720" height="220" viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		chartWidth, chartHeight, template.HTMLEscapeString(k.describe(values, h)))
	for _, line := range lines {
		fmt.Fprintf(&b, `<line class="grid" stroke="#d5dae0" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="axis"`+axisStyle+` text-anchor="end" x="%d" y="%.1f">%s</text> `,
			marginLeft, chartWidth-marginRight, y(line), y(line), marginLeft-6, y(line)+4, k.format(line))
	}
	drawTimes(&b, first, last, xOf)
	for _, run := range runs(values) {
		drawRun(&b, k, h, values, run, x, y)
	}
	b.WriteString(`</svg>`)
	return b.String()
}

// span returns the first and the last time of an axis, which is at least a second long.
func span(at []int64) (first, last int64) {
	if len(at) > 0 {
		first, last = at[0], at[len(at)-1]
	}
	return first, max(last, first+1000)
}

// axisStyle is how the words of an axis look if no style sheet says it.
const axisStyle = ` fill="#5b6168" font-size="11" font-family="sans-serif"`

// timeSteps are the distances of the times below a chart.
var timeSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
	5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour,
	12 * time.Hour, 24 * time.Hour,
}

// times returns round times within a span, about five, and how to show them.
func times(first, last int64) (at []int64, layout string) {
	const most = 6
	step := timeSteps[len(timeSteps)-1].Milliseconds()
	for _, s := range timeSteps {
		if last-first <= most*s.Milliseconds() {
			step = s.Milliseconds()
			break
		}
	}
	step *= (last-first-1)/(step*most) + 1
	for t := (first + step - 1) / step * step; t <= last; t += step {
		at = append(at, t)
	}
	switch {
	case step < time.Minute.Milliseconds():
		return at, "15:04:05"
	case step < 24*time.Hour.Milliseconds():
		return at, "15:04"
	}
	return at, "01-02"
}

func drawTimes(b *strings.Builder, first, last int64, x func(int64) float64) {
	at, layout := times(first, last)
	for i, t := range at {
		class, anchor := "axis", "middle"
		if i%2 == 1 {
			class = "axis less"
		}
		switch at := x(t); {
		case at < marginLeft+20:
			anchor = "start"
		case at > chartWidth-marginRight-20:
			anchor = "end"
		}
		fmt.Fprintf(b, `<text class="%s"`+axisStyle+` text-anchor="%s" x="%.1f" y="%d">%s</text> `,
			class, anchor, x(t), chartHeight-8, time.UnixMilli(t).UTC().Format(layout))
	}
}

// run is a stretch of readings without a gap: from the first up to, but not including, the second.
type run struct{ from, to int }

func runs(values []*float64) (all []run) {
	for i := 0; i < len(values); i++ {
		if values[i] == nil {
			continue
		}
		from := i
		for i < len(values) && values[i] != nil {
			i++
		}
		all = append(all, run{from, i})
	}
	return all
}

func drawRun(b *strings.Builder, k chartKind, h *History, values []*float64, r run, x func(int) float64, y func(float64) float64) {
	var upper, lower strings.Builder
	banded := false
	for i := r.from; i < r.to; i++ {
		margin, ok := k.margin(h, i)
		banded = banded || ok && margin > 0
		fmt.Fprintf(&upper, "%.1f,%.1f ", x(i), y(*values[i]+margin))
		back := r.to - 1 - (i - r.from)
		margin, _ = k.margin(h, back)
		fmt.Fprintf(&lower, "%.1f,%.1f ", x(back), y(max(*values[back]-margin, 0)))
	}
	if banded {
		fmt.Fprintf(b, `<polygon class="band" fill="#0b5394" fill-opacity=".2" points="%s%s"/>`, upper.String(), strings.TrimSpace(lower.String()))
	}
	if r.to-r.from == 1 {
		fmt.Fprintf(b, `<circle class="dot" fill="#0b5394" cx="%.1f" cy="%.1f" r="2"/>`, x(r.from), y(*values[r.from]))
		return
	}
	// One line for each stretch that is bounded alike.
	for from := r.from; from < r.to-1; {
		to := from + 1
		for to < r.to-1 && k.bound(h, to) == k.bound(h, from) {
			to++
		}
		b.WriteString(`<polyline fill="none" stroke="#0b5394" stroke-width="1.6" class="line`)
		if k.bound(h, from) {
			b.WriteString(` atleast" stroke-dasharray="5 3`)
		}
		b.WriteString(`" points="`)
		for i := from; i <= to; i++ {
			fmt.Fprintf(b, "%.1f,%.1f ", x(i), y(*values[i]))
		}
		b.WriteString(`"/>`)
		if k.bound(h, from) {
			fmt.Fprintf(b, `<text class="axis"`+axisStyle+` x="%.1f" y="%.1f">≥</text> `, x(from)+2, y(*values[from])-5)
		}
		from = to
	}
}

// describe says in words what a chart shows, for those who do not see it.
func (k chartKind) describe(values []*float64, h *History) string {
	var newest *float64
	at := -1
	for i, v := range values {
		if v != nil {
			newest, at = v, i
		}
	}
	if newest == nil {
		return k.title + ": nothing known"
	}
	return k.title + ": newest " + bound(k.bound(h, at)) + k.format(*newest)
}

// chartFile answers a chart as a picture of its own, on white.
func (h *Handler) chartFile(w http.ResponseWriter, r *http.Request) {
	kind := r.URL.Query().Get("kind")
	if _, ok := chartKinds[kind]; !ok {
		kind = "lag"
	}
	history, err := h.historyFor(r)
	if err != nil {
		h.fail(w, err)
		return
	}
	picture := strings.Replace(drawChart(kind, &history), ">", `><rect width="100%" height="100%" fill="#fff"/>`, 1)
	newBody("image/svg+xml", []byte(picture)).serve(w, r)
}

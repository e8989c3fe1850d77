package inspector

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/status"
)

// drawn makes a history of a reading each ten seconds. A value below zero is a gap, a margin below zero a lower bound.
func drawn(values, margins []float64) *History {
	h := &History{}
	for i, v := range values {
		h.At = append(h.At, 1_700_000_000_000+10_000*int64(i))
		var value, margin *float64
		if v >= 0 {
			value = &v
			if margins != nil && margins[i] >= 0 {
				margin = &margins[i]
			}
		}
		h.Messages, h.TimeMs, h.MarginMs = append(h.Messages, value), append(h.TimeMs, value), append(h.MarginMs, margin)
		h.AtLeast = append(h.AtLeast, margins != nil && margins[i] < 0)
	}
	return h
}

type element struct {
	name, class, points, text string
	dashed                    bool
}

// elements parses a picture.
func elements(t *testing.T, picture string) (all []element) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err, picture)
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local}
			for _, a := range token.Attr {
				switch a.Name.Local {
				case "class":
					e.class = a.Value
				case "points":
					e.points = a.Value
				case "stroke-dasharray":
					e.dashed = true
				}
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += strings.TrimSpace(string(token))
			}
		}
	}
}

func only(all []element, keep func(element) bool) (kept []element) {
	for _, e := range all {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// What is not known is a gap: a line ends before it, and another begins after it. A reading between two gaps is a dot.
func TestChartGaps(t *testing.T) {
	t.Parallel()
	all := elements(t, drawChart("lag", drawn([]float64{5, 6, 7, -1, 9, -1, 3, 4}, nil)))
	lines := only(all, func(e element) bool { return e.name == "polyline" })
	require.Len(t, lines, 2)
	assert.Len(t, strings.Fields(lines[0].points), 3)
	assert.Len(t, strings.Fields(lines[1].points), 2)
	assert.Len(t, only(all, func(e element) bool { return e.class == "dot" }), 1)
	for _, line := range lines {
		assert.False(t, line.dashed)
	}
	assert.Empty(t, only(elements(t, drawChart("lag", drawn([]float64{-1, -1}, nil))), func(e element) bool { return e.name == "polyline" }))
}

// A lower bound is dashed and marked, and has no band; what has a margin has one as wide as it.
func TestChartBounds(t *testing.T) {
	t.Parallel()
	all := elements(t, drawChart("time", drawn([]float64{1000, 2000, 3000, 4000, 5000}, []float64{500, 500, 500, -1, -1})))
	lines := only(all, func(e element) bool { return e.name == "polyline" })
	require.Len(t, lines, 2)
	assert.Equal(t, []bool{false, true}, []bool{lines[0].dashed, lines[1].dashed})
	assert.Equal(t, "line atleast", lines[1].class)
	assert.Len(t, only(all, func(e element) bool { return e.text == "≥" }), 1)
	band := only(all, func(e element) bool { return e.class == "band" })
	require.Len(t, band, 1)
	// Five points above and five below; the axis reaches to 6 s, so a second is a sixth of its height.
	points := strings.Fields(band[0].points)
	require.Len(t, points, 10)
	above, below := ordinate(t, points[0]), ordinate(t, points[9])
	assert.InDelta(t, (chartHeight-marginTop-marginBottom)/6.0, below-above, 0.2)
	assert.Equal(t, ordinate(t, points[4]), ordinate(t, points[5]), "a lower bound has no margin")
}

func ordinate(t *testing.T, point string) float64 {
	t.Helper()
	_, text, ok := strings.Cut(point, ",")
	require.True(t, ok)
	var y float64
	require.NoError(t, xml.Unmarshal([]byte("<y>"+text+"</y>"), &y))
	return y
}

func TestAxis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind string
		most float64
		want []string
	}{
		{"lag", 0, []string{"0", "1"}},
		{"lag", 3, []string{"0", "1", "2", "3"}},
		{"lag", 940, []string{"0", "500", "1000"}},
		{"lag", 1_800_000, []string{"0", "500 k", "1 M", "1.5 M", "2 M"}},
		{"time", 90, []string{"0 s", "50 ms", "100 ms"}},
		{"time", 26_000, []string{"0 s", "10 s", "20 s", "30 s"}},
		{"time", 200_000, []string{"0 s", "1 min", "2 min", "3 min", "4 min"}},
		{"time", 3 * 3600e3, []string{"0 s", "1 h", "2 h", "3 h"}},
		{"time", 40 * 24 * 3600e3, []string{"0 s", "11 d 14 h", "23 d 4 h", "34 d 17 h", "46 d 7 h"}},
	} {
		var got []string
		for _, line := range chartKinds[c.kind].axis(c.most) {
			got = append(got, chartKinds[c.kind].format(line))
		}
		assert.Equal(t, c.want, got, "%s %v", c.kind, c.most)
	}
}

// The times below a chart are round, and there are two to seven of them whatever the span.
func TestTimes(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 3, 1, 14, 36, 13, 0, time.UTC).UnixMilli()
	for _, span := range []time.Duration{
		4 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 25 * time.Hour, 40 * 24 * time.Hour, 900 * 24 * time.Hour,
	} {
		at, layout := times(first, first+span.Milliseconds())
		require.GreaterOrEqual(t, len(at), 2, span)
		require.LessOrEqual(t, len(at), 7, span)
		for i, ms := range at {
			assert.GreaterOrEqual(t, ms, first)
			assert.LessOrEqual(t, ms, first+span.Milliseconds())
			shown := time.UnixMilli(ms).UTC()
			again, err := time.Parse(layout, shown.Format(layout))
			require.NoError(t, err)
			assert.Equal(t, shown.Format("04:05.000"), again.Format("04:05.000"), "nothing is left out of %s", shown)
			if i > 0 {
				assert.Equal(t, at[1]-at[0], ms-at[i-1])
			}
		}
	}
	at, layout := times(first, first+time.Hour.Milliseconds())
	assert.Equal(t, "14:40", time.UnixMilli(at[0]).UTC().Format(layout))
	assert.Equal(t, (10 * time.Minute).Milliseconds(), at[1]-at[0])
}

// A chart says in words what it shows.
func TestChartInWords(t *testing.T) {
	t.Parallel()
	assert.Contains(t, drawChart("time", drawn([]float64{1000, 11_100_000, -1}, []float64{0, -1, 0})), `aria-label="Lag in time: newest ≥ 3 h 5 min"`)
	assert.Contains(t, drawChart("lag", drawn([]float64{-1}, nil)), "nothing known")
}

// A window has a dot for each commit, and a line of the end offsets as far as they are known.
func TestWindow(t *testing.T) {
	t.Parallel()
	lag, end := uint64(10), int64(130)
	row := GroupPartition{Status: status.Lagging, Owner: `<b onload="x">`, ClientID: "\u202e", EndOffset: &end, Commits: []Commit{
		{Offset: 100, Timestamp: 1000, Lag: &lag}, {Offset: 110, Timestamp: 2000}, {Offset: 120, Timestamp: 3000, Lag: &lag},
	}}
	text := string(partitionRows(&GroupTopic{Partitions: []GroupPartition{row, {Partition: 1}}}, 4000, 10))
	all := elements(t, "<table>"+text+"</table>")
	line := only(all, func(e element) bool { return e.name == "polyline" })
	require.Len(t, line, 1)
	assert.Len(t, strings.Fields(line[0].points), 3)
	assert.Equal(t, 3, strings.Count(text, "h0"))
	assert.Contains(t, text, `aria-label="3 commits"`)
	for _, forbidden := range []string{"<b ", "\u202e"} {
		assert.NotContains(t, text, forbidden)
	}
	assert.Len(t, only(all, func(e element) bool { return e.name == "tr" }), 2)

	huge := uint64(1) << 40
	row.Commits[0].Lag = &huge
	text = string(partitionRows(&GroupTopic{Partitions: []GroupPartition{row}}, 4000, 10))
	line = only(elements(t, "<table>"+text+"</table>"), func(e element) bool { return e.name == "polyline" })
	for _, point := range strings.Fields(line[0].points) {
		assert.GreaterOrEqual(t, ordinate(t, point), 0.0, "a lag of any size stays in the picture")
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 0.04: "0", -0.04: "0", 1.25: "1.3", 12: "12", -3.14: "-3.1", 720: "720"} {
		var p picture
		p.number(v)
		assert.Equal(t, want, p.String(), v)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{
		0: "0", 7: "7", 0.5: "0.5", 999: "999", 9999: "9999", 12_345: "12.3 k", 1_200_000: "1.2 M", 3.4e9: "3.4 G", 5e12: "5 T", -12: "−12",
	} {
		assert.Equal(t, want, count(n))
	}
	for ms, want := range map[float64]string{
		0: "0 s", 230: "230 ms", 4230: "4.2 s", 59_600: "60 s", 185_000: "3 min 5 s", 11_100_000: "3 h 5 min", 187_200_000: "2 d 4 h",
		math.MaxFloat64: "106751 d 23 h", -1500: "−1.5 s",
	} {
		assert.Equal(t, want, duration(ms))
	}
	for n, want := range map[float64]string{0: "0 B", 1000: "1000 B", 1536: "1.5 KiB", 64 << 20: "64 MiB", 1 << 50: "1024 TiB"} {
		assert.Equal(t, want, bytesText(n))
	}
}

func TestShownName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"plain": "plain", "größe": "größe", "": "", "a\x00b": `a\u0000b`, "\xff": `\xff`, "\u202egnp": `\u202egnp`, "a\u2028b": `a\u2028b`,
		"\x1b[31mred": `\u001b[31mred`, "<b>": "<b>",
	} {
		assert.Equal(t, want, shownName(name))
	}
	long := shownName(strings.Repeat("a", 5000) + "end")
	assert.Equal(t, longestName, len([]rune(long)))
	assert.True(t, strings.HasSuffix(long, "aend") && strings.Contains(long, "…"))
}

package main

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/status"
)

// The styles in use; terminals choose the shade. Colour alone carries no information.
var (
	normal  = lipgloss.NewStyle()
	bold    = normal.Bold(true)
	dim     = normal.Faint(true)
	chosen  = normal.Reverse(true)
	red     = normal.Foreground(lipgloss.Red)
	green   = normal.Foreground(lipgloss.Green)
	yellow  = normal.Foreground(lipgloss.Yellow)
	magenta = normal.Foreground(lipgloss.Magenta)
	cyan    = normal.Foreground(lipgloss.Cyan)
)

// statusStyle is the colour of a status.
func statusStyle(s status.Status) lipgloss.Style {
	switch s {
	case status.Stopped, status.Stalled, status.BeyondEnd, status.Reset:
		return red
	case status.Rewound:
		return magenta
	case status.Lagging:
		return yellow
	case status.CatchingUp:
		return cyan
	case status.OK:
		return green
	}
	return normal
}

func statusName(s status.Status) string {
	if s == status.Unknown {
		return "UNKNOWN"
	}
	return string(s)
}

// unknown stands for an unknown value, which is never shown as 0.
const unknown = "-"

// printable replaces characters that must not reach a terminal. Group names are arbitrary bytes chosen by clients, and may contain a
// sequence that rewrites the screen.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// shorten cuts the middle out of a text that is wider than a number of columns: names differ at their beginning and end.
func shorten(s string, columns int) string {
	width := ansi.StringWidth(s)
	if width <= columns {
		return s
	}
	if columns < 3 {
		return ansi.Truncate(s, columns, "")
	}
	head := ansi.Truncate(s, columns/2, "")
	return head + ansi.TruncateLeft(s, width-(columns-ansi.StringWidth(head)-1), "…")
}

// pad fills a text with spaces up to a number of columns.
func pad(s string, columns int, right bool) string {
	space := strings.Repeat(" ", max(0, columns-ansi.StringWidth(s)))
	if right {
		return space + s
	}
	return s + space
}

func splitLines(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" && !yield(line) {
				return
			}
		}
	}
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// lagText shows a lag in messages.
func lagText(l inspector.Lag) string {
	switch {
	case l.Messages == nil:
		return unknown
	case l.AtLeast:
		return "≥" + thousands(*l.Messages)
	}
	return thousands(*l.Messages)
}

// lostText shows the number of messages that were deleted before they were read, and nothing if there are none.
func lostText(l inspector.Lag) string {
	if l.Lost == 0 {
		return ""
	}
	return thousands(l.Lost)
}

// timeLagText shows a time lag and its margin.
func timeLagText(l inspector.Lag) string {
	text := timeLagBrief(l)
	// A group at the end offset has read everything seen so far: that the next poll may find more is no uncertainty.
	if l.TimeMs != nil && l.MarginMs != nil && *l.TimeMs > 0 && *l.MarginMs > 0 {
		text += " ±" + shortAge(*l.MarginMs)
	}
	return text
}

func timeLagBrief(l inspector.Lag) string {
	switch {
	case l.TimeMs == nil:
		return unknown
	case l.TimeAtLeast:
		return "≥" + shortAge(*l.TimeMs)
	}
	return shortAge(*l.TimeMs)
}

// rateText writes messages per second, in two or three digits.
func rateText(rate *float64) string {
	if rate == nil {
		return unknown
	}
	n := *rate
	switch {
	case n == 0:
		return "0"
	case n < 0.05:
		return "<0.1"
	case n < 9.95:
		return strconv.FormatFloat(n, 'f', 1, 64)
	case n < 9_999.5:
		return thousands(uint64(math.Round(n)))
	case n < 999_500:
		return strconv.FormatFloat(n/1e3, 'f', 0, 64) + "k"
	}
	return thousands(uint64(min(math.Round(n/1e6), 1e15))) + "M"
}

func catchUpText(ms *int64) string {
	if ms == nil {
		return unknown
	}
	return shortAge(*ms)
}

// agoText shows how long ago a time was, both in Unix milliseconds.
func agoText(now int64, at *int64) string {
	if at == nil {
		return "never"
	}
	return age(max(0, now-*at)) + " ago"
}

// age shows milliseconds in their two largest units.
func age(ms int64) string {
	seconds := ms / 1000
	const minute, hour, day = 60, 3600, 86400
	switch {
	case seconds < minute:
		return fmt.Sprintf("%ds", seconds)
	case seconds < hour:
		return fmt.Sprintf("%dm%02ds", seconds/minute, seconds%minute)
	case seconds < day:
		return fmt.Sprintf("%dh%02dm", seconds/hour, seconds%hour/minute)
	}
	return fmt.Sprintf("%dd%02dh", seconds/day, seconds%day/hour)
}

// shortAge is like age, but shows less than ten seconds, other than 0, with a decimal: so a time lag of less than a second is not
// shown as none.
func shortAge(ms int64) string {
	const decimal = 100 * time.Millisecond
	d := time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	if tenths := max(d.Round(decimal), decimal); ms > 0 && tenths < 10*time.Second {
		return fmt.Sprintf("%.1fs", tenths.Seconds())
	}
	return age(ms)
}

// bars are the levels of a sparkline.
var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values as bars on a scale from zero, so that a small change of a large lag looks small. A value below 0 is unknown
// and leaves a gap.
func sparkline(values []float64) string {
	var most float64
	for _, value := range values {
		most = max(most, value)
	}
	line := make([]rune, len(values))
	for i, value := range values {
		switch {
		case value < 0:
			line[i] = ' '
		case most == 0:
			line[i] = bars[0]
		default:
			line[i] = bars[int(value/most*float64(len(bars)-1))]
		}
	}
	return string(line)
}

// count shows a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

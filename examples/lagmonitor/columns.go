package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/lagkeeper/storage/trend"
)

// column describes one column of the table: to show more, add one to columns.
type column struct {
	title string
	// right aligns the cells to the right, as numbers are.
	right bool
	// flexible columns are cut in the middle, down to flexibleMin, where the table is too wide.
	flexible bool
	// rank is the order in which columns are left out where cutting is not enough, the highest first; 0 always stays.
	rank int
	// seldom columns are left out if every cell is empty.
	seldom bool
	cell   func(row) string
	// brief is a narrower cell, nil for none; the column has it before it is left out, when briefRank comes in the same order.
	brief     func(row) string
	briefRank int
	// paint is the style of the cell; nil for plain.
	paint func(row) style
}

// columns are the columns of the table, from left to right.
var columns = []column{
	{title: "GROUP", flexible: true, cell: func(r row) string { return printable(r.Group) }},
	{title: "TOPIC", flexible: true, cell: func(r row) string { return printable(r.Topic) }},
	{title: "PARTS", right: true, rank: 9, cell: func(r row) string { return strconv.Itoa(r.Partitions) }},
	{title: "MEMBERS", right: true, rank: 8, cell: func(r row) string { return strconv.Itoa(r.Members) }},
	{title: "LAG", right: true, cell: lagCell},
	{title: "LOST", right: true, rank: 1, seldom: true, cell: lostCell, paint: func(row) style { return red }},
	{title: "TIME LAG", right: true, rank: 1, cell: timeLagCell, brief: timeLagBrief, briefRank: 5},
	{title: "TREND", rank: 2, cell: func(r row) string { return sparkline(r.Trend) }, paint: stateStyle},
	{title: "IN/S", right: true, rank: 7, cell: func(r row) string { return rateText(r.Rates.In) }},
	{title: "OUT/S", right: true, rank: 6, cell: func(r row) string { return rateText(r.Rates.Out) }},
	{title: "CATCH UP", right: true, rank: 3, cell: catchUpCell},
	{title: "COMMITTED", right: true, rank: 4, cell: movedCell},
	{title: "STATE", cell: func(r row) string { return r.State.String() }, paint: stateStyle},
}

// expendable is the least rank of what is left out before names become hard to read.
const expendable = 4

// lagCell shows the lag, or nothing where no commit says what it is. A group beyond the end has less than nothing to read.
func lagCell(r row) string {
	switch {
	case !r.LagKnown && r.BeyondEnd > 0:
		return "-" + thousands(r.BeyondEnd)
	case !r.LagKnown:
		return "-"
	case r.LagAtLeast:
		return "≥" + thousands(r.Lag)
	}
	return thousands(r.Lag)
}

// lostCell shows how many messages were deleted before the group read them.
func lostCell(r row) string {
	if r.Lost == 0 {
		return ""
	}
	return thousands(r.Lost)
}

// timeLagCell shows the lag in time and by how much it may be wrong.
func timeLagCell(r row) string {
	text := timeLagBrief(r)
	// One that is at the end offset has read everything that was seen: that the next poll may find more is no doubt.
	if l := r.TimeLag; l.Known && !l.AtLeast && l.Value > 0 {
		text += " ±" + shortAge(l.Error)
	}
	return text
}

// timeLagBrief shows the lag in time.
func timeLagBrief(r row) string {
	switch {
	case !r.TimeLag.Known:
		return "-"
	case r.TimeLag.AtLeast:
		return "≥" + shortAge(r.TimeLag.Value)
	}
	return shortAge(r.TimeLag.Value)
}

// catchUpCell shows the time until the group has read everything.
func catchUpCell(r row) string {
	switch {
	case r.Rates.CatchUp.Known:
		return shortAge(r.Rates.CatchUp.Length)
	case neverCatchesUp(r):
		return "never"
	}
	return "-"
}

// neverCatchesUp tells whether a lag is there to stay. A group that keeps up is now a little slower than its producers, now
// a little faster, so it takes a state that says so too.
func neverCatchesUp(r row) bool {
	switch r.State {
	case stateBehind, stateStalled, stateStopped:
		return r.Rates.Never
	}
	return false
}

// rateText writes messages per second, in two or three digits.
func rateText(r trend.Rate) string {
	n := r.PerSecond
	switch {
	case !r.Known:
		return "-"
	case n == 0:
		return "0"
	case n < 0.05:
		return "<0.1"
	case n < 9.95:
		return strconv.FormatFloat(n, 'f', 1, 64)
	case n < 9_999.5:
		return thousands(uint64(math.Round(n)))
	}
	n /= 1000
	for _, unit := range []string{"k", "M"} {
		if n < 999.5 {
			return strconv.FormatFloat(n, 'f', 0, 64) + unit
		}
		n /= 1000
	}
	return thousands(uint64(min(math.Round(n), 1e15))) + "G"
}

// movedCell shows how long ago the group committed something new.
func movedCell(r row) string {
	switch {
	case r.Moved < 0:
		return "never"
	case r.MovedAtLeast:
		return "≥" + age(r.Moved) + " ago"
	}
	return age(r.Moved) + " ago"
}

// stateStyle is the colour of a state.
func stateStyle(r row) style {
	switch r.State {
	case stateCaughtUp, stateAhead, stateOK:
		return green
	case stateCatchingUp:
		return cyan
	case stateNoCommit, stateRestored:
		return dim
	case stateBehind:
		return yellow
	case stateRewind, stateReset:
		return magenta
	}
	return red
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// age writes a duration in its two largest units.
func age(d time.Duration) string {
	seconds := int64(d / time.Second)
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

// shortAge writes a duration like age, but one of less than ten seconds, other than 0, with a decimal: then a lag in time
// of less than a second is still one.
func shortAge(d time.Duration) string {
	const decimal = 100 * time.Millisecond
	if tenths := max(d.Round(decimal), decimal); d > 0 && tenths < 10*time.Second {
		return fmt.Sprintf("%.1fs", tenths.Seconds())
	}
	return age(d)
}

// bars are the levels of a sparkline.
var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values as bars on a scale from zero, so that a small wobble on a large lag looks small.
func sparkline(values []float64) string {
	var most float64
	for _, value := range values {
		most = max(most, value)
	}
	line := make([]rune, len(values))
	for i, value := range values {
		level := 0
		if most > 0 {
			level = int(value / most * float64(len(bars)-1))
		}
		line[i] = bars[min(max(level, 0), len(bars)-1)]
	}
	return string(line)
}

package main

import (
	"fmt"
	"strconv"
	"time"
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
	cell func(row) string
	// paint is the style of the cell; nil for plain.
	paint func(row) style
}

// columns are the columns of the table, from left to right.
var columns = []column{
	{title: "GROUP", flexible: true, cell: func(r row) string { return printable(r.Group) }},
	{title: "TOPIC", flexible: true, cell: func(r row) string { return printable(r.Topic) }},
	{title: "PARTS", right: true, rank: 4, cell: func(r row) string { return strconv.Itoa(r.Partitions) }},
	{title: "MEMBERS", right: true, rank: 3, cell: func(r row) string { return strconv.Itoa(r.Members) }},
	{title: "LAG", right: true, cell: lagCell},
	{title: "TREND", rank: 2, cell: func(r row) string { return sparkline(r.Trend) }, paint: stateStyle},
	{title: "COMMITTED", right: true, rank: 1, cell: movedCell},
	{title: "STATE", cell: func(r row) string { return r.State.String() }, paint: stateStyle},
}

// lagCell shows the lag, or nothing where no commit says what it is.
func lagCell(r row) string {
	switch {
	case r.Moved < 0:
		return "-"
	case r.LagAtLeast:
		return "≥" + thousands(r.Lag)
	}
	return thousands(r.Lag)
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
	case stateCaughtUp, stateOK:
		return green
	case stateCatchingUp:
		return cyan
	case stateNoCommit:
		return dim
	case stateBehind:
		return yellow
	case stateRewind, stateAhead:
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

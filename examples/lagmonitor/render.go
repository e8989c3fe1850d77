package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The space around the cells.
const (
	columnGap   = 2
	flexibleMin = 8
	// readable is how narrow names become as long as there is something expendable.
	readable = 16
)

// grid is a table laid out: the columns that are shown, and how wide.
type grid struct {
	columns []column
	widths  []int
}

// layout chooses columns and widths so that the rows fit into a number of terminal columns; 0 for any number.
func layout(columns []column, rows []row, fit int) grid {
	g := grid{columns: slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
		return c.seldom && !slices.ContainsFunc(rows, func(r row) bool { return c.cell(r) != "" })
	})}
	for _, c := range g.columns {
		g.widths = append(g.widths, c.width(rows))
	}
	for fit > 0 && g.width() > fit {
		if !g.squeeze(fit, readable) && !g.concede(expendable, rows) && !g.squeeze(fit, flexibleMin) && !g.concede(1, rows) {
			break
		}
	}
	return g
}

// width is how wide a column has to be for its title and these rows.
func (c column) width(rows []row) int {
	widest := displayWidth(c.title)
	for _, r := range rows {
		widest = max(widest, displayWidth(c.cell(r)))
	}
	return widest
}

func (g *grid) width() int {
	total := columnGap * (len(g.widths) - 1)
	for _, w := range g.widths {
		total += w
	}
	return total
}

// squeeze cuts flexible columns until the grid fits, always the widest, and none below a width. It changes nothing and
// returns false where cutting all of them is not enough.
func (g *grid) squeeze(fit, least int) bool {
	widths := slices.Clone(g.widths)
	for excess := g.width() - fit; excess > 0; excess-- {
		widest := -1
		for i, c := range g.columns {
			if c.flexible && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
	g.widths = widths
	return true
}

// concede makes the column brief or leaves it out that is missed least, and returns false where all of what ranks at least
// so high has gone.
func (g *grid) concede(rank int, rows []row) bool {
	least, highest := -1, rank-1
	for i, c := range g.columns {
		if r := max(c.rank, c.briefRank); r > highest {
			least, highest = i, r
		}
	}
	if least < 0 {
		return false
	}
	if c := &g.columns[least]; c.briefRank == highest {
		c.cell, c.briefRank = c.brief, 0
		g.widths[least] = c.width(rows)
		return true
	}
	g.columns = slices.Delete(g.columns, least, least+1)
	g.widths = slices.Delete(g.widths, least, least+1)
	return true
}

// titles is the line above the rows.
func (g grid) titles() line {
	return g.line(func(c column) (string, style) { return c.title, bold })
}

// row is the line of a row.
func (g grid) row(r row) line {
	return g.line(func(c column) (string, style) {
		if c.paint == nil {
			return c.cell(r), plainStyle
		}
		return c.cell(r), c.paint(r)
	})
}

func (g grid) line(cell func(column) (string, style)) line {
	var l line
	for i, c := range g.columns {
		text, style := cell(c)
		text = pad(shorten(text, g.widths[i]), g.widths[i], c.right)
		if last := i == len(g.columns)-1; last {
			text = strings.TrimRight(text, " ")
		} else {
			l = append(l, span{text, style}, span{strings.Repeat(" ", columnGap), plainStyle})
			continue
		}
		l = append(l, span{text, style})
	}
	return l
}

// screen is how large the place is that a table is drawn into; 0 for any size.
type screen struct {
	columns int
	lines   int
	color   bool
}

// headingLines are the heading, a space and the titles.
const headingLines = 3

// shownEvents is how many events are shown below a table.
const shownEvents = 4

// draw lays out a whole table with its heading above and the last events below it.
func draw(t table, heading line, events []event, s screen) []line {
	if s.lines > 0 {
		// Rows are worth more than events, but the last event is always told where there is any room.
		spare := max(s.lines-headingLines-1-len(t.Rows), s.lines/10)
		events = events[max(0, len(events)-spare):]
	}
	rows, more := cut(t.Rows, len(events), s.lines)
	g := layout(columns, rows, s.columns)
	lines := []line{heading, {}, g.titles()}
	for _, r := range rows {
		lines = append(lines, g.row(r))
	}
	if len(t.Rows) == 0 {
		lines = append(lines, line{{"no group has committed anything yet", dim}})
	}
	if more > 0 {
		lines = append(lines, line{{fmt.Sprintf("… and %d more that are better off", more), dim}})
	}
	if len(events) > 0 {
		lines = append(lines, line{})
	}
	for _, e := range events {
		lines = append(lines, eventLine(e))
	}
	return lines
}

// cut leaves as many rows as there is room for on a screen: the worst ones, in their usual order. more is how many it
// left out.
func cut(rows []row, events, lines int) (kept []row, more int) {
	if lines <= 0 {
		return rows, 0
	}
	room := lines - headingLines
	if events > 0 {
		room -= events + 1
	}
	room = max(room, 1)
	if len(rows) <= room {
		return rows, 0
	}
	room = max(room-1, 1) // the line that tells of the others
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(-cmp.Compare(rows[a].State, rows[b].State), -cmp.Compare(rows[a].Lag, rows[b].Lag))
	})
	worst := order[:room]
	slices.Sort(worst)
	for _, i := range worst {
		kept = append(kept, rows[i])
	}
	return kept, len(rows) - room
}

// heading is the line above a table.
func heading(t table, note string) line {
	l := line{
		{"lagmonitor", bold},
		{fmt.Sprintf("  %s  %s  %s, %s", printable(t.Cluster), t.At.Format(time.TimeOnly),
			count(t.Groups, "group"), count(t.Topics, "topic")), plainStyle},
	}
	if note != "" {
		l = append(l, span{"  " + note, dim})
	}
	return l
}

func eventLine(e event) line {
	return line{{e.At.Format(time.TimeOnly) + "  " + printable(e.Text), dim}}
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

package main

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// column describes one column of a table. To show more, add one to a slice of columns.
type column[T any] struct {
	title string
	// right aligns the cells to the right, as for numbers.
	right bool
	// flexible columns are cut in the middle, down to flexibleMin, if the table is too wide.
	flexible bool
	// rank is the order in which columns are left out if cutting is not enough, the highest first; 0 always stays.
	rank int
	// seldom columns are left out while every cell is empty.
	seldom bool
	cell   func(*T) string
	// brief is a narrower cell, nil for none; the column has it before it is left out, when briefRank comes in the same order.
	brief     func(*T) string
	briefRank int
	// paint is the style of the cell; nil for plain.
	paint func(*T) lipgloss.Style
	// compare orders the worse or larger row first; nil for a column that cannot be sorted by.
	compare func(a, b *T) int
}

// empty reports whether the column is left out because all its cells are empty.
func (c *column[T]) empty(rows []*T) bool {
	return c.seldom && !slices.ContainsFunc(rows, func(r *T) bool { return c.cell(r) != "" })
}

const (
	columnGap   = 2
	flexibleMin = 8
	// readable is how narrow names become as long as there is something expendable, and expendable the least rank of that.
	readable   = 16
	expendable = 4
)

// grid is the layout of a table: the visible columns and their widths.
type grid[T any] struct {
	columns []column[T]
	widths  []int
}

// widths are how wide columns have been, by title. A column that is never narrower than it was does not jump.
type widths map[string]int

// layout chooses columns and widths so that rows fit into a number of terminal columns; 0 for any number. It remembers in
// seen how wide the columns of all rows are.
func layout[T any](columns []column[T], rows []*T, seen widths, fit int) grid[T] {
	var g grid[T]
	for _, c := range columns {
		widest := seen[c.title]
		filled := widest > 0 || !c.seldom
		for _, r := range rows {
			text := c.cell(r)
			filled = filled || text != ""
			widest = max(widest, ansi.StringWidth(text))
		}
		if !filled {
			continue
		}
		seen[c.title] = max(widest, ansi.StringWidth(c.title))
		g.columns, g.widths = append(g.columns, c), append(g.widths, seen[c.title])
	}
	for fit > 0 && g.width() > fit {
		if !g.squeeze(fit, readable) && !g.concede(expendable, rows) && !g.squeeze(fit, flexibleMin) && !g.concede(1, rows) {
			break
		}
	}
	return g
}

func (g *grid[T]) width() int {
	total := columnGap * (len(g.widths) - 1)
	for _, w := range g.widths {
		total += w
	}
	return total
}

// squeeze cuts flexible columns until the grid fits, always the widest, and none below a minimum. It changes nothing and returns false
// if cutting all of them is not enough.
func (g *grid[T]) squeeze(fit, least int) bool {
	cut := slices.Clone(g.widths)
	for excess := g.width() - fit; excess > 0; excess-- {
		widest := -1
		for i, c := range g.columns {
			if c.flexible && cut[i] > least && (widest < 0 || cut[i] > cut[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		cut[widest]--
	}
	g.widths = cut
	return true
}

// concede shortens or leaves out the least important column. It returns false if no column with at least the given rank is left.
func (g *grid[T]) concede(rank int, rows []*T) bool {
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
		g.widths[least] = ansi.StringWidth(c.title)
		for _, r := range rows {
			g.widths[least] = max(g.widths[least], ansi.StringWidth(c.cell(r)))
		}
		return true
	}
	g.columns = slices.Delete(g.columns, least, least+1)
	g.widths = slices.Delete(g.widths, least, least+1)
	return true
}

// titles is the line of titles.
func (g grid[T]) titles(color bool) string {
	return g.line(color, func(c column[T]) (string, lipgloss.Style) { return c.title, bold })
}

// row is the line of one row.
func (g grid[T]) row(r *T, color bool) string {
	return g.line(color, func(c column[T]) (string, lipgloss.Style) {
		if c.paint == nil {
			return c.cell(r), normal
		}
		return c.cell(r), c.paint(r)
	})
}

func (g grid[T]) line(color bool, cell func(column[T]) (string, lipgloss.Style)) string {
	var b strings.Builder
	for i, c := range g.columns {
		text, style := cell(c)
		text = pad(shorten(text, g.widths[i]), g.widths[i], c.right)
		if i == len(g.columns)-1 {
			b.WriteString(paint(strings.TrimRight(text, " "), style, color))
			break
		}
		b.WriteString(paint(text, style, color) + strings.Repeat(" ", columnGap))
	}
	return b.String()
}

// paint styles a text, if colour is on.
func paint(text string, style lipgloss.Style, color bool) string {
	if !color || text == "" {
		return text
	}
	return style.Render(text)
}

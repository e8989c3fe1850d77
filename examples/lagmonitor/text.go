package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// style is an ANSI style, "" for plain.
type style string

// The styles in use; terminals choose the shade.
const (
	plainStyle style = ""
	bold       style = "1"
	dim        style = "2"
	red        style = "31"
	green      style = "32"
	yellow     style = "33"
	magenta    style = "35"
	cyan       style = "36"
)

// span is a piece of text in one style.
type span struct {
	text  string
	style style
}

// line is a line of the screen.
type line []span

// text writes the line, cut to a number of columns (0: not at all), in colour or without.
func (l line) text(columns int, color bool) string {
	var b strings.Builder
	left := columns
	for _, s := range l {
		text := s.text
		if columns > 0 {
			text = clip(text, left)
			left -= displayWidth(text)
		}
		if color && s.style != plainStyle && text != "" {
			b.WriteString("\x1b[" + string(s.style) + "m" + text + "\x1b[0m")
		} else {
			b.WriteString(text)
		}
	}
	return b.String()
}

// printable replaces what must not reach a terminal. The names of groups are any bytes a client likes, and those could
// hold a sequence that rewrites the screen.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// runeWidth is how many columns of a terminal a rune takes.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// displayWidth is how many columns of a terminal a text takes.
func displayWidth(s string) int {
	columns := 0
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

// clip cuts a text to a number of columns.
func clip(s string, columns int) string {
	used := 0
	for i, r := range s {
		if used += runeWidth(r); used > columns {
			return s[:i]
		}
	}
	return s
}

// shorten cuts the middle out of a text that takes more than a number of columns: names are told apart by how they
// begin and how they end.
func shorten(s string, columns int) string {
	if displayWidth(s) <= columns {
		return s
	}
	if columns < 3 {
		return clip(s, columns)
	}
	head := clip(s, columns/2)
	tail := []rune(s)
	left := columns - displayWidth(head) - 1
	from := len(tail)
	for from > 0 && left >= runeWidth(tail[from-1]) {
		from--
		left -= runeWidth(tail[from])
	}
	return head + "…" + string(tail[from:])
}

// pad fills a text with spaces up to a number of columns.
func pad(s string, columns int, right bool) string {
	space := strings.Repeat(" ", max(0, columns-displayWidth(s)))
	if right {
		return space + s
	}
	return s + space
}

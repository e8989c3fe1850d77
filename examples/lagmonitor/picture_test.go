package main

import (
	"fmt"
	"html"
	"os"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// picture is the path of the README's picture of the monitor. It is drawn by
//
//	go test ./examples/lagmonitor -run TestPicture -update
const picture = "../../docs/lagmonitor.svg"

// TestPicture draws the live view of the fixed workload, and compares it with the committed picture.
func TestPicture(t *testing.T) {
	s := newScreen(t, 132, 20, true)
	s.model.reading.groups = s.model.reading.groups[:8] // without the one with the hostile name
	s.press("down")
	got := drawSVG(s.model.screen())
	if *update {
		require.NoError(t, os.WriteFile(picture, []byte(got), 0o644))
	}
	want, err := os.ReadFile(picture)
	require.NoError(t, err)
	assert.True(t, string(want) == got, "the picture is out of date: draw it with go test ./examples/lagmonitor -run TestPicture -update")
}

const (
	cellWidth, cellHeight = 8, 18
	border                = 12
	ink, paper            = "#d8dee9", "#1b1f27"
)

// inks are the colours of the SGR codes in use.
var inks = map[string]string{"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "35": "#d2a8ff", "36": "#76e3ea"}

// drawSVG draws lines with the styles of a terminal.
func drawSVG(lines []string) string {
	columns := 0
	for _, line := range lines {
		columns = max(columns, ansi.StringWidth(line))
	}
	width, height := columns*cellWidth+2*border, len(lines)*cellHeight+2*border
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="The live view of lagmonitor">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="%s"/>`+"\n", width, height, paper)
	fmt.Fprintf(&b, `<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" fill="%s">`+"\n", ink)
	for row, line := range lines {
		column := 0
		y := border + row*cellHeight
		style := map[string]bool{}
		for i, part := range strings.Split(line, "\x1b[") {
			if i > 0 {
				codes, rest, _ := strings.Cut(part, "m")
				for _, code := range strings.Split(codes, ";") {
					if code == "" || code == "0" {
						clear(style)
					} else {
						style[code] = true
					}
				}
				part = rest
			}
			n := ansi.StringWidth(part)
			x := border + column*cellWidth
			column += n
			if strings.TrimSpace(part) == "" && !style["7"] {
				continue
			}
			fill, more := "", ""
			for code, ink := range inks {
				if style[code] {
					fill = ink
				}
			}
			if style["7"] {
				fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", x, y, n*cellWidth, cellHeight, ink)
				fill = paper
			}
			if fill != "" {
				more += fmt.Sprintf(` fill="%s"`, fill)
			}
			if style["1"] {
				more += ` font-weight="bold"`
			}
			if style["2"] {
				more += ` opacity="0.65"`
			}
			// Each word has its own position and length, which keeps columns aligned in any font.
			at := x
			for _, word := range strings.SplitAfter(part, " ") {
				if text := strings.TrimSpace(word); text != "" {
					fmt.Fprintf(&b, `<text x="%d" y="%d" textLength="%d"%s>%s</text>`+"\n",
						at, y+13, ansi.StringWidth(text)*cellWidth, more, html.EscapeString(text))
				}
				at += ansi.StringWidth(word) * cellWidth
			}
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

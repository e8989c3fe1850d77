package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// display is where tables go.
type display interface {
	// show shows a table and, where there is room, what happened.
	show(t table, events *eventLog) error
	// redraws tells whether showing the same table again is wanted, to bring it up to date.
	redraws() bool
	// close leaves the place as it was found. It may be called twice.
	close() error
}

// newDisplay picks the display that the flags and the kind of output ask for.
func newDisplay(opts options, stdout io.Writer, cfg config) display {
	size, terminal := terminalSize(stdout)
	capable := terminal && opts.getenv("TERM") != "dumb"
	color := opts.color == "always" || opts.color == "auto" && capable && opts.getenv("NO_COLOR") == ""
	note := fmt.Sprintf("every %v, ^C ends", cfg.interval)
	switch {
	case opts.json:
		return &jsonDisplay{out: stdout}
	case opts.once:
		columns, _ := size()
		return &onceDisplay{out: stdout, screen: screen{columns: columns, color: color}}
	case capable:
		return &liveDisplay{out: stdout, size: size, color: color, note: note}
	}
	return &linesDisplay{out: stdout, color: color}
}

// terminalSize tells whether a writer is a terminal and returns what asks for its size: 0, 0 where it has none.
func terminalSize(out io.Writer) (size func() (columns, lines int), terminal bool) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() (int, int) { return 0, 0 }, false
	}
	return func() (int, int) {
		columns, lines, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0, 0
		}
		return columns, lines
	}, true
}

// onceDisplay prints a table and what happened.
type onceDisplay struct {
	out    io.Writer
	screen screen
}

func (d *onceDisplay) show(t table, events *eventLog) error {
	var b strings.Builder
	for _, l := range draw(t, heading(t, ""), events.last(keptEvents), d.screen) {
		b.WriteString(l.text(d.screen.columns, d.screen.color) + "\n")
	}
	_, err := io.WriteString(d.out, b.String())
	return err
}

func (d *onceDisplay) redraws() bool { return false }
func (d *onceDisplay) close() error  { return nil }

// linesDisplay prints every poll below the last, with the time before each row: for a pipe, a file or a dumb terminal.
type linesDisplay struct {
	out   io.Writer
	color bool
	grid  grid
}

func (d *linesDisplay) show(t table, events *eventLog) error {
	var b strings.Builder
	at := t.At.Format(time.TimeOnly) + "  "
	// The titles are repeated where the columns moved. They only ever get wider, so that this comes to an end.
	g := layout(columns, t.Rows, 0)
	for i := range d.grid.widths {
		g.widths[i] = max(g.widths[i], d.grid.widths[i])
	}
	if !slices.Equal(g.widths, d.grid.widths) {
		titles := append(line{{pad("TIME", len(at), false), bold}}, g.titles()...)
		b.WriteString(titles.text(0, d.color) + "\n")
	}
	d.grid = g
	for _, e := range events.take() {
		b.WriteString(eventLine(e).text(0, d.color) + "\n")
	}
	for _, r := range t.Rows {
		b.WriteString(at + g.row(r).text(0, d.color) + "\n")
	}
	_, err := io.WriteString(d.out, b.String())
	return err
}

func (d *linesDisplay) redraws() bool { return false }
func (d *linesDisplay) close() error  { return nil }

// The sequences that liveDisplay needs; every terminal in use knows them.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// liveDisplay redraws the table in place, on the alternate screen of a terminal. When it closes, the last table stays
// behind on the normal one.
type liveDisplay struct {
	out   io.Writer
	size  func() (columns, lines int)
	color bool
	note  string

	open bool
	last []line
}

func (d *liveDisplay) show(t table, events *eventLog) error {
	columns, lines := d.size()
	d.last = draw(t, heading(t, d.note), events.last(shownEvents), screen{columns: columns, lines: lines})
	var b strings.Builder
	if !d.open {
		b.WriteString(enterScreen)
		d.open = true
	}
	b.WriteString(toTop)
	for i, l := range d.last {
		if lines > 0 && i == lines {
			break
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.text(columns, d.color) + clearRight)
	}
	b.WriteString(clearBelow)
	// One write, so that the terminal never shows half a table.
	_, err := io.WriteString(d.out, b.String())
	return err
}

func (d *liveDisplay) redraws() bool { return true }

func (d *liveDisplay) close() error {
	if !d.open {
		return nil
	}
	d.open = false
	var b strings.Builder
	b.WriteString(leaveScreen)
	columns, _ := d.size()
	for _, l := range d.last {
		b.WriteString(l.text(columns, d.color) + "\r\n")
	}
	_, err := io.WriteString(d.out, b.String())
	return err
}

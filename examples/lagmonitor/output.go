package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"

	"github.com/lagkeeper/storage/inspector"
)

// terminal returns the width of the terminal behind a writer, and false if there is none that can be drawn on.
func terminal(out io.Writer, getenv func(string) string) (columns int, capable bool) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(file.Fd()) {
		return 0, false
	}
	columns, _, err := term.GetSize(file.Fd())
	if err != nil {
		columns = 0
	}
	return columns, getenv("TERM") != "dumb"
}

// colored reports whether to use colour.
func colored(opts options, capable bool) bool {
	return opts.color == "always" || opts.color == "auto" && capable && opts.getenv("NO_COLOR") == ""
}

// printer prints readings one below the other.
type printer struct {
	out     io.Writer
	color   bool
	columns int // 0 stands for any number
	seen    widths
}

// print prints a reading: the totals, the clusters, the groups and the new events.
func (p *printer) print(r reading) error {
	lines := append([]string{r.at.Format(time.TimeOnly) + "  " + totals(r, p.color)}, clusterLines(r, p.color)...)
	if len(r.groups) > 0 {
		g := layout(groupColumns, r.groups, p.seen, p.columns)
		lines = append(lines, "", g.titles(p.color))
		for _, row := range r.groups {
			lines = append(lines, g.row(row, p.color))
		}
	}
	if len(r.events) > 0 {
		lines = append(lines, "")
	}
	for _, e := range r.events {
		lines = append(lines, eventLine(e, p.color))
	}
	var b strings.Builder
	for _, line := range lines {
		if p.columns > 0 {
			line = ansi.Truncate(line, p.columns, "…")
		}
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// document is a reading in JSON. Groups have the form of api/v1/group of the inspector.
type document struct {
	Time     time.Time                `json:"time"`
	Clusters []clusterState           `json:"clusters"`
	Groups   []*inspector.GroupDetail `json:"groups"`
	// Events are the events since the last document.
	Events []event `json:"events"`
}

// printJSON prints one document on one line.
func printJSON(out io.Writer, r reading, groups []*inspector.GroupDetail) error {
	d := document{Time: r.at.UTC(), Clusters: r.clusters, Groups: append([]*inspector.GroupDetail{}, groups...), Events: append([]event{}, r.events...)}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		return err
	}
	_, err := io.WriteString(out, b.String())
	return err
}

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/lagkeeper/storage/kafkafeed"
	"github.com/lagkeeper/storage/status"
)

// shownEvents is the number of events shown below the groups.
const shownEvents = 4

// shownClusters is the number of clusters with a line in the header.
const shownClusters = 4

// marker precedes the row that the cursor is on; a space precedes all others.
const marker = "›"

// View implements tea.Model.
func (m model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen, v.WindowTitle = true, "lagmonitor"
	return v
}

// screen returns all lines of the screen, each cut to its width.
func (m model) screen() []string {
	if m.width <= 0 || m.height <= 0 {
		return nil
	}
	lines := append(m.header(), "")
	switch m.page {
	case groupsPage:
		lines = append(lines, m.groupLines()...)
	case partitionsPage:
		lines = append(lines, m.partitionLines()...)
	default:
		text := m.lines()
		lines = append(lines, text[m.text.top:min(m.text.top+m.room()+1, len(text))]...)
	}
	events := m.below()
	for len(lines) < m.height-len(events)-1 {
		lines = append(lines, "")
	}
	lines = append(append(lines[:max(min(len(lines), m.height-len(events)-1), 0)], events...), m.footer())
	lines = lines[:min(len(lines), m.height)]
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "…")
	}
	return lines
}

// room is the number of rows that fit below the line of titles.
func (m model) room() int {
	above := len(m.header()) + 2 // an empty line and the titles
	if m.page == partitionsPage {
		above++ // the line of the group
	}
	return max(m.height-above-len(m.below())-1, 1)
}

// header shows the totals of all groups, and the state of the feeds.
func (m model) header() []string {
	sorted := "sorted by " + groupColumns[m.sort].title
	if m.reverse {
		sorted += ", reversed"
	}
	shown := ""
	if m.filter != "" || m.typing {
		shown = fmt.Sprintf("  %d shown", len(m.rows))
	}
	title := paint("lagmonitor", bold, m.color) + "  " + m.reading.at.Format(time.TimeOnly) + "  " +
		count(len(m.reading.groups), "group") + shown + "  " + paint(sorted, dim, m.color)
	return append([]string{title, totals(m.reading, m.color)}, clusterLines(m.reading, m.color)...)
}

// totals counts the groups of each status, the most alarming status first.
func totals(r reading, color bool) string {
	counts := make(map[status.Status]int)
	for _, row := range r.groups {
		counts[row.Status]++
	}
	var parts []string
	for len(counts) > 0 {
		worst, first := status.Unknown, true
		for s := range counts {
			if first || s.Worse(worst) {
				worst, first = s, false
			}
		}
		parts = append(parts, paint(fmt.Sprintf("%s %d", statusName(worst), counts[worst]), statusStyle(worst), color))
		delete(counts, worst)
	}
	if len(parts) == 0 && slices.ContainsFunc(r.clusters, func(c clusterState) bool { return !c.Ready }) {
		return paint("no group is known yet", dim, color)
	}
	if len(parts) == 0 {
		return paint("no group has committed anything yet", dim, color)
	}
	return strings.Join(parts, "  ")
}

// clusterLines shows for each cluster how its feed learns of commits, the age of the newest poll, and what is missing.
func clusterLines(r reading, color bool) (lines []string) {
	for i, c := range r.clusters {
		if i == shownClusters && len(r.clusters) > shownClusters {
			return append(lines, paint(fmt.Sprintf("and %d clusters more", len(r.clusters)-i), dim, color))
		}
		mode := "commits from the log"
		switch {
		case c.Mode == modeRead:
			lines = append(lines, paint(c.Cluster, bold, color)+"  filled by others")
			continue
		case c.Mode == kafkafeed.ModePoll:
			mode = "commits polled"
		case c.Mode == kafkafeed.ModeAuto:
			mode = "starting"
		case c.Read != nil && !c.Ready:
			mode = fmt.Sprintf("%.0f %% of the log read", *c.Read*100)
		}
		poll := "no poll yet"
		if c.LastPoll != nil {
			poll = fmt.Sprintf("poll %s ago took %v", age(max(0, r.at.UnixMilli()-*c.LastPoll)), max(time.Duration(c.PollMs), 1)*time.Millisecond)
		}
		line := fmt.Sprintf("%s  %s  %s", paint(c.Cluster, bold, color), mode, poll)
		if len(c.Missing) > 0 {
			line += "  " + paint("! "+printable(strings.Join(c.Missing, "; ")), red, color)
		}
		if c.Reason != "" {
			line += "  " + paint("the log is not read: "+printable(oneLine(errors.New(c.Reason))), dim, color)
		}
		lines = append(lines, line)
	}
	return lines
}

// groupLines is the table of groups, as far as it fits.
func (m model) groupLines() []string {
	// The widths are those of all groups, whatever the filter: no column moves while the filter is typed.
	g := layout(groupColumns, m.reading.groups, m.seen, m.width-2)
	lines := []string{"  " + g.titles(m.color)}
	for i := m.groups.top; i < min(m.groups.top+m.room(), len(m.rows)); i++ {
		lines = append(lines, m.line(g.row(m.rows[i], m.color), i == m.groups.cursor))
	}
	if len(m.rows) == 0 && m.filter != "" {
		lines = append(lines, paint("  no group matches", dim, m.color))
	}
	return lines
}

// partitionLines is the table of the partitions of the open group.
func (m model) partitionLines() []string {
	name := paint(printable(m.open.group), bold, m.color)
	switch {
	case !m.loaded:
		return []string{name}
	case m.detail == nil:
		return []string{name + "  has gone"}
	}
	g := layout(partitionColumns, m.partitions, m.partitionsSeen, m.width-2)
	lines := []string{
		name + "  " + paint(statusName(m.detail.Status), statusStyle(m.detail.Status), m.color) + "  " + m.detail.Why,
		"  " + g.titles(m.color),
	}
	for i := m.partitionList.top; i < min(m.partitionList.top+m.room(), len(m.partitions)); i++ {
		lines = append(lines, m.line(g.row(m.partitions[i], m.color), i == m.partitionList.cursor))
	}
	return lines
}

// line is a row with or without the cursor on it.
func (m model) line(text string, cursor bool) string {
	switch {
	case !cursor:
		return "  " + text
	case !m.color:
		return marker + " " + text
	}
	return paint(marker, bold, m.color) + " " + paint(pad(ansi.Strip(text), m.width-2, false), chosen, m.color)
}

// below returns the lines between the groups and the last line: the newest events.
func (m model) below() []string {
	n := min(shownEvents, m.height/6, len(m.reading.events))
	if m.page != groupsPage || n == 0 {
		return nil
	}
	lines := []string{""}
	for _, e := range m.reading.events[len(m.reading.events)-n:] {
		lines = append(lines, eventLine(e, m.color))
	}
	return lines
}

// footer shows the available keys, or the filter being typed.
func (m model) footer() string {
	keys := "esc back  ↑↓ scroll  ? help  q quit"
	switch {
	case m.typing:
		return "/" + m.filter + paint(" ", chosen, m.color) + paint("  enter keeps  esc clears", dim, m.color)
	case m.page == groupsPage && m.filter != "":
		return "filter: " + m.filter + paint("  esc clears", dim, m.color)
	case m.page == groupsPage:
		keys = "↑↓ move  enter partitions  ←→ sort  / filter  e events  ? help  q quit"
	}
	return paint(keys, dim, m.color)
}

// lines is the text of the page of events or of help.
func (m model) lines() []string {
	if m.page == helpPage {
		return helpLines
	}
	if len(m.reading.events) == 0 {
		return []string{"nothing has happened yet"}
	}
	lines := make([]string, 0, len(m.reading.events))
	for _, e := range m.reading.events {
		lines = append(lines, eventLine(e, false))
	}
	return lines
}

func eventLine(e event, color bool) string {
	return paint(e.At.Format(time.TimeOnly)+"  "+printable(e.Text), dim, color)
}

var helpLines = strings.Split(`Keys
  ↑ ↓ pgup pgdn home end   move or scroll; also k j b space g G
  enter                    the partitions of the group: owner, commit, end, lag, lost
  ← →                      sort by the column before or after;  r  reverses
  /                        show only the groups whose name, topic, cluster or state holds a text
  e                        what has happened
  esc                      back; clears the filter
  q ctrl+c                 quit

States, the most alarming first
  STOPPED      has had messages to read, and committed nothing, for several times its longest pause
  STALLED      commits the same offset again and again, with messages to read
  BEYOND END   committed offsets that the log does not have
  RESET        the log was cut or made again since the commit
  REWOUND      went back to read again, and has not caught up since
  LAGGING      falls further behind
  CATCHING UP  is behind, and the lag shrinks
  BEHIND       is behind; too little is known to tell where the lag goes
  RESTORED     known from before a restart, and not confirmed since
  NO COMMIT    has committed nothing, though there is something to read
  OK           nothing left to read, or keeps up with what is written

Numbers
  ≥ is a lower bound, ± by how much a time may be wrong, - is not known
  LOST counts messages that were deleted before the group read them
  CATCH UP is there if the lag shrinks and at least three commits tell how fast`, "\n")

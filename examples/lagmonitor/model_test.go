package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/status"
)

var update = flag.Bool("update", false, "write the golden screens and the picture anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "%s: rewrite it with go test -run %s -update", path, t.Name())
}

// screen is a live view under test.
type screen struct {
	t     *testing.T
	world *world
	model model
	next  tea.Cmd
}

func newScreen(t *testing.T, width, height int, color bool) *screen {
	w := newWorld(t)
	last := w.readings(300)
	load := func(key groupKey) tea.Cmd {
		return func() tea.Msg {
			r := reader{source: w, now: w.now}
			detail, err := r.detail(context.Background(), key)
			require.NoError(t, err)
			return detailMsg{key, detail}
		}
	}
	s := &screen{t: t, world: w, model: newModel(color, load)}
	s.send(tea.WindowSizeMsg{Width: width, Height: height})
	s.send(readingMsg(last))
	return s
}

// send delivers a message, and then the message of the resulting command.
func (s *screen) send(msg tea.Msg) {
	updated, next := s.model.Update(msg)
	s.model = updated.(model)
	s.next = next
	if next != nil {
		if msg := next(); msg != nil {
			if _, quit := msg.(tea.QuitMsg); !quit {
				s.send(msg)
			}
		}
	}
}

// press presses keys, named as bubbletea names them.
func (s *screen) press(keys ...string) {
	codes := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft,
		"right": tea.KeyRight, "pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace}
	for _, key := range keys {
		k := tea.Key{Code: codes[key]}
		if k.Code == 0 {
			k = tea.Key{Code: []rune(key)[0], Text: key}
		}
		require.Equal(s.t, key, tea.KeyPressMsg(k).String())
		s.send(tea.KeyPressMsg(k))
	}
}

func (s *screen) text() string { return strings.Join(s.model.screen(), "\n") + "\n" }

// body returns the column with a title from top to bottom, as far as it is visible.
func (s *screen) body(title string) (cells []string) {
	at := -1
	for _, line := range s.model.screen() {
		switch {
		case at < 0 && strings.HasPrefix(line, "  STATE"):
			at = strings.Index(line, title)
		case at >= 0 && ansi.StringWidth(line) > at && (strings.HasPrefix(line, "  ") || strings.HasPrefix(line, marker)):
			cells = append(cells, strings.Fields(ansi.Cut(line, at, at+200))[0])
		case at >= 0:
			return cells
		}
	}
	return cells
}

func TestScreens(t *testing.T) {
	for _, size := range [][2]int{{60, 16}, {100, 24}, {200, 24}} {
		s := newScreen(t, size[0], size[1], false)
		golden(t, fmt.Sprintf("groups-%d.txt", size[0]), s.text())
		s.press("down", "down", "enter")
		golden(t, fmt.Sprintf("partitions-%d.txt", size[0]), s.text())
		s.press("?")
		golden(t, fmt.Sprintf("help-%d.txt", size[0]), s.text())
	}
}

// No line is longer than the terminal is wide, and there are as many lines as it is high, on every page.
func TestScreensFit(t *testing.T) {
	for width := 1; width < 230; width += 7 {
		for _, height := range []int{1, 2, 5, 9, 24, 60} {
			s := newScreen(t, width, height, true)
			for _, keys := range [][]string{nil, {"down", "right"}, {"enter"}, {"?", "end"}, {"e"}, {"esc"}, {"esc"}, {"/", "x"}} {
				s.press(keys...)
				lines := s.model.screen()
				require.Len(t, lines, height)
				for _, line := range lines {
					require.LessOrEqual(t, ansi.StringWidth(line), width, "%q", line)
				}
			}
		}
	}
}

func TestAlarmingFirst(t *testing.T) {
	s := newScreen(t, 200, 30, false)
	require.Equal(t, []string{"STOPPED", "RESET", "REWOUND", "LAGGING", "CATCHING", "BEHIND", "OK", "OK", "OK"}, s.body("STATE"))
	assert.Contains(t, s.text(), "STOPPED 1  RESET 1  REWOUND 1  LAGGING 1  CATCHING UP 1  BEHIND 1  OK 3\n")
	assert.Equal(t, "mailer", s.model.selected.group)
}

// Silence is judged by the rhythm of the group, and a group whose lag is falling is not OK yet.
func TestStates(t *testing.T) {
	w := newWorld(t)
	r := w.readings(300)
	assert.Equal(t, status.Stopped, r.find("mailer").Status)
	assert.Equal(t, status.OK, r.find("reports").Status, "it commits once a minute")
	assert.Equal(t, status.CatchingUp, r.find("import").Status)
	assert.NotNil(t, r.find("import").Flow.CatchUpMs)
	for _, group := range []string{"mailer", "warehouse", "reports", "payments-service", "ledger"} {
		assert.Nil(t, r.find(group).Flow.CatchUpMs, group)
	}
	assert.Nil(t, r.find("ledger").Lag.Messages)
	assert.Equal(t, []string{"prod: group mailer stopped, behind by 600", "prod: group search rewound, behind by 1,875"}, eventTexts(r.events))
	// A single commit shows no rhythm.
	assert.Equal(t, status.Behind, w.readings(300).find("payments-service").Status)
	assert.Equal(t, status.Stopped, w.readings(301).find("payments-service").Status)
	assert.Equal(t, status.OK, w.readings(480).find("search").Status)
}

func eventTexts(events []event) (texts []string) {
	for _, e := range events {
		texts = append(texts, e.Text)
	}
	return texts
}

func TestReturned(t *testing.T) {
	w := newWorld(t)
	w.groups[2].until = 0
	var events eventLog
	r := reader{source: w, clusters: []string{"prod"}, states: w.states, now: w.now}
	for _, until := range []int64{100, 50, 0} {
		w.second, w.groups[2].until = 150, until
		before := r.before
		now, err := r.read(t.Context())
		require.NoError(t, err)
		events.compare(before, now.groups, now.at)
	}
	assert.Equal(t, []string{"group mailer returned, behind by 0"}, eventTexts(events.all()))
}

func TestSortAndReverse(t *testing.T) {
	s := newScreen(t, 200, 30, false)
	s.press("right", "right")
	assert.Contains(t, s.text(), "sorted by GROUP")
	assert.Equal(t, []string{"b�[2Jad", "billing", "import", "ledger", "mailer", "payments-service-of-the-second-floor-v2", "reports", "search", "warehouse"},
		s.body("GROUP"))
	s.press("r")
	assert.Contains(t, s.text(), "sorted by GROUP, reversed")
	assert.Equal(t, "warehouse", s.body("GROUP")[0])
	s.press("right", "right", "right", "right")
	assert.Contains(t, s.text(), "sorted by LAG\n")
	assert.Equal(t, []string{"import", "warehouse", "payments-service-of-the-second-floor-v2", "mailer", "search"}, s.body("GROUP")[:5])
	assert.Equal(t, "ledger", s.body("GROUP")[8], "unknown values come last")
	s.press("left", "left", "left", "left", "left", "left")
	assert.Contains(t, s.text(), "sorted by STATE\n")
	s.press("left")
	assert.Contains(t, s.text(), "sorted by COMMITTED\n", "the last column precedes the first")
	s.press("left", "left", "left", "left")
	assert.Contains(t, s.text(), "sorted by TIME LAG\n", "TREND cannot be sorted by")
}

func TestSortSkipsColumnsThatAreNotThere(t *testing.T) {
	s := newScreen(t, 200, 30, false)
	r := s.model.reading
	for _, row := range r.groups {
		row.shownCluster = "" // there is only one
	}
	s.press("right")
	assert.Contains(t, s.text(), "sorted by GROUP\n")
	s.press("left")
	assert.Contains(t, s.text(), "sorted by STATE\n")
}

func TestFilter(t *testing.T) {
	s := newScreen(t, 200, 30, false)
	before := strings.Split(s.text(), "\n")[5]
	s.press("/", "A", "Y", "m")
	assert.Equal(t, []string{"mailer", "search", "payments-service-of-the-second-floor-v2"}, s.body("GROUP"), "by the topic")
	assert.Contains(t, s.text(), "9 groups  3 shown")
	assert.Equal(t, before, strings.Split(s.text(), "\n")[5], "no column jumps")
	s.press("q")
	assert.Contains(t, s.text(), "no group matches")
	s.press("backspace", "enter", "down", "enter")
	assert.Contains(t, s.text(), "search  REWOUND  went back by 600")
	s.press("esc")
	assert.Contains(t, s.text(), "filter: AYm")
	s.press("esc")
	assert.Len(t, s.body("GROUP"), 9)
	s.press("/")
	s.send(tea.PasteMsg{Content: "stop\nped"})
	assert.Contains(t, s.text(), "/stop ped")
	s.press("esc", "/", "O", "K", "enter")
	assert.Len(t, s.body("GROUP"), 3, "by the state")
	s.press("/", "esc", "/", "t", "e", "s", "t")
	assert.Len(t, s.body("GROUP"), 2, "by the cluster")
}

func TestCursorAndScrolling(t *testing.T) {
	s := newScreen(t, 100, 13, false)
	room := s.model.room()
	require.Equal(t, 3, room)
	s.press("down", "down", "down")
	assert.Equal(t, [2]int{3, 1}, [2]int{s.model.groups.cursor, s.model.groups.top})
	s.press("pgdown")
	assert.Equal(t, [2]int{6, 4}, [2]int{s.model.groups.cursor, s.model.groups.top})
	s.press("end", "down")
	assert.Equal(t, [2]int{8, 6}, [2]int{s.model.groups.cursor, s.model.groups.top})
	s.press("pgup", "up")
	assert.Equal(t, 4, s.model.groups.cursor)
	selected := s.model.selected
	// The cursor stays on its group when the rows move, and in place at the top.
	s.press("r")
	assert.Equal(t, selected, s.model.rows[s.model.groups.cursor].key())
	s.press("home")
	s.press("r")
	assert.Equal(t, 0, s.model.groups.cursor)
	assert.Equal(t, "mailer", s.model.selected.group)
	s.press("end")
	shorter := s.model.reading
	shorter.groups = shorter.groups[:2]
	s.send(readingMsg(shorter))
	assert.Equal(t, 1, s.model.groups.cursor)
	shorter.groups = nil
	s.send(readingMsg(shorter))
	assert.Contains(t, s.text(), "no group has committed anything yet")
	s.press("enter", "down")
	assert.Equal(t, groupsPage, s.model.page)
}

func TestPartitions(t *testing.T) {
	s := newScreen(t, 200, 12, false)
	s.press("/", "p", "a", "y", "m", "e", "n", "t", "s", "-", "enter", "enter")
	assert.Contains(t, s.text(), "payments-service-of-the-second-floor-v2  BEHIND")
	require.Len(t, s.model.partitions, 12)
	s.press("end")
	assert.Equal(t, 11, s.model.partitionList.cursor)
	before := s.model.detail
	s.world.second += 10
	s.send(readingMsg(s.world.readings(310)))
	assert.NotSame(t, before, s.model.detail, "read again with each reading")
	assert.Equal(t, 11, s.model.partitionList.cursor)
	s.send(detailMsg{groupKey{"test", "another"}, &inspector.GroupDetail{}})
	assert.Len(t, s.model.partitions, 12, "the answer to an earlier request is not shown")
	s.send(detailMsg{s.model.open, nil})
	assert.Contains(t, s.text(), "has gone")
	s.press("esc")
	assert.Equal(t, groupsPage, s.model.page)
}

func TestEventsPage(t *testing.T) {
	s := newScreen(t, 100, 12, false)
	for i := range 50 {
		s.model.reading.events = append(s.model.reading.events, event{dawn.Add(time.Duration(i) * time.Second), fmt.Sprintf("event %d\x1b[2J", i)})
	}
	s.press("e")
	assert.Contains(t, s.text(), "event 49�[2J", "the newest")
	s.press("home")
	assert.Contains(t, s.text(), "prod: group mailer stopped")
	s.press("?")
	assert.Contains(t, s.text(), "Keys")
	s.press("?", "e")
	s.press("esc")
	assert.Equal(t, groupsPage, s.model.page)
}

func TestQuit(t *testing.T) {
	s := newScreen(t, 100, 12, false)
	s.press("q")
	require.NotNil(t, s.next)
	assert.Equal(t, tea.QuitMsg{}, s.next())
	s.press("/", "q")
	assert.Equal(t, "q", s.model.filter, "a letter of the filter")
	s.send(tea.KeyPressMsg(tea.Key{Code: 'c', Mod: tea.ModCtrl}))
	require.NotNil(t, s.next)
	assert.Equal(t, tea.QuitMsg{}, s.next())
}

// A column is never narrower than it was.
func TestColumnsDoNotJump(t *testing.T) {
	s := newScreen(t, 200, 30, false)
	titles := func() string { return strings.Split(s.text(), "\n")[5] }
	before := titles()
	require.Contains(t, before, "LOST")
	fewer := s.model.reading
	fewer.groups = fewer.groups[len(fewer.groups)-1:]
	s.send(readingMsg(fewer))
	assert.Equal(t, before, titles())
}

// Colour alone carries no information: without it the text is the same.
func TestColorIsNotAlone(t *testing.T) {
	colored, plain := newScreen(t, 100, 24, true), newScreen(t, 100, 24, false)
	for i, line := range colored.model.screen() {
		require.Equal(t, strings.TrimRight(plain.model.screen()[i], " "), strings.TrimRight(ansi.Strip(line), " "))
	}
	assert.Contains(t, colored.text(), "\x1b[31mRESET")
	assert.NotContains(t, plain.text(), "\x1b")
}

package main

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/lagkeeper/storage/inspector"
)

// page is what the screen shows below the header.
type page int

const (
	groupsPage page = iota
	partitionsPage
	eventsPage
	helpPage
)

// model is the live view. Only messages change it: readings, keys and the size of the terminal.
type model struct {
	color bool
	// load returns the command that reads one group; its message is a detailMsg.
	load func(groupKey) tea.Cmd

	width, height int
	reading       reading
	page          page
	from          page // the page to which help and events return

	sort    int // index in groupColumns
	reverse bool
	filter  string
	typing  bool // whether the filter is being typed

	rows     []*groupRow // the rows that pass the filter, sorted
	groups   list
	selected groupKey // the row that the cursor stays on when rows move
	seen     widths

	open           groupKey
	detail         *inspector.GroupDetail // nil while the group is being read, and if it is gone
	loaded         bool
	partitions     []*partitionRow
	partitionList  list
	partitionsSeen widths
	text           list // of events and help
}

// readingMsg delivers a new reading.
type readingMsg reading

// detailMsg delivers the partitions of a group, nil if it is gone.
type detailMsg struct {
	key    groupKey
	detail *inspector.GroupDetail
}

func newModel(color bool, load func(groupKey) tea.Cmd) model {
	return model{color: color, load: load, seen: widths{}, partitionsSeen: widths{}}
}

// list is a cursor in rows, of which a window is shown.
type list struct{ cursor, top int }

// move moves the cursor within n rows and keeps it in the window, whose height is given.
func (l *list) move(by, n, window int) {
	l.cursor = min(max(l.cursor+by, 0), max(n-1, 0))
	l.top = min(max(min(l.top, l.cursor), l.cursor-window+1, 0), max(n-window, 0))
}

// scroll moves the window on pages without a cursor.
func (l *list) scroll(by, n, window int) {
	l.top = min(max(l.top+by, 0), max(n-window, 0))
}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var next tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case readingMsg:
		m.reading = reading(msg)
		if m.page == partitionsPage {
			next = m.load(m.open)
		}
	case detailMsg:
		if msg.key == m.open {
			m.detail, m.loaded, m.partitions = msg.detail, true, nil
			if msg.detail != nil {
				m.partitions = partitionRows(msg.detail)
			}
		}
	case tea.PasteMsg:
		if m.typing {
			m.filter += printable(strings.Join(strings.Fields(msg.Content), " "))
		}
	case tea.KeyPressMsg:
		switch {
		case msg.String() == "ctrl+c":
			return m, tea.Quit
		case m.typing:
			m.typed(msg)
		default:
			next = m.key(msg.String())
		}
	}
	m.arrange()
	return m, next
}

// typed handles a key while the filter is typed.
func (m *model) typed(key tea.KeyPressMsg) {
	switch key.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-size]
	case "ctrl+u":
		m.filter = ""
	default:
		m.filter += key.Text
	}
}

// key handles any other key.
func (m *model) key(key string) tea.Cmd {
	switch key {
	case "q":
		return tea.Quit
	case "?":
		m.turn(helpPage)
	case "e":
		m.turn(eventsPage)
	case "esc", "backspace":
		switch {
		case m.page == helpPage || m.page == eventsPage:
			m.page = m.from
		case m.page == partitionsPage:
			m.page = groupsPage
		default:
			m.filter = ""
		}
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(+1)
	case "pgup", "b":
		m.move(-m.room())
	case "pgdown", "space":
		m.move(m.room())
	case "home", "g":
		m.move(-1 << 30)
	case "end", "G":
		m.move(1 << 30)
	}
	if m.page != groupsPage {
		return nil
	}
	switch key {
	case "/":
		m.typing = true
	case "left":
		m.sortBy(-1)
	case "right":
		m.sortBy(+1)
	case "r":
		m.reverse = !m.reverse
	case "enter":
		if len(m.rows) > 0 {
			m.page, m.open = partitionsPage, m.selected
			m.detail, m.loaded, m.partitions, m.partitionList, m.partitionsSeen = nil, false, nil, list{}, widths{}
			return m.load(m.open)
		}
	}
	return nil
}

// turn opens a page over another one, or closes it.
func (m *model) turn(to page) {
	switch {
	case m.page == to:
		m.page = m.from
		return
	case m.page == groupsPage || m.page == partitionsPage:
		m.from = m.page
	}
	m.page, m.text = to, list{}
	if to == eventsPage {
		m.text.top = 1 << 30 // the newest at the bottom
	}
}

// sortBy selects the next visible column that can be sorted by.
func (m *model) sortBy(step int) {
	m.reverse = false
	for {
		m.sort = (m.sort + step + len(groupColumns)) % len(groupColumns)
		if c := &groupColumns[m.sort]; c.compare != nil && !c.empty(m.reading.groups) {
			return
		}
	}
}

// move moves the cursor or the window of the page.
func (m *model) move(by int) {
	switch m.page {
	case groupsPage:
		m.groups.move(by, len(m.rows), m.room())
		if len(m.rows) > 0 {
			m.selected = m.rows[m.groups.cursor].key()
		}
	case partitionsPage:
		m.partitionList.move(by, len(m.partitions), m.room())
	default:
		m.text.scroll(by, len(m.lines()), m.room())
	}
}

// arrange filters and sorts the rows, and keeps cursors and windows in range.
func (m *model) arrange() {
	m.rows = m.rows[:0:0]
	wanted := strings.ToLower(m.filter)
	for _, r := range m.reading.groups {
		if wanted == "" || slices.ContainsFunc([]string{r.Group, r.topic, r.shownCluster, statusName(r.Status)}, func(text string) bool {
			return strings.Contains(strings.ToLower(text), wanted)
		}) {
			m.rows = append(m.rows, r)
		}
	}
	compare := groupColumns[m.sort].compare
	slices.SortStableFunc(m.rows, func(a, b *groupRow) int {
		if m.reverse {
			a, b = b, a
		}
		return cmp.Or(compare(a, b), byAlarm(a, b))
	})
	// At the top the cursor stays there, whichever row moves up; elsewhere it stays on its group.
	if i := slices.IndexFunc(m.rows, func(r *groupRow) bool { return r.key() == m.selected }); i >= 0 && m.groups.cursor > 0 {
		m.groups.cursor = i
	}
	m.groups.move(0, len(m.rows), m.room())
	if len(m.rows) > 0 {
		m.selected = m.rows[m.groups.cursor].key()
	}
	m.partitionList.move(0, len(m.partitions), m.room())
	if m.page == helpPage || m.page == eventsPage {
		m.text.scroll(0, len(m.lines()), m.room())
	}
}

package inspector

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"name":     shownName,
	"count":    func(n uint64) string { return count(float64(n)) },
	"rate":     rateText,
	"duration": durationText,
	"offset":   offsetText,
	"state":    statusName,
	"class":    statusClass,
	"rows":     partitionRows,
	"groups":   groupRows,
	"clock":    func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05 UTC") },
	"ago":      func(now int64, ms *int64) string { return agoText(now, ms) },
	"link":     link,
	"bytes":    bytesOf,
	"words":    func(key string) string { return strings.ReplaceAll(key, "_", " ") },
	"where":    whereText,
	"most":     func() int { return maxPerPage },
	"mostEnds": func() int { return maxEnds },
	// Only these events concern one partition; the others leave its number 0.
	"ofPartition": func(k protocol.EventKind) bool {
		return k == protocol.EventOwnerChanged || k == protocol.EventIncarnationChanged
	},
	"inc": func(n int) int { return n + 1 },
	"dec": func(n int) int { return n - 1 },
}).ParseFS(assets, "assets/*.html"))

// statusName shows a status; the zero value as a word too.
func statusName(s status.Status) string {
	if s == status.Unknown {
		return "UNKNOWN"
	}
	return string(s)
}

// statusClass is the class that colours a status. The name of the status stands beside it, so nothing depends on colour alone.
func statusClass(s status.Status) string {
	switch s {
	case status.Stopped, status.Stalled, status.BeyondEnd, status.Reset:
		return "bad"
	case status.Rewound, status.Lagging:
		return "warn"
	case status.OK:
		return "good"
	default:
		return "plain"
	}
}

func agoText(now int64, ms *int64) string {
	if ms == nil {
		return unknown
	}
	if now-*ms < 1000 {
		return "now"
	}
	return duration(float64(now-*ms)) + " ago"
}

// whereText says of which partitions a reason is, if it is a reason to worry and there are others than the one.
func whereText(s status.Status, topic string, partition int32, partitions, all int) string {
	switch {
	case all < 2 || s == status.OK || s == status.Unknown:
		return ""
	case partitions == 2:
		return fmt.Sprintf(" (%s %d and one more partition)", shownName(topic), partition)
	case partitions > 2:
		return fmt.Sprintf(" (%s %d and %d more partitions)", shownName(topic), partition, partitions-1)
	}
	return fmt.Sprintf(" (%s %d)", shownName(topic), partition)
}

// link makes a relative address of a page and pairs of a key and its value.
func link(page string, pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	if page == "" {
		page = "./"
	}
	if len(values) == 0 {
		return page
	}
	return page + "?" + values.Encode()
}

// view is what every page is given.
type view struct {
	Title, Page string
	// Of is what the page is of, beside the title of all pages.
	Of string
	// Interval is how often there is something new, in milliseconds.
	Interval int64
	At       int64
	Error    string
	// SeesAll is true if the request may see the statistics of the store.
	SeesAll bool

	List    *GroupList
	Query   listQuery
	Columns []column
	Filters []statusFilter

	Group  *GroupDetail
	Charts []chart
	// GroupTopics are the topics of the group that are shown, each with at most PerTopic partitions.
	GroupTopics []*GroupTopic
	PerTopic    int

	Topics []TopicRow
	Topic  *TopicDetail

	Changes []Change
	Store   *Store
	Self    *Self
}

// column is the head of a column that can be sorted by.
type column struct {
	Title, Link, Order string
	Number             bool
	Less               bool // there is no room for it on a telephone
}

// statusFilter is a link that shows the groups of one status.
type statusFilter struct {
	Status status.Status
	Name   string
	Count  int
	Link   string
	Chosen bool
}

// chart is a picture and, for the crosshair, what it shows at each of its places.
type chart struct {
	Title   string
	Picture template.HTML
	Points  string
	Why     string
	Link    string // to the picture alone
}

// render makes a page.
func (h *Handler) render(r *http.Request, page string, v view) (*body, error) {
	v.Title, v.Page, v.Interval, v.SeesAll = h.options.Title, page, h.options.Interval.Milliseconds(), h.seesAll(r)
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, page+".html", &v); err != nil {
		return nil, err
	}
	return newBody("text/html; charset=utf-8", b.Bytes()), nil
}

// contentTypes are those of the assets. Those of the system may be anything.
var contentTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func (h *Handler) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		h.fail(w, errNotFound)
		return
	}
	b, err := h.assets.of(0, name, func() (*body, error) {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return nil, errNotFound
		}
		return newBody(contentType, text), nil
	})
	h.serve(w, r, b, err)
}

func (h *Handler) groupsPage(w http.ResponseWriter, r *http.Request) {
	query := readQuery(r.URL.Query())
	h.sharedAnswer(w, r, "page"+query.values().Encode(), func(current *reading) (*body, error) {
		list := h.list(current, query, h.allow(r))
		return h.render(r, "groups", groupsView(query, &list))
	})
}

func groupsView(query listQuery, list *GroupList) view {
	query.Page = list.Page
	v := view{Of: "Groups", At: list.At, List: list, Query: query, Error: list.Totals.Unreadable}
	for _, c := range []struct {
		title, sort string
		number      bool
	}{
		{"State", "status", false}, {"Group", "group", false}, {"Topics", "topics", true}, {"Members", "members", true},
		{"Lag", "lag", true}, {"Time lag", "time", true}, {"In", "in", true}, {"Out", "out", true},
		{"Catch up", "catch-up", true}, {"Last commit", "commit", true},
	} {
		next, order := query, "none"
		next.Sort, next.Reverse, next.Page = c.sort, false, 1
		if query.Sort == c.sort {
			// Names begin with A, everything else with what is worse or larger.
			next.Reverse, order = !query.Reverse, "descending"
			if query.Reverse != (c.sort == "group") {
				order = "ascending"
			}
		}
		v.Columns = append(v.Columns, column{c.title, address(next), order, c.number, c.sort == "topics" || c.sort == "members"})
	}
	v.Filters = filters(query, list)
	return v
}

// filters are the links to the groups of each status that there is, and of the one that is chosen.
func filters(query listQuery, list *GroupList) []statusFilter {
	counts := maps.Clone(list.Totals.ByStatus)
	if query.Status != "" {
		counts[query.Status] += 0
	}
	var all []statusFilter
	for s, n := range counts {
		next := query
		next.Page = 1
		if next.Status = s; query.Status == s {
			next.Status = ""
		}
		all = append(all, statusFilter{s, statusName(s), n, address(next), query.Status == s && s != ""})
	}
	slices.SortFunc(all, func(a, b statusFilter) int { return compareStatus(a.Status, b.Status) })
	return all
}

// address returns the relative address of a list.
func address(q listQuery) string {
	values := q.values()
	if len(values) == 0 {
		return "./"
	}
	return "./?" + values.Encode()
}

// PageLink returns the address of another page of the list.
func (v *view) PageLink(page int) string {
	next := v.Query
	next.Page = page
	return address(next)
}

// TopicsLink returns the address of another page of the list of topics.
func (v *view) TopicsLink(page int) string {
	next := v.Query
	next.Page = page
	return "topics?" + next.values().Encode()
}

func (h *Handler) groupPage(w http.ResponseWriter, r *http.Request) {
	b, err := h.sharedGroup(r, fmt.Sprintf("page %t", h.seesAll(r)), func(detail *GroupDetail) (*body, error) {
		history := h.historyOf(detail.seriesKeys(), h.collector.history.length)
		return h.render(r, "group", view{
			Of: detail.Group, At: detail.At, Group: detail, Charts: charts(detail, &history),
			GroupTopics: detail.shownTopics(), PerTopic: partitionsPerTopic(len(detail.TopicDetails)),
		})
	})
	h.serve(w, r, b, err)
}

func charts(g *GroupDetail, history *History) []chart {
	var all []chart
	for _, kind := range []string{"lag", "time"} {
		k := chartKinds[kind]
		c := chart{Title: k.title, Why: history.Why, Link: link("chart.svg", "cluster", g.Cluster, "name", g.Group, "kind", kind)}
		if history.Kept {
			c.Picture = template.HTML(drawChart(kind, history)) // of numbers alone
			c.Points = points(k, history)
		}
		all = append(all, c)
	}
	return all
}

// points are the places of a chart as JSON: how far right, in parts of the width, and what to show there.
func points(k chartKind, h *History) string {
	type point struct {
		X    float64 `json:"x"`
		Text string  `json:"text"`
	}
	first, last := span(h.At)
	all := make([]point, 0, len(h.At))
	for i, v := range k.values(h) {
		text := unknown
		if v != nil {
			text = bound(k.bound(h, i)) + k.format(*v)
			if margin, ok := k.margin(h, i); ok && margin > 0 {
				text += " ±" + k.format(margin)
			}
		}
		at := time.UnixMilli(h.At[i]).UTC().Format("15:04:05 UTC")
		x := (marginLeft + float64(h.At[i]-first)/float64(last-first)*(chartWidth-marginLeft-marginRight)) / chartWidth
		all = append(all, point{x, at + "  " + text})
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "[]"
	}
	return string(text)
}

func (h *Handler) topicsPage(w http.ResponseWriter, r *http.Request) {
	query := readQuery(r.URL.Query())
	h.sharedAnswer(w, r, "topics page"+query.values().Encode(), func(current *reading) (*body, error) {
		return h.render(r, "topics", topicsView(current, query, h.allow(r)))
	})
}

func topicsView(current *reading, query listQuery, allow func(cluster, group string) bool) view {
	rows := slices.DeleteFunc(current.topicRows(allow), func(t TopicRow) bool { return !containsFold(t.Topic, query.Name) })
	slices.SortStableFunc(rows, func(a, b TopicRow) int { return cmp.Compare(a.Topic, b.Topic) })
	list := GroupList{Totals: Totals{Matching: len(rows)}, Pages: max(1, (len(rows)+maxPerPage-1)/maxPerPage)}
	list.Page = min(query.Page, list.Pages)
	query.Page = list.Page
	rows = rows[(list.Page-1)*maxPerPage : min(list.Page*maxPerPage, len(rows))]
	return view{Of: "Topics", At: millis(current.at), Topics: rows, Query: query, List: &list}
}

func (h *Handler) topicPage(w http.ResponseWriter, r *http.Request) {
	b, err := h.sharedTopic(r, "topic page", func(detail *TopicDetail) (*body, error) {
		return h.render(r, "topic", view{Of: detail.Topic, At: detail.At, Topic: detail})
	})
	h.serve(w, r, b, err)
}

func (h *Handler) changesPage(w http.ResponseWriter, r *http.Request) {
	changes, read, _ := h.changesFor(r, 0)
	h.sharedAnswer(w, r, fmt.Sprint("changes page ", read), func(*reading) (*body, error) {
		slices.Reverse(changes)
		return h.render(r, "changes", view{Of: "Changes", At: millis(h.options.Now()), Changes: changes[:min(len(changes), maxPerPage)]})
	})
}

func (h *Handler) storePage(w http.ResponseWriter, r *http.Request) {
	if !h.seesAll(r) {
		h.fail(w, errNotFound)
		return
	}
	b, err := h.shareNow("store page", func() (*body, error) {
		state := h.storeState()
		return h.render(r, "store", view{Of: "Store", At: millis(h.options.Now()), Store: state.Store, Self: &state.Inspector})
	})
	h.serve(w, r, b, err)
}

// live sends the event "tick" whenever the pages have something new.
func (h *Handler) live(w http.ResponseWriter, r *http.Request) {
	s, end := h.stream(w, r)
	if s == nil {
		return
	}
	defer end()
	h.follow(s, r, func() (<-chan struct{}, error) {
		current, next := h.collector.want()
		if current == nil {
			return next, nil
		}
		return next, s.send("tick", "", strconv.FormatUint(current.sequence, 10))
	})
}

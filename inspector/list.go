package inspector

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lagkeeper/storage/status"
)

// maxPerPage is the number of groups that a page may show: more rows than that nobody reads, and a browser feels.
const maxPerPage = 200

// maxEnds is the number of end offsets that the page of a topic shows. A topic may have a million partitions.
const maxEnds = 1000

// listQuery says which groups a list shows, in what order.
type listQuery struct {
	Cluster, Name, Topic string
	Status               status.Status
	Sort                 string
	Reverse              bool
	Page, PerPage        int

	folded string // Name in lower case
}

// sorts are the columns that a list can be sorted by. Each compares so that what is worse or larger comes first.
var sorts = map[string]func(a, b *GroupRow) int{
	"status":   func(a, b *GroupRow) int { return compareStatus(a.Status, b.Status) },
	"cluster":  func(a, b *GroupRow) int { return cmp.Compare(a.Cluster, b.Cluster) },
	"group":    func(a, b *GroupRow) int { return cmp.Compare(a.Group, b.Group) },
	"topics":   func(a, b *GroupRow) int { return cmp.Compare(b.Topics, a.Topics) },
	"members":  func(a, b *GroupRow) int { return cmp.Compare(b.Members, a.Members) },
	"lag":      func(a, b *GroupRow) int { return compareKnown(b.Lag.Messages, a.Lag.Messages) },
	"time":     func(a, b *GroupRow) int { return compareKnown(b.Lag.TimeMs, a.Lag.TimeMs) },
	"in":       func(a, b *GroupRow) int { return compareKnown(b.Flow.InPerSecond, a.Flow.InPerSecond) },
	"out":      func(a, b *GroupRow) int { return compareKnown(b.Flow.OutPerSecond, a.Flow.OutPerSecond) },
	"catch-up": func(a, b *GroupRow) int { return compareKnown(b.Flow.CatchUpMs, a.Flow.CatchUpMs) },
	"commit":   func(a, b *GroupRow) int { return compareKnown(b.LastCommit, a.LastCommit) },
}

// Compare orders two groups by a column of api/v1/groups: below 0 if g comes before other. It returns 0 for a column that there
// is not.
func (g *GroupRow) Compare(other *GroupRow, column string) int {
	if compare := sorts[column]; compare != nil {
		return compare(g, other)
	}
	return 0
}

func compareStatus(a, b status.Status) int {
	switch {
	case a.Worse(b):
		return -1
	case b.Worse(a):
		return +1
	}
	return 0
}

// compareKnown orders what is not known before everything else.
func compareKnown[T cmp.Ordered](a, b *T) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return +1
	}
	return cmp.Compare(*a, *b)
}

// readQuery takes a list's query from an address. What it does not know stands for the default.
func readQuery(values url.Values) listQuery {
	q := listQuery{
		Cluster: values.Get("cluster"), Name: values.Get("q"), Topic: values.Get("topic"),
		Status: status.Status(values.Get("status")), Sort: values.Get("sort"), Reverse: values.Get("reverse") == "1",
		Page: number(values.Get("page"), 1, 1<<30), PerPage: number(values.Get("per_page"), 50, maxPerPage),
	}
	q.folded = strings.ToLower(q.Name)
	if sorts[q.Sort] == nil {
		q.Sort = "status"
	}
	return q
}

func number(text string, otherwise, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return otherwise
	}
	return min(n, most)
}

// values returns the query as an address holds it, without what is the default.
func (q listQuery) values() url.Values {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("cluster", q.Cluster)
	set("q", q.Name)
	set("topic", q.Topic)
	set("status", string(q.Status))
	if q.Sort != "status" {
		set("sort", q.Sort)
	}
	if q.Reverse {
		set("reverse", "1")
	}
	if q.Page > 1 {
		set("page", strconv.Itoa(q.Page))
	}
	if q.PerPage != 50 {
		set("per_page", strconv.Itoa(q.PerPage))
	}
	return v
}

func (q listQuery) matches(g *GroupRow) bool {
	return (q.Cluster == "" || q.Cluster == g.Cluster) &&
		(q.Status == "" || q.Status == g.Status) &&
		strings.Contains(g.folded, q.folded) &&
		(q.Topic == "" || slices.Contains(g.topics, q.Topic))
}

// order is how a list is sorted.
type order struct {
	sort    string
	reverse bool
}

// sorted returns the indexes of all groups in an order. It must not be changed: it is the same for everybody.
func (r *reading) sorted(by order) []int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.orders[by]; known != nil {
		return known
	}
	compare := sorts[by.sort]
	all := make([]int32, len(r.groups))
	for i := range all {
		all[i] = int32(i)
	}
	slices.SortStableFunc(all, func(i, j int32) int {
		a, b := &r.groups[i], &r.groups[j]
		c := compare(a, b)
		if by.reverse {
			c = -c
		}
		// The worst first among equals, then the largest lag, then by name as the reading is.
		return cmp.Or(c, compareStatus(a.Status, b.Status), compareKnown(b.Lag.Messages, a.Lag.Messages))
	})
	if r.orders == nil {
		r.orders = make(map[order][]int32)
	}
	r.orders[by] = all
	return all
}

// list answers a query from a reading. allow hides groups; nil hides none.
func (h *Handler) list(r *reading, q listQuery, allow func(cluster, group string) bool) GroupList {
	out := r.list(q, allow)
	h.collector.sparklines(out.Groups)
	return out
}

// list answers a query, but for the sparklines.
func (r *reading) list(q listQuery, allow func(cluster, group string) bool) GroupList {
	out := GroupList{At: millis(r.at), Totals: Totals{ByStatus: make(map[status.Status]int)}, Groups: []GroupRow{}}
	matching := make([]int32, 0, len(r.groups))
	for _, i := range r.sorted(order{q.Sort, q.Reverse}) {
		g := &r.groups[i]
		if allow != nil && !allow(g.Cluster, g.Group) {
			continue
		}
		out.Totals.Groups++
		if !q.matches(g) {
			continue
		}
		matching = append(matching, i)
		out.Totals.ByStatus[g.Status]++
		if g.Lag.Messages != nil {
			out.Totals.Messages += *g.Lag.Messages
		} else if g.LastCommit != nil {
			out.Totals.AtLeast = true
		}
		out.Totals.AtLeast = out.Totals.AtLeast || g.Lag.AtLeast
	}
	if r.err != nil {
		out.Totals.Unreadable = "the store could not be read in full"
	}
	out.Totals.Matching = len(matching)
	out.Pages = max(1, (len(matching)+q.PerPage-1)/q.PerPage)
	out.Page = min(q.Page, out.Pages)
	from := (out.Page - 1) * q.PerPage
	for _, i := range matching[from:min(from+q.PerPage, len(matching))] {
		out.Groups = append(out.Groups, r.groups[i])
	}
	return out
}

// containsFold reports whether a name contains a part, in whatever case.
func containsFold(name, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(name), strings.ToLower(part))
}

package inspector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// routes says what is where. All that a page links to is relative to the directory of the pages.
func (h *Handler) routes() {
	h.mux.HandleFunc("GET /{$}", h.groupsPage)
	h.mux.HandleFunc("GET /group", h.groupPage)
	h.mux.HandleFunc("GET /topics", h.topicsPage)
	h.mux.HandleFunc("GET /topic", h.topicPage)
	h.mux.HandleFunc("GET /changes", h.changesPage)
	h.mux.HandleFunc("GET /store", h.storePage)
	h.mux.HandleFunc("GET /chart.svg", h.chartFile)
	h.mux.HandleFunc("GET /live", h.live)
	h.mux.HandleFunc("GET /assets/{name}", h.asset)

	h.mux.HandleFunc("GET /api/v1/groups", h.apiGroups)
	h.mux.HandleFunc("GET /api/v1/group", h.apiGroup)
	h.mux.HandleFunc("GET /api/v1/topics", h.apiTopics)
	h.mux.HandleFunc("GET /api/v1/topic", h.apiTopic)
	h.mux.HandleFunc("GET /api/v1/history", h.apiHistory)
	h.mux.HandleFunc("GET /api/v1/changes", h.apiChanges)
	h.mux.HandleFunc("GET /api/v1/store", h.apiStore)
}

// fail answers an error. What went wrong inside is not shown: it may name what the request may not see.
func (h *Handler) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNotFound):
		http.Error(w, "not found", http.StatusNotFound)
	default:
		http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
	}
}

// answer writes JSON.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, value any) {
	body, err := marshal(value)
	h.serve(w, r, body, err)
}

// serve answers with a body, or with the error that came in its place.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, b *body, err error) {
	if err != nil {
		h.fail(w, err)
		return
	}
	b.serve(w, r)
}

// marshal makes a body of JSON.
func marshal(value any) (*body, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return newBody("application/json", append(text, '\n')), nil
}

func (h *Handler) apiGroups(w http.ResponseWriter, r *http.Request) {
	query := readQuery(r.URL.Query())
	if wantsStream(r) {
		h.streamGroups(w, r, query)
		return
	}
	h.sharedAnswer(w, r, "groups"+query.values().Encode(), func(current *reading) (*body, error) {
		return marshal(h.list(current, query, h.allow(r)))
	})
}

// named returns the cluster and the name that an address asks for. A group that the request may not see is not found.
func (h *Handler) named(r *http.Request, isGroup bool) (cluster, name string, err error) {
	values := r.URL.Query()
	cluster, name = values.Get("cluster"), values.Get("name")
	if allow := h.allow(r); isGroup && allow != nil && !allow(cluster, name) {
		return "", "", errNotFound
	}
	return cluster, name, nil
}

func (h *Handler) groupFor(r *http.Request) (*GroupDetail, error) {
	cluster, name, err := h.named(r, true)
	if err != nil {
		return nil, err
	}
	h.collector.want()
	return h.group(r.Context(), cluster, name)
}

func (h *Handler) apiGroup(w http.ResponseWriter, r *http.Request) {
	if wantsStream(r) {
		h.streamTicks(w, r, func() (*body, error) {
			return h.sharedGroup(r, "watched", func(detail *GroupDetail) (*body, error) { return marshal(detail) })
		})
		return
	}
	detail, err := h.groupFor(r)
	if err != nil {
		h.fail(w, err)
		return
	}
	h.answer(w, r, detail)
}

func (h *Handler) apiTopics(w http.ResponseWriter, r *http.Request) {
	h.sharedAnswer(w, r, "topics", func(current *reading) (*body, error) {
		return marshal(struct {
			At     int64      `json:"at_ms"`
			Topics []TopicRow `json:"topics"`
		}{millis(current.at), current.topicRows(h.allow(r))})
	})
}

// sharedTopic returns what is made of the topic that a request names.
func (h *Handler) sharedTopic(r *http.Request, what string, make func(*TopicDetail) (*body, error)) (*body, error) {
	cluster, name, err := h.named(r, false)
	if err != nil {
		return nil, err
	}
	current, err := h.collector.wait(r.Context(), h.quit)
	if err != nil {
		return nil, err
	}
	return h.shareIfAlike(current, fmt.Sprintf("%s %q %q", what, cluster, name), func() (*body, error) {
		detail, err := h.topic(untilClosed{context.Background(), h.quit}, current, cluster, name, h.allow(r))
		if err != nil {
			return nil, err
		}
		return make(detail)
	})
}

func (h *Handler) apiTopic(w http.ResponseWriter, r *http.Request) {
	detail := func() (*body, error) {
		return h.sharedTopic(r, "topic", func(detail *TopicDetail) (*body, error) { return marshal(detail) })
	}
	if wantsStream(r) {
		h.streamTicks(w, r, detail)
		return
	}
	b, err := detail()
	h.serve(w, r, b, err)
}

// historyFor returns the history of the group that an address names, of one topic of it if the address names one.
func (h *Handler) historyFor(r *http.Request) (History, error) {
	cluster, name, err := h.named(r, true)
	if err != nil {
		return History{}, err
	}
	current, err := h.collector.wait(r.Context(), h.quit)
	if err != nil {
		return History{}, err
	}
	i, ok := current.byGroup[groupKey{cluster, name}]
	if !ok {
		return History{}, errNotFound
	}
	keys := current.groups[i].seriesKeys()
	if topic := r.URL.Query().Get("topic"); topic != "" {
		keys = []seriesKey{{cluster, name, topic}}
	}
	return h.historyOf(keys, h.collector.history.length), nil
}

func (h *Handler) apiHistory(w http.ResponseWriter, r *http.Request) {
	history, err := h.historyFor(r)
	if err != nil {
		h.fail(w, err)
		return
	}
	h.answer(w, r, history)
}

// changesFor returns the changes after a sequence number that a request may see, and the sequence number up to which there are
// no others, which is for the inspector alone.
func (h *Handler) changesFor(r *http.Request, after uint64) (visible []Change, read uint64, next <-chan struct{}) {
	changes, next := h.events.after(after)
	allow, seesAll := h.allow(r), h.seesAll(r)
	visible = []Change{}
	read = after
	for _, c := range changes {
		read = c.Sequence
		if c.Group != "" && allow != nil && !allow(c.Cluster, c.Group) {
			continue
		}
		if !seesAll {
			c.Missed = 0 // they may have been of any group
		}
		visible = append(visible, c)
	}
	return visible, read, next
}

// sequenceIn returns the sequence number that a client names, 0 if it names none.
func sequenceIn(text string) uint64 {
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return sequence
}

func (h *Handler) apiChanges(w http.ResponseWriter, r *http.Request) {
	after := sequenceIn(r.URL.Query().Get("after"))
	if wantsStream(r) {
		h.streamChanges(w, r, after)
		return
	}
	changes, _, _ := h.changesFor(r, after)
	last := after
	if len(changes) > 0 {
		last = changes[len(changes)-1].Sequence
	}
	h.answer(w, r, struct {
		Last    uint64   `json:"last"`
		Changes []Change `json:"changes"`
	}{last, changes})
}

func (h *Handler) apiStore(w http.ResponseWriter, r *http.Request) {
	if !h.seesAll(r) {
		h.fail(w, errNotFound)
		return
	}
	h.answer(w, r, h.storeState())
}

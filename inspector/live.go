package inspector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Live answers are Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html): a whole answer
// first, then differences or whole answers anew.

// wantsStream reports whether a request asks for an event stream.
func wantsStream(r *http.Request) bool { return r.URL.Query().Has("watch") }

const (
	// writeTimeout is how long a browser may take for one message. It replaces the WriteTimeout of the server, which would
	// end a stream without a word.
	writeTimeout = 20 * time.Second
	// keepAlive is how long a stream is silent before it sends a comment, so that proxies keep it open.
	keepAlive = 15 * time.Second
)

// stream is one live connection.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
	alive   *time.Timer // fires when the stream has been silent for keepAlive
}

// stream begins a live connection; it returns nil, and has answered, if there are too many, or if only the head is asked for.
// end is called when it is over.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) (_ *stream, end func()) {
	header := w.Header()
	if r.Method == http.MethodHead {
		header.Set("Content-Type", "text/event-stream")
		return nil, nil
	}
	select {
	case h.listeners <- struct{}{}:
	default:
		header.Set("Retry-After", "10")
		http.Error(w, "too many live connections: poll", http.StatusServiceUnavailable)
		return nil, nil
	}
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold messages back
	s := &stream{w: w, control: http.NewResponseController(w), alive: time.NewTimer(keepAlive)}
	_ = s.ping() // the client learns that it is connected, however long it takes until there is something to send
	return s, func() {
		s.alive.Stop()
		<-h.listeners
	}
}

// send writes an event.
func (s *stream) send(event string, id string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.sendText(event, id, data)
}

// sendText writes an event of JSON that is made already.
func (s *stream) sendText(event, id string, data []byte) error {
	s.buffer.Reset()
	if id != "" {
		fmt.Fprintf(&s.buffer, "id: %s\n", id)
	}
	s.buffer.WriteString("event: " + event + "\ndata: ")
	s.buffer.Write(data)
	s.buffer.WriteString("\n\n")
	return s.flush()
}

func (s *stream) ping() error {
	s.buffer.Reset()
	s.buffer.WriteString(": still here\n\n")
	return s.flush()
}

func (s *stream) flush() error {
	s.alive.Reset(keepAlive)
	// A writer that knows no deadlines is a test's, or wrapped by who does not need them.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}

// follow calls send at once and whenever the channel that it returned last is closed, until it fails, the client leaves or
// the inspector is closed.
func (h *Handler) follow(s *stream, r *http.Request, send func() (next <-chan struct{}, err error)) {
	for {
		next, err := send()
		for waiting := err == nil; waiting; {
			select {
			case <-next:
				waiting = false
			case <-s.alive.C:
				if err = s.ping(); err != nil {
					return
				}
			case <-r.Context().Done():
				return
			case <-h.quit:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// difference is what has changed in a list since the message before.
type difference struct {
	At     int64  `json:"at_ms"`
	Totals Totals `json:"totals"`
	Page   int    `json:"page"`
	Pages  int    `json:"pages"`
	// Order are the keys of all rows, as they stand now: cluster and group, as JSON text of an array.
	Order []string `json:"order"`
	// Changed are the rows that are new or have changed, each a GroupRow.
	Changed []json.RawMessage `json:"changed"`
}

// streamGroups sends a list as the event "list", and then what changes in it as the event "difference".
func (h *Handler) streamGroups(w http.ResponseWriter, r *http.Request, query listQuery) {
	s, end := h.stream(w, r)
	if s == nil {
		return
	}
	defer end()
	allow := h.allow(r)
	var sent *liveList
	h.follow(s, r, func() (<-chan struct{}, error) {
		current, next := h.collector.want()
		if current == nil || sent != nil && current.sequence == sent.sequence {
			return next, nil
		}
		list, err := h.liveList(current, query, allow)
		if err != nil {
			return next, err
		}
		before := sent
		sent = list
		id := strconv.FormatUint(list.sequence, 10)
		if before == nil {
			return next, s.send("list", id, list.GroupList)
		}
		text, err := list.since(before)
		if err != nil {
			return next, err
		}
		return next, s.sendText("difference", id, text)
	})
}

// liveList is a list with its rows as JSON.
type liveList struct {
	GroupList
	sequence uint64            // of the reading
	order    []string          // the keys of the rows
	rows     map[string]string // by key

	mu sync.Mutex
	// differs is the newest answer of since, to the list of the reading from; guarded by mu. Most of those who follow a list
	// have the same of it.
	from    uint64
	differs []byte
}

// liveList answers the query of a live list, once for all who see the same.
func (h *Handler) liveList(r *reading, q listQuery, allow func(cluster, group string) bool) (*liveList, error) {
	if allow != nil {
		return newLiveList(r.sequence, h.list(r, q, allow))
	}
	return h.lists.of(r.sequence, q.values().Encode(), func() (*liveList, error) { return newLiveList(r.sequence, h.list(r, q, nil)) })
}

func newLiveList(sequence uint64, list GroupList) (*liveList, error) {
	out := &liveList{GroupList: list, sequence: sequence, order: make([]string, len(list.Groups)), rows: make(map[string]string, len(list.Groups))}
	for i := range list.Groups {
		text, err := json.Marshal(&list.Groups[i])
		if err != nil {
			return nil, err
		}
		out.order[i] = list.Groups[i].key()
		out.rows[out.order[i]] = string(text)
	}
	return out, nil
}

// size is the memory that the list takes: its rows twice, as they are and as JSON.
func (l *liveList) size() (total int) {
	for key, row := range l.rows {
		total += 2 * (len(key) + len(row))
	}
	return total
}

// since returns, as JSON, the difference to a list that was sent before.
func (l *liveList) since(sent *liveList) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from == sent.sequence {
		return l.differs, nil
	}
	d := difference{At: l.At, Totals: l.Totals, Page: l.Page, Pages: l.Pages, Order: l.order, Changed: []json.RawMessage{}}
	for _, key := range l.order {
		if text := l.rows[key]; sent.rows[key] != text {
			d.Changed = append(d.Changed, json.RawMessage(text))
		}
	}
	text, err := json.Marshal(d)
	if err == nil {
		l.from, l.differs = sent.sequence, text
	}
	return text, err
}

// key names a group in a stream.
func (g *GroupRow) key() string {
	key, _ := json.Marshal([]string{g.Cluster, g.Group})
	return string(key)
}

// streamTicks sends the JSON that detail returns as the event "detail", at each reading of the store, and the event "gone" if what
// it is of does not exist. While the store does not answer it sends nothing.
func (h *Handler) streamTicks(w http.ResponseWriter, r *http.Request, detail func() (*body, error)) {
	s, end := h.stream(w, r)
	if s == nil {
		return
	}
	defer end()
	h.follow(s, r, func() (<-chan struct{}, error) {
		_, next := h.collector.want()
		b, err := detail()
		switch {
		case errors.Is(err, errNotFound):
			return next, s.send("gone", "", nil)
		case err != nil:
			return next, nil
		}
		return next, s.sendText("detail", "", bytes.TrimSuffix(b.plain, []byte("\n")))
	})
}

// streamChanges sends changes as the event "changes"; the id of each is where a reconnecting client goes on.
func (h *Handler) streamChanges(w http.ResponseWriter, r *http.Request, after uint64) {
	s, end := h.stream(w, r)
	if s == nil {
		return
	}
	defer end()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after = sequenceIn(last)
	}
	h.follow(s, r, func() (<-chan struct{}, error) {
		changes, read, next := h.changesFor(r, after)
		if after = read; len(changes) == 0 {
			return next, nil
		}
		return next, s.send("changes", strconv.FormatUint(changes[len(changes)-1].Sequence, 10), changes)
	})
}

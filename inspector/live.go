package inspector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
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
}

// stream begins a live connection; it returns nil, and has answered, if there are too many. end is called when it is over.
func (h *Handler) stream(w http.ResponseWriter) (_ *stream, end func()) {
	select {
	case h.listeners <- struct{}{}:
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many live connections: poll", http.StatusServiceUnavailable)
		return nil, nil
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold messages back
	s := &stream{w: w, control: http.NewResponseController(w)}
	_ = s.ping() // the client learns that it is connected, however long it takes until there is something to tell
	return s, func() { <-h.listeners }
}

// send writes an event.
func (s *stream) send(event string, id string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	s.buffer.Reset()
	if id != "" {
		fmt.Fprintf(&s.buffer, "id: %s\n", id)
	}
	fmt.Fprintf(&s.buffer, "event: %s\ndata: %s\n\n", event, data)
	return s.flush()
}

func (s *stream) ping() error {
	s.buffer.Reset()
	s.buffer.WriteString(": still here\n\n")
	return s.flush()
}

func (s *stream) flush() error {
	// A writer that knows no deadlines is a test's, or wrapped by who does not need them.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}

// follow calls tell at once and whenever the channel that it returned last is closed, until it fails, the client leaves or
// the inspector is closed.
func (h *Handler) follow(s *stream, r *http.Request, tell func() (next <-chan struct{}, err error)) {
	alive := time.NewTimer(keepAlive)
	defer alive.Stop()
	for {
		next, err := tell()
		for waiting := err == nil; waiting; {
			alive.Reset(keepAlive)
			select {
			case <-next:
				waiting = false
			case <-alive.C:
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
	At     int64  `json:"at"`
	Totals Totals `json:"totals"`
	Page   int    `json:"page"`
	Pages  int    `json:"pages"`
	// Order are the keys of all rows, as they stand now: cluster and group, as JSON text of an array.
	Order []string `json:"order"`
	// Changed are the rows that are new or have changed.
	Changed []GroupRow `json:"changed"`
}

// streamGroups sends a list as the event "list", and then what changes in it as the event "difference".
func (h *Handler) streamGroups(w http.ResponseWriter, r *http.Request, query listQuery) {
	s, end := h.stream(w)
	if s == nil {
		return
	}
	defer end()
	allow := h.allow(r)
	var sequence uint64
	sent := make(map[string]string) // the rows as JSON, by key
	h.follow(s, r, func() (<-chan struct{}, error) {
		current, next := h.collector.want()
		if current == nil || current.sequence == sequence {
			return next, nil
		}
		list := current.list(query, allow)
		first := sequence == 0
		sequence = current.sequence
		changed, order := changedRows(list.Groups, sent)
		id := strconv.FormatUint(sequence, 10)
		if first {
			return next, s.send("list", id, list)
		}
		return next, s.send("difference", id, difference{list.At, list.Totals, list.Page, list.Pages, order, changed})
	})
}

// changedRows returns the rows that differ from those sent, and the keys of all. It notes the rows as sent.
func changedRows(rows []GroupRow, sent map[string]string) (changed []GroupRow, order []string) {
	changed, order = []GroupRow{}, []string{}
	before := len(sent)
	shown := make(map[string]bool, before)
	for i := range rows {
		key := rows[i].key()
		order = append(order, key)
		shown[key] = true
		text, err := json.Marshal(&rows[i])
		if err != nil || sent[key] == string(text) {
			continue
		}
		sent[key] = string(text)
		changed = append(changed, rows[i])
	}
	for key := range sent {
		if !shown[key] {
			delete(sent, key)
		}
	}
	return changed, order
}

// key names a group in a stream.
func (g *GroupRow) key() string {
	key, _ := json.Marshal([]string{g.Cluster, g.Group})
	return string(key)
}

// streamTicks sends what make returns as the event "detail", at each reading of the store; the event "gone" if it is no more.
func (h *Handler) streamTicks(w http.ResponseWriter, r *http.Request, detail func() (any, error)) {
	s, end := h.stream(w)
	if s == nil {
		return
	}
	defer end()
	h.follow(s, r, func() (<-chan struct{}, error) {
		_, next := h.collector.want()
		value, err := detail()
		if err != nil {
			return next, s.send("gone", "", nil)
		}
		return next, s.send("detail", "", value)
	})
}

// streamChanges sends changes as the event "changes"; the id of each is where a reconnecting client goes on.
func (h *Handler) streamChanges(w http.ResponseWriter, r *http.Request, after uint64) {
	s, end := h.stream(w)
	if s == nil {
		return
	}
	defer end()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after = uint64(number(last, 0, 1<<62))
	}
	h.follow(s, r, func() (<-chan struct{}, error) {
		changes, last, next := h.changesFor(r, after)
		if after = last; len(changes) == 0 {
			return next, nil
		}
		return next, s.send("changes", strconv.FormatUint(last, 10), changes)
	})
}

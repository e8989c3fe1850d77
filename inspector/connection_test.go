package inspector_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

// pipes is a listener whose connections are in memory, so that their deadlines are those of a bubble's clock.
type pipes struct {
	accept chan net.Conn
	closed chan struct{} // closed by Close
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// ask sends a request and returns the connection.
func (p *pipes) ask(t *testing.T, address string) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	p.accept <- there
	t.Cleanup(func() { _ = here.Close() })
	_, err := fmt.Fprintf(here, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", address)
	require.NoError(t, err)
	return here
}

// stream reads the head of an answer and returns its lines.
func stream(t *testing.T, connection net.Conn) *bufio.Scanner {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// inBubble runs a server with a WriteTimeout that is shorter than any stream.
func inBubble(t *testing.T, options inspector.Options, do func(t *testing.T, h *inspector.Handler, source *counted, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		source := &counted{DB: filled(t)}
		h, err := inspector.New(source, options)
		require.NoError(t, err)
		p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second, WriteTimeout: 5 * time.Second}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(p) // ends with an error when it is closed
		}()
		synctest.Wait()
		do(t, h, source, p)
		require.NoError(t, h.Close())
		require.NoError(t, server.Close())
		<-served
	})
}

func listeners(t *testing.T, h *inspector.Handler) int {
	t.Helper()
	var state struct{ Inspector inspector.Self }
	require.NoError(t, json.Unmarshal([]byte(show(t, h, "/api/v1/store")), &state))
	return state.Inspector.Listeners
}

// A stream outlives the WriteTimeout of the server: each message has a deadline of its own.
func TestStreamOutlivesWriteTimeout(t *testing.T) {
	for _, address := range []string{"/live", "/api/v1/groups?watch", "/api/v1/group?watch&cluster=local&name=billing", "/api/v1/topic?watch&cluster=local&name=orders"} {
		inBubble(t, inspector.Options{}, func(t *testing.T, _ *inspector.Handler, _ *counted, p *pipes) {
			lines := stream(t, p.ask(t, address))
			begun := time.Now()
			for range 30 {
				event(t, lines)
			}
			assert.GreaterOrEqual(t, time.Since(begun), 290*time.Second, address)
		})
	}
}

// A stream with nothing to say says so, before a proxy takes it for dead.
func TestStreamIsKeptAlive(t *testing.T) {
	inBubble(t, inspector.Options{Interval: time.Hour}, func(t *testing.T, _ *inspector.Handler, _ *counted, p *pipes) {
		lines := stream(t, p.ask(t, "/live"))
		event(t, lines)
		last := time.Now()
		for range 4 {
			for lines.Scan() && !strings.HasPrefix(lines.Text(), ":") {
			}
			assert.Equal(t, 15*time.Second, time.Since(last))
			last = time.Now()
		}
	})
}

// A browser that reads no more is let go, and holds nobody up meanwhile.
func TestDeadBrowser(t *testing.T) {
	inBubble(t, inspector.Options{Listeners: 2}, func(t *testing.T, h *inspector.Handler, _ *counted, p *pipes) {
		p.ask(t, "/api/v1/groups?watch") // and reads nothing
		alive := stream(t, p.ask(t, "/live"))
		begun := time.Now()
		event(t, alive)
		synctest.Wait()
		assert.Equal(t, 2, listeners(t, h))
		for range 3 {
			event(t, alive)
		}
		assert.Equal(t, 30*time.Second, time.Since(begun), "the other has its ticks in time")
		assert.Equal(t, 1, listeners(t, h))
	})
}

// A browser that leaves frees its place at once, and the end of the inspector ends the streams.
func TestStreamsEnd(t *testing.T) {
	inBubble(t, inspector.Options{}, func(t *testing.T, h *inspector.Handler, _ *counted, p *pipes) {
		connection := p.ask(t, "/live")
		event(t, stream(t, connection))
		assert.Equal(t, 1, listeners(t, h))
		require.NoError(t, connection.Close())
		synctest.Wait()
		assert.Equal(t, 0, listeners(t, h))

		lines := stream(t, p.ask(t, "/live"))
		event(t, lines)
		require.NoError(t, h.Close())
		for lines.Scan() {
		}
		assert.NoError(t, lines.Err(), "it ends as a stream does")
	})
}

// Without a history nobody is read for while nobody looks, and whoever comes back sees what is now.
func TestCollectorRests(t *testing.T) {
	inBubble(t, inspector.Options{History: -1}, func(t *testing.T, h *inspector.Handler, source *counted, _ *pipes) {
		time.Sleep(time.Hour)
		assert.EqualValues(t, 0, source.groups.Load())
		show(t, h, "/")
		assert.EqualValues(t, 3, source.groups.Load())
		time.Sleep(time.Hour)
		synctest.Wait()
		rested := source.groups.Load()
		assert.LessOrEqual(t, rested, int64(5*3), "it goes on for three intervals, as the browser may")
		time.Sleep(time.Hour)
		assert.Equal(t, rested, source.groups.Load())
		require.NoError(t, source.Commit(t.Context(), "local", "latecomer", protocol.Commit{Topic: "orders", Offset: 1, Timestamp: time.Now().UnixMilli(), Order: -1}))
		assert.Contains(t, show(t, h, "/"), "latecomer")
		assert.Contains(t, show(t, h, "/group?cluster=local&name=billing"), "no history is kept")
	})
	inBubble(t, inspector.Options{}, func(t *testing.T, _ *inspector.Handler, source *counted, _ *pipes) {
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.EqualValues(t, 3*361, source.groups.Load(), "a history is kept whether somebody looks or not")
	})
}

// A watched group says what becomes of it, and that it is gone.
func TestWatchedGroup(t *testing.T) {
	inBubble(t, inspector.Options{}, func(t *testing.T, _ *inspector.Handler, source *counted, p *pipes) {
		lines := stream(t, p.ask(t, "/api/v1/group?watch&cluster=local&name=mailer"))
		kind, data := event(t, lines)
		assert.Equal(t, "detail", kind)
		var detail inspector.GroupDetail
		require.NoError(t, json.Unmarshal([]byte(data), &detail))
		assert.EqualValues(t, 0, *detail.Lag.Messages)
		require.NoError(t, source.SetEndOffset(t.Context(), "local", "clicks", protocol.EndOffset{Offset: 1700, Timestamp: time.Now().UnixMilli()}))
		_, data = event(t, lines)
		require.NoError(t, json.Unmarshal([]byte(data), &detail))
		assert.EqualValues(t, 700, *detail.Lag.Messages)
		source.isAway.Store(true)
		time.Sleep(30 * time.Second)
		source.isAway.Store(false)
		kind, _ = event(t, lines)
		assert.Equal(t, "detail", kind, "a store that does not answer has not lost the group")
		require.NoError(t, source.DeleteGroup(t.Context(), "local", "mailer"))
		kind, _ = event(t, lines)
		assert.Equal(t, "gone", kind)
	})
}

// Changes that a browser missed while it was away are sent when it comes back.
func TestChangesGoOn(t *testing.T) {
	inBubble(t, inspector.Options{}, func(t *testing.T, h *inspector.Handler, source *counted, p *pipes) {
		require.NoError(t, source.DeleteGroup(t.Context(), "local", "mailer"))
		synctest.Wait()
		connection := p.ask(t, "/api/v1/changes?watch")
		_, data := event(t, stream(t, connection))
		var changes []inspector.Change
		require.NoError(t, json.Unmarshal([]byte(data), &changes))
		require.NoError(t, connection.Close())
		require.NoError(t, source.DeleteGroup(t.Context(), "local", "billing"))
		synctest.Wait()

		here, there := net.Pipe()
		p.accept <- there
		defer here.Close()
		_, err := fmt.Fprintf(here, "GET /api/v1/changes?watch HTTP/1.1\r\nHost: x\r\nLast-Event-ID: %d\r\n\r\n", changes[len(changes)-1].Sequence)
		require.NoError(t, err)
		_, data = event(t, stream(t, here))
		assert.Contains(t, data, "billing")
		assert.NotContains(t, data, "mailer")
		assert.Contains(t, show(t, h, "/changes"), "mailer")
	})
}

// Each column sorts, either way, and what is not known is not between what is.
func TestSorts(t *testing.T) {
	t.Parallel()
	db := filled(t)
	require.NoError(t, db.Commit(t.Context(), "local", "stranger", protocol.Commit{Topic: "clicks", Offset: 5, Timestamp: time.Now().UnixMilli(), Order: -1}))
	require.NoError(t, db.SetOwner(t.Context(), "local", "idle", protocol.PartitionOwner{Topic: "orders", Owner: "host-9"}))
	server := serve(t, db, inspector.Options{})
	number := func(n int) *float64 { f := float64(n); return &f }
	columns := map[string]func(g *inspector.GroupRow) *float64{
		"topics": func(g *inspector.GroupRow) *float64 { return number(g.Topics) }, "members": func(g *inspector.GroupRow) *float64 { return number(g.Members) },
		"lag": func(g *inspector.GroupRow) *float64 {
			if g.Lag.Messages == nil {
				return nil
			}
			return number(int(*g.Lag.Messages))
		},
		"time": func(g *inspector.GroupRow) *float64 { return asFloat(g.Lag.TimeMs) },
		"in":   func(g *inspector.GroupRow) *float64 { return g.Flow.InPerSecond }, "out": func(g *inspector.GroupRow) *float64 { return g.Flow.OutPerSecond },
		"catch-up": func(g *inspector.GroupRow) *float64 { return asFloat(g.Flow.CatchUpMs) },
		"commit":   func(g *inspector.GroupRow) *float64 { return asFloat(g.LastCommit) },
	}
	for sort, value := range columns {
		for _, reverse := range []string{"", "&reverse=1"} {
			groups := decode[inspector.GroupList](t, server.URL+"/api/v1/groups?sort="+sort+reverse).Groups
			require.Len(t, groups, 5)
			var known []float64
			unknowns := ""
			for i := range groups {
				if v := value(&groups[i]); v != nil {
					known, unknowns = append(known, *v), unknowns+"k"
				} else {
					unknowns += "u"
				}
			}
			direction := func(a, b float64) int { return cmp.Compare(b, a) }
			if reverse != "" {
				direction = cmp.Compare[float64]
			}
			assert.True(t, slices.IsSortedFunc(known, direction), "%s%s: %v", sort, reverse, known)
			assert.LessOrEqual(t, strings.Count(unknowns, "uk")+strings.Count(unknowns, "ku"), 1, "%s%s: %s", sort, reverse, unknowns)
		}
	}
	for _, sort := range []string{"group", "cluster", "status", "nonsense"} {
		require.Len(t, decode[inspector.GroupList](t, server.URL+"/api/v1/groups?sort="+sort).Groups, 5)
	}
	for query, want := range map[string]int{"cluster=local": 5, "cluster=other": 0, "q=BILL": 1, "topic=clicks": 2, "topic=orders&q=er": 1, "status=STOPPED": 1} {
		list := decode[inspector.GroupList](t, server.URL+"/api/v1/groups?"+query)
		assert.Len(t, list.Groups, want, query)
		assert.Equal(t, [2]int{5, want}, [2]int{list.Totals.Groups, list.Totals.Matching}, query)
	}
	var pages []string
	for page := range 3 {
		for _, g := range decode[inspector.GroupList](t, fmt.Sprintf("%s/api/v1/groups?sort=group&per_page=2&page=%d", server.URL, page+1)).Groups {
			pages = append(pages, g.Group)
		}
	}
	assert.True(t, slices.IsSorted(pages))
	assert.Len(t, pages, 5)
}

func asFloat(n *int64) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

package inspector_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

// hostile is a name that would like to be markup, to turn text around, to be no text, and to fill the page.
var hostile = "<script>alert(1)</script>\u202e\x00\xff\"'&" + strings.Repeat("x", 10_000)

// filled opens a store with some groups: one that is behind, one that caught up, one with a hostile name that has stopped.
func filled(t *testing.T) *storage.DB {
	t.Helper()
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	now := time.Now().UnixMilli()
	for _, topic := range []string{"orders", "clicks"} {
		for p := range int32(3) {
			require.NoError(t, db.SetEndOffset(t.Context(), "local", topic, protocol.EndOffset{
				Partition: p, TopicPartitionCount: 3, Offset: 1000, Timestamp: now - 60_000,
			}))
		}
	}
	commit := func(group, topic string, partition int32, ago, offset int64) {
		require.NoError(t, db.Commit(t.Context(), "local", group, protocol.Commit{
			Topic: topic, Partition: partition, Offset: offset, Timestamp: now - ago, Order: -1,
		}))
	}
	for p := range int32(3) {
		commit("billing", "orders", p, 20_000, 100)
		commit("billing", "orders", p, 10_000, 300)
		commit("billing", "orders", p, 1_000, 400)
		commit("mailer", "clicks", p, 1_000, 1000)
		commit(hostile, "orders", p, 3_600_000, 10)
	}
	require.NoError(t, db.SetOwner(t.Context(), "local", "billing", protocol.PartitionOwner{Topic: "orders", Owner: "host-1", ClientID: "client-1"}))
	return db
}

func serve(t *testing.T, source inspector.Source, options inspector.Options) *httptest.Server {
	t.Helper()
	h, err := inspector.New(source, options)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		require.NoError(t, h.Close())
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server
}

func get(t *testing.T, address string) (status int, header http.Header, body string) {
	t.Helper()
	answer, err := http.Get(address)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, answer.Header, string(text)
}

func decode[T any](t *testing.T, address string) T {
	t.Helper()
	status, header, body := get(t, address)
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, "application/json", header.Get("Content-Type"))
	var value T
	require.NoError(t, json.Unmarshal([]byte(body), &value))
	return value
}

func TestPages(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t), inspector.Options{Title: "Lag of <everything>"})
	hidden := "&name=" + url.QueryEscape(hostile)
	for page, wants := range map[string][]string{
		"/":                                 {"billing", "STOPPED", "OK", "of 3 groups", "Lag of &lt;everything&gt;"},
		"/?q=bill":                          {"billing", "<strong>1</strong> of 3 groups"},
		"/?status=OK":                       {"mailer", "of 3 groups"},
		"/?status=REWOUND":                  {"No group matches.", ">REWOUND 0</a>", `href="./"`},
		"/?status=OK&sort=lag&reverse=1":    {`name="status" value="OK"`, `name="sort" value="lag"`, `name="reverse" value="1"`},
		"/?sort=group":                      {`aria-sort="ascending"`},
		"/?topic=orders&sort=lag&reverse=1": {"billing", `aria-sort="ascending"`},
		"/group?cluster=local&name=billing": {"billing", "orders", "host-1", "client-1", "Lag in time", "<svg"},
		"/group?cluster=local" + hidden:     {"&lt;script&gt;", `\u202e`, `\u0000`, `\xff`, "…"},
		"/topics":                           {"orders", "clicks"},
		"/topic?cluster=local&name=orders":  {"billing", "1000"},
		"/changes":                          {"Changes"},
		"/store":                            {"Partitions of groups", "set end offset", "Readings of the store"},
	} {
		status, header, body := get(t, server.URL+page)
		assert.Equal(t, http.StatusOK, status, page)
		assert.Equal(t, "text/html; charset=utf-8", header.Get("Content-Type"))
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		assert.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
		assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
		assert.NotContains(t, header.Get("Content-Security-Policy"), "unsafe")
		for _, want := range wants {
			assert.Contains(t, body, want, page)
		}
		assert.NotContains(t, body, "<script>alert", page)
		assert.NotContains(t, body, "\u202e", page)
	}
}

func TestNotFoundAndMethods(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t), inspector.Options{})
	for _, page := range []string{
		"/nowhere", "/group?cluster=local&name=none", "/group", "/topic?cluster=local&name=none", "/api/v1/group?cluster=none&name=x",
		"/api/v1/history?cluster=local&name=none", "/assets/none.css", "/assets/groups.html", "/assets/..%2fapi.go",
	} {
		status, _, _ := get(t, server.URL+page)
		assert.Equal(t, http.StatusNotFound, status, page)
	}
	answer, err := http.Post(server.URL, "text/plain", nil)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
	for _, page := range []string{"/", "/live", "/api/v1/groups?watch", "/api/v1/changes?watch", "/api/v1/groups"} {
		answer, err = http.Head(server.URL + page)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	state := decode[struct{ Inspector inspector.Self }](t, server.URL+"/api/v1/store").Inspector
	require.Zero(t, state.Listeners, "the head of a stream is no stream")
}

func TestAPI(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t), inspector.Options{})
	list := decode[inspector.GroupList](t, server.URL+"/api/v1/groups?per_page=2")
	require.Equal(t, 3, list.Totals.Matching)
	require.Equal(t, 2, list.Pages)
	require.Len(t, list.Groups, 2)
	require.Equal(t, "STOPPED", string(list.Groups[0].Status), "the worst first")
	require.EqualValues(t, 3*990+3*600, list.Totals.Messages)

	group := decode[inspector.GroupDetail](t, server.URL+"/api/v1/group?cluster=local&name=billing")
	require.EqualValues(t, 1800, *group.Lag.Messages)
	require.Equal(t, 1, group.Members)
	require.Len(t, group.TopicDetails[0].Partitions, 3)
	partition := group.TopicDetails[0].Partitions[0]
	require.EqualValues(t, 400, *partition.Committed)
	require.EqualValues(t, 1000, *partition.EndOffset)
	require.EqualValues(t, 600, *partition.Lag.Messages)
	require.Len(t, partition.Commits, 3)

	topic := decode[inspector.TopicDetail](t, server.URL+"/api/v1/topic?cluster=local&name=orders")
	require.Len(t, topic.Readers, 2)
	require.Len(t, topic.EndOffsets, 3)

	history := decode[inspector.History](t, server.URL+"/api/v1/history?cluster=local&name=billing")
	require.True(t, history.Kept)
	require.EqualValues(t, 1800, *history.Messages[0])
	decode[map[string]any](t, server.URL+"/api/v1/store")
	decode[map[string]any](t, server.URL+"/api/v1/topics")
	decode[map[string]any](t, server.URL+"/api/v1/changes")
}

// Whatever the prefix, pages and assets are found by following the links.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	h, err := inspector.New(filled(t), inspector.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	links := func(body string) (found []string) {
		parts := strings.Split(body, `"`)
		for i, value := range parts[1:] {
			_, attribute, _ := strings.Cut(parts[i][max(0, len(parts[i])-8):], " ")
			if (attribute == "href=" || attribute == "src=" || attribute == "action=") && !strings.HasPrefix(value, "#") {
				found = append(found, strings.ReplaceAll(value, "&amp;", "&"))
			}
		}
		return found
	}
	for _, prefix := range []string{"", "/lag", "/a/b/c"} {
		mux := http.NewServeMux()
		mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
		server := httptest.NewServer(mux)
		target, err := url.Parse(server.URL + prefix)
		require.NoError(t, err)
		proxy := httptest.NewServer(http.StripPrefix("/behind", httputil.NewSingleHostReverseProxy(target)))
		for _, root := range []string{server.URL + prefix + "/", proxy.URL + "/behind/"} {
			seen := map[string]bool{}
			queue := []string{root}
			for len(queue) > 0 && len(seen) < 60 {
				address := queue[0]
				queue = queue[1:]
				if seen[address] {
					continue
				}
				seen[address] = true
				status, header, body := get(t, address)
				require.Equal(t, http.StatusOK, status, address)
				if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
					continue
				}
				base, err := url.Parse(address)
				require.NoError(t, err)
				for _, found := range links(body) {
					to, err := base.Parse(found)
					require.NoError(t, err)
					require.True(t, strings.HasPrefix(to.String(), root), "%s leads to %s", address, to)
					queue = append(queue, to.String())
				}
			}
			require.Greater(t, len(seen), 10)
		}
		proxy.Close()
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}

// A group that a request may not see is nowhere: not in pages, sums, events, topics or errors.
func TestAllow(t *testing.T) {
	t.Parallel()
	db := filled(t)
	server := serve(t, db, inspector.Options{Allow: func(_ *http.Request, _, group string) bool { return group != "billing" }})
	changes := open(t, server.URL+"/api/v1/changes?watch")
	commit := protocol.Commit{Topic: "clicks", Offset: 1, Timestamp: time.Now().UnixMilli(), Order: -1}
	require.NoError(t, db.Commit(t.Context(), "local", "billing", commit))
	require.NoError(t, db.DeleteGroup(t.Context(), "local", "mailer"))
	_, data := event(t, changes)
	require.Contains(t, data, "mailer")
	require.NotContains(t, data, "billing")
	_, data = event(t, open(t, server.URL+"/api/v1/groups?watch"))
	require.NotContains(t, data, "billing")
	for _, page := range []string{
		"/", "/?q=billing", "/topics", "/topic?cluster=local&name=orders", "/changes", "/api/v1/groups", "/api/v1/changes",
		"/api/v1/topic?cluster=local&name=orders",
	} {
		status, _, body := get(t, server.URL+page)
		require.Equal(t, http.StatusOK, status)
		require.NotContains(t, regexp.MustCompile(`value="billing"|q=billing`).ReplaceAllString(body, ""), "billing", page)
	}
	for _, page := range []string{"/group", "/api/v1/group", "/api/v1/history", "/chart.svg"} {
		hidden, _, hiddenBody := get(t, server.URL+page+"?cluster=local&name=billing")
		none, _, noneBody := get(t, server.URL+page+"?cluster=local&name=none")
		require.Equal(t, none, hidden)
		require.Equal(t, noneBody, hiddenBody)
	}
	list := decode[inspector.GroupList](t, server.URL+"/api/v1/groups")
	require.Equal(t, list.Totals.Groups, len(list.Groups))
	require.EqualValues(t, 3*990, list.Totals.Messages)
}

func TestCaching(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t), inspector.Options{Interval: time.Hour})
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	ask := func(key, value string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/groups", nil)
		require.NoError(t, err)
		request.Header.Set(key, value)
		answer, err := client.Do(request)
		require.NoError(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	plain := ask("Accept", "*/*")
	body, err := io.ReadAll(plain.Body)
	require.NoError(t, err)
	tag := plain.Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, http.StatusNotModified, ask("If-None-Match", `"other", `+tag).StatusCode)
	require.Empty(t, ask("Accept-Encoding", "gzip; q=0").Header.Get("Content-Encoding"))
	packed := ask("Accept-Encoding", "br, gzip;q=0.5")
	require.Equal(t, "gzip", packed.Header.Get("Content-Encoding"))
	unpacked, err := gzip.NewReader(packed.Body)
	require.NoError(t, err)
	text, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	require.Equal(t, string(body), string(text))
}

func TestHistoryBudget(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t), inspector.Options{HistoryBytes: 6000})
	_, _, body := get(t, server.URL+"/api/v1/groups")
	require.Contains(t, body, "billing")
	state := decode[struct{ Inspector inspector.Self }](t, server.URL+"/api/v1/store").Inspector
	require.LessOrEqual(t, state.HistoryBytes, int64(6000))
	require.Equal(t, 1, state.HistorySeries)
	require.Equal(t, 2, state.HistoryLeftOut)
	said := 0
	for _, group := range []string{"billing", "mailer", hostile} {
		_, _, body := get(t, server.URL+"/group?cluster=local&name="+url.QueryEscape(group))
		said += strings.Count(body, "the history has no room left")
	}
	require.Equal(t, 2*2, said, "both charts of both groups say so")
	_, _, body = get(t, server.URL+"/store")
	require.Contains(t, body, "<dt>Left out of the history</dt><dd>2</dd>")
}

func TestOptions(t *testing.T) {
	t.Parallel()
	_, err := inspector.New(nil, inspector.Options{})
	require.Error(t, err)
	_, err = inspector.New(&storage.DB{}, inspector.Options{Interval: 1, HistoryBytes: -1, Listeners: -1, Events: -1})
	for _, fault := range []string{"Interval 1ns", "HistoryBytes -1", "Listeners -1", "Events -1"} {
		require.ErrorContains(t, err, fault)
	}
}

// A closed store is an error on each page that reads it.
func TestStoreThatIsClosed(t *testing.T) {
	t.Parallel()
	db := filled(t)
	server := serve(t, db, inspector.Options{})
	require.NoError(t, db.Close())
	status, _, _ := get(t, server.URL+"/group?cluster=local&name=billing")
	require.Equal(t, http.StatusServiceUnavailable, status)
}

// The assets hold nothing that the policy would have to allow, and nothing from elsewhere.
func TestAssets(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("assets/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	forbidden := regexp.MustCompile(`(?i)\son[a-z]+\s*=|\sstyle\s*=|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?://|["'(]//`)
	total := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		total += len(text)
		require.Empty(t, forbidden.FindString(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "")), file)
	}
	require.Less(t, total, 60_000)
}

package inspector_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

// event reads one event of a stream.
func event(t *testing.T, lines *bufio.Scanner) (kind, data string) {
	t.Helper()
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "event":
			kind = value
		case name == "data":
			data = value
		case lines.Text() == "" && kind != "":
			return kind, data
		}
	}
	require.FailNow(t, "the stream has ended", "%v", lines.Err())
	return "", ""
}

func open(t *testing.T, address string) *bufio.Scanner {
	t.Helper()
	answer, err := http.Get(address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// A stream begins with the list, and goes on with what changed in it.
func TestStream(t *testing.T) {
	t.Parallel()
	db := filled(t)
	server := serve(t, db, inspector.Options{Interval: 100 * time.Millisecond})
	changes := open(t, server.URL+"/api/v1/changes?watch")
	lines := open(t, server.URL+"/api/v1/groups?watch&q=mailer")
	kind, data := event(t, lines)
	require.Equal(t, "list", kind)
	var list inspector.GroupList
	require.NoError(t, json.Unmarshal([]byte(data), &list))
	require.Len(t, list.Groups, 1)

	require.NoError(t, db.SetEndOffset(t.Context(), "local", "clicks", protocol.EndOffset{Offset: 1500}))
	for {
		kind, data = event(t, lines)
		require.Equal(t, "difference", kind)
		var difference struct {
			Order   []string
			Changed []inspector.GroupRow
		}
		require.NoError(t, json.Unmarshal([]byte(data), &difference))
		require.Equal(t, []string{`["local","mailer"]`}, difference.Order)
		if len(difference.Changed) == 1 && *difference.Changed[0].Lag.Messages == 500 {
			break
		}
	}
	require.NoError(t, db.DeleteGroup(t.Context(), "local", "mailer"))
	for data = ""; !strings.Contains(data, "group-deleted"); {
		kind, data = event(t, changes)
		require.Equal(t, "changes", kind)
	}
	for data = ""; !strings.Contains(data, `"order":[]`); {
		_, data = event(t, lines)
	}
}

// One live connection more than there may be is told to poll; one that ends makes room.
func TestListenersAreBounded(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t), inspector.Options{Listeners: 2})
	for range 2 {
		kind, _ := event(t, open(t, server.URL+"/live"))
		require.Equal(t, "tick", kind)
	}
	status, header, _ := get(t, server.URL+"/live")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotEmpty(t, header.Get("Retry-After"))
	status, _, _ = get(t, server.URL+"/")
	require.Equal(t, http.StatusOK, status)
}

package inspector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

const hidden = "secret-hidden-group"

// exceptHidden lets everybody see every group but the hidden one, and operators everything.
func exceptHidden(r *http.Request, cluster, group string) bool {
	return r.Header.Get("X-Team") == "operators" || group != hidden && (cluster != "" || group != "")
}

// told is everything that an inspector answers to somebody.
type told map[string]string

// everyAddress is one of each kind of page and answer.
func everyAddress() (pages, streams []string) {
	ofGroup := func(group string) string { return "?cluster=local&name=" + url.QueryEscape(group) }
	for _, page := range []string{"/", "/api/v1/groups"} {
		pages = append(pages, page, page+"?per_page=1&page=2", page+"?topic=orders", page+"?topic=private", page+"?sort=lag&reverse=1",
			page+"?q=secret", page+"?cluster=local", page+"?status=STOPPED")
	}
	for _, page := range []string{"/group", "/api/v1/group", "/api/v1/history", "/chart.svg"} {
		pages = append(pages, page+ofGroup("billing"), page+ofGroup("fresh"), page+ofGroup(hidden), page+ofGroup("none"), page, page+ofGroup(hidden)+"&topic=orders",
			page+ofGroup("billing")+"&topic=private")
	}
	for _, page := range []string{"/topic", "/api/v1/topic"} {
		pages = append(pages, page+ofGroup("orders"), page+ofGroup("private"), page+ofGroup("nowhere"))
	}
	pages = append(pages, "/topics", "/topics?q=p", "/api/v1/topics", "/changes", "/api/v1/changes", "/api/v1/changes?after=5", "/store",
		"/api/v1/store", "/api/v1/store?watch", "/nowhere")
	return pages, []string{
		"/live", "/api/v1/groups?watch", "/api/v1/groups?watch&topic=orders", "/api/v1/group" + ofGroup("billing") + "&watch",
		"/api/v1/group" + ofGroup(hidden) + "&watch", "/api/v1/topic" + ofGroup("orders") + "&watch", "/api/v1/changes?watch",
		"/api/v1/changes?watch&after=5",
	}
}

// tell runs a store with some groups, and the hidden one if it is there, and returns what somebody of a team is told. All of
// it happens at the same times, whether the hidden group is there or not.
func tell(t *testing.T, team string, isThere bool) told {
	all := told{}
	synctest.Test(t, func(t *testing.T) {
		db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		h, err := inspector.New(db, inspector.Options{Allow: exceptHidden, HistoryBytes: 40_000})
		require.NoError(t, err)
		defer func() { require.NoError(t, h.Close()) }()
		synctest.Wait() // the inspector watches
		commit := func(group, topic string, offset int64) {
			require.NoError(t, db.Commit(t.Context(), "local", group, protocol.Commit{
				Topic: topic, Partition: 1, Offset: offset, Timestamp: time.Now().UnixMilli(), Order: -1,
			}))
		}
		ends := func(offset int64) {
			for _, topic := range []string{"orders", "private", "orders-0", "orders-1", "orders-2", "orders-3", "orders-4"} {
				for p := range int32(2) {
					require.NoError(t, db.SetEndOffset(t.Context(), "local", topic, protocol.EndOffset{
						Partition: p, TopicPartitionCount: 2, Offset: offset, Timestamp: time.Now().UnixMilli(),
					}))
				}
			}
		}
		work := func(round int64) {
			ends(1000 * round)
			commit("billing", "orders", 300*round)
			commit("mailer", "orders", 1000*round)
			commit("zulu", "orders", 700*round)
			time.Sleep(time.Second)
			if isThere && round > 1 {
				commit(hidden, "orders", 200*round)
				commit(hidden, "private", 2000*round)
				require.NoError(t, db.SetOwner(t.Context(), "local", hidden, protocol.PartitionOwner{
					Topic: "orders", Partition: 1, Owner: fmt.Sprint("host-of-", hidden, round), ClientID: "client-of-" + hidden,
				}))
				for i := range 5 { // more than the history has room for
					commit(hidden, fmt.Sprint("orders-", i), 7)
				}
				if round == 3 {
					require.NoError(t, db.DeleteGroup(t.Context(), "local", hidden))
				}
			}
			time.Sleep(9 * time.Second)
			synctest.Wait()
		}
		work(1)
		work(2)

		// The streams are followed while it goes on.
		pages, streams := everyAddress()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		var following sync.WaitGroup
		written := make([]timed, len(streams))
		for i, stream := range streams {
			written[i].ResponseRecorder = httptest.NewRecorder()
			following.Go(func() { h.ServeHTTP(&written[i], asked(ctx, team, stream)) })
		}
		synctest.Wait() // each stream has begun
		work(3)
		work(4)
		showAll := func(when string) {
			for _, page := range pages {
				answer := httptest.NewRecorder()
				h.ServeHTTP(answer, asked(t.Context(), team, page))
				all[page+when] = fmt.Sprint(answer.Code, answer.Header(), answer.Body)
			}
		}
		showAll(" before the last change")
		commit("fresh", "orders", 1) // and no reading since
		synctest.Wait()
		leave()
		following.Wait()
		for i, stream := range streams {
			all[stream] = fmt.Sprint(written[i].Code, written[i].Header(), written[i].log.String())
		}
		showAll("")
	})
	return all
}

func asked(ctx context.Context, team, address string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, address, nil).WithContext(ctx)
	r.Header.Set("X-Team", team)
	return r
}

// timed records when something is written.
type timed struct {
	*httptest.ResponseRecorder
	log strings.Builder
}

func (w *timed) Write(p []byte) (int, error) {
	at := time.Now().Format(time.StampMicro)
	id, data, isChanges := strings.Cut(string(p), "\nevent: changes\ndata: ")
	var changes []inspector.Change
	if !isChanges || json.Unmarshal([]byte(data), &changes) != nil {
		fmt.Fprintf(&w.log, "%s: %s", at, p)
		return len(p), nil
	}
	// How many changes of one moment come in one message is chance.
	for _, c := range changes {
		fmt.Fprintf(&w.log, "%s: %+v\n", at, c)
	}
	if last := fmt.Sprint("id: ", changes[len(changes)-1].Sequence); id != last {
		fmt.Fprintf(&w.log, "%s in place of %s\n", id, last)
	}
	return len(p), nil
}

// A hidden group is nowhere: whoever may not see it is told the same, at the same times and to the byte, as if it had never been.
func TestHiddenGroupLeavesNoTrace(t *testing.T) {
	with, without := tell(t, "search", true), tell(t, "search", false)
	for address, answer := range with {
		assert.Equal(t, without[address], answer, address)
		if !strings.Contains(address, hidden) && !strings.Contains(address, "q=secret") {
			assert.NotContains(t, answer, hidden, address)
		}
	}
	for _, page := range []string{"/store", "/api/v1/store", "/api/v1/store?watch"} {
		assert.True(t, strings.HasPrefix(with[page], "404 ") && strings.HasSuffix(with[page], "] not found\n"), with[page])
	}
	assert.NotContains(t, with["/"], `href="store"`)

	operators := tell(t, "operators", true)
	for _, address := range []string{"/", "/changes", "/topic?cluster=local&name=private", "/api/v1/groups?watch", "/api/v1/changes?watch"} {
		assert.Contains(t, operators[address], hidden)
	}
	assert.Contains(t, operators["/"], `href="store"`)
	assert.Contains(t, operators["/group?cluster=local&name=billing"], `href="store"`)
	assert.Contains(t, operators["/store"], "Partitions of groups")
}

// missing watches a store too slowly.
type missing struct{ *storage.DB }

func (m missing) Watch(ctx context.Context, _ storage.WatchFilter) (iter.Seq[protocol.Event], error) {
	return func(yield func(protocol.Event) bool) {
		yield(protocol.Event{Kind: protocol.EventMissed, Missed: 4711})
		<-ctx.Done()
	}, nil
}

// That changes are missing is said to everybody; how many they were, to those who may see all of them.
func TestMissedChangesAreNotCounted(t *testing.T) {
	t.Parallel()
	told := func(options inspector.Options) string {
		changes := open(t, serve(t, missing{filled(t)}, options).URL+"/api/v1/changes?watch")
		for {
			// The stream may begin before the inspector has seen the change.
			if _, data := event(t, changes); strings.Contains(data, `"kind":"missed"`) {
				return data
			}
		}
	}
	assert.NotContains(t, told(inspector.Options{Allow: exceptHidden}), "4711")
	assert.Contains(t, told(inspector.Options{}), `"missed":4711`)
}

// A page of a group is made once for all who look at it, but for what only some may see.
func TestSharedPageHasNoLinkForOthers(t *testing.T) {
	t.Parallel()
	h, err := inspector.New(filled(t), inspector.Options{Allow: exceptHidden, Now: func() time.Time { return time.UnixMilli(1 << 40) }})
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	for _, team := range []string{"operators", "search", "operators"} {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, asked(t.Context(), team, "/group?cluster=local&name=billing"))
		assert.Equal(t, http.StatusOK, answer.Code)
		assert.Equal(t, team == "operators", strings.Contains(answer.Body.String(), `href="store"`), team)
	}
}

// A browser that was connected before the process was started anew goes on with what has changed since.
func TestChangesGoOnAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := filled(t)
		last := uint64(0)
		for restart := range 3 {
			h, err := inspector.New(db, inspector.Options{})
			require.NoError(t, err)
			synctest.Wait() // the inspector watches
			for i := range 3 - restart {
				require.NoError(t, db.Commit(t.Context(), "local", fmt.Sprint("group-", restart, i), protocol.Commit{
					Topic: "orders", Offset: 1, Timestamp: time.Now().UnixMilli(), Order: -1,
				}))
			}
			synctest.Wait()
			answer := show(t, h, fmt.Sprint("/api/v1/changes?after=", last))
			var changes struct {
				Last    uint64
				Changes []inspector.Change
			}
			require.NoError(t, json.Unmarshal([]byte(answer), &changes))
			assert.Len(t, changes.Changes, 2*(3-restart), "a group and its topic each")
			last = changes.Last
			require.NoError(t, h.Close())
			time.Sleep(time.Millisecond)
		}
	})
}

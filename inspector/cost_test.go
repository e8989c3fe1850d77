package inspector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

// counted counts what an inspector asks of a store.
type counted struct {
	*storage.DB
	groups, topics atomic.Int64
	isAway         atomic.Bool // whether groups cannot be read
}

func (c *counted) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	c.groups.Add(1)
	if c.isAway.Load() {
		return storage.ErrUnavailable
	}
	return c.DB.Group(ctx, cluster, group, into)
}

func (c *counted) EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error) {
	c.topics.Add(1)
	return c.DB.EndOffsets(ctx, cluster, topic, dst)
}

func show(t *testing.T, h http.Handler, address string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, address, nil))
	require.Equal(t, http.StatusOK, answer.Code, address)
	return answer.Body.String()
}

// A reading asks for each group and topic once, as a listing does, and pages of it ask for nothing. A group that many look at
// is read once a second.
func TestWhatTheStoreIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := filled(t)
		source := &counted{DB: db}
		h, err := inspector.New(source, inspector.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, h.Close()) }()
		synctest.Wait()
		for _, page := range []string{"/", "/?q=b", "/topics", "/api/v1/groups", "/api/v1/history?cluster=local&name=billing"} {
			for range 10 {
				show(t, h, page)
			}
		}
		assert.Equal(t, [2]int64{3, 2}, [2]int64{source.groups.Load(), source.topics.Load()})

		const address = "/group?cluster=local&name=billing"
		first := show(t, h, address)
		require.NoError(t, db.Commit(t.Context(), "local", "billing", protocol.Commit{
			Topic: "orders", Offset: 987, Timestamp: time.Now().UnixMilli() + 1, Order: -1,
		}))
		for range 10 {
			assert.Equal(t, first, show(t, h, address))
		}
		assert.EqualValues(t, 4, source.groups.Load())
		assert.Contains(t, show(t, h, "/api/v1/"+address[1:]), "987", "a program is told what is now")
		time.Sleep(time.Second)
		assert.Contains(t, show(t, h, address), "987")
		assert.EqualValues(t, 6, source.groups.Load())
	})
}

// However many are asked for, a page holds 200 rows.
func TestRowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		h, err := inspector.New(db, inspector.Options{})
		require.NoError(t, err)
		defer func() { require.NoError(t, h.Close()) }()
		synctest.Wait()
		require.NoError(t, db.SetEndOffset(t.Context(), "local", "wide", protocol.EndOffset{Offset: 500, TopicPartitionCount: 450}))
		for i := range 450 {
			require.NoError(t, db.SetEndOffset(t.Context(), "local", "wide", protocol.EndOffset{Partition: int32(i), Offset: 500, TopicPartitionCount: 450}))
			require.NoError(t, db.Commit(t.Context(), "local", "group-7", protocol.Commit{
				Topic: "wide", Partition: int32(i), Offset: int64(500 - i), Order: -1, Timestamp: time.Now().UnixMilli(),
			}))
			require.NoError(t, db.Commit(t.Context(), "local", fmt.Sprint("group-", i), protocol.Commit{
				Topic: "wide", Offset: 500, Order: -1, Timestamp: time.Now().UnixMilli(),
			}))
			topic := fmt.Sprint("topic-", i)
			require.NoError(t, db.SetEndOffset(t.Context(), "local", topic, protocol.EndOffset{Offset: 2, TopicPartitionCount: 1}))
			require.NoError(t, db.Commit(t.Context(), "local", fmt.Sprint("group-", i), protocol.Commit{
				Topic: topic, Offset: 1, Order: -1, Timestamp: time.Now().UnixMilli(),
			}))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for page, rows := range map[string]int{
			"/?per_page=1000000": 200, "/?per_page=200&page=3": 50, "/": 50, "/topics": 200, "/topics?page=3": 51, "/changes": 200,
			"/topic?cluster=local&name=wide": 200,
		} {
			_, body, _ := strings.Cut(show(t, h, page), "<tbody>")
			assert.Equal(t, rows, strings.Count(body, "<tr>"), page)
		}
		group := show(t, h, "/group?cluster=local&name=group-7")
		assert.Equal(t, 200+1, strings.Count(group, `<tr><th scope="row" class="number">`), "of the wide topic, and of the other")
		assert.Contains(t, group, `class="number">449</th>`, "those that are behind most")
		assert.NotContains(t, group, `class="number">249</th>`)
		assert.Contains(t, group, "The 200 most alarming of 450 partitions")
		assert.Contains(t, show(t, h, "/topic?cluster=local&name=wide"), "The 200 most alarming of 450 groups")
		require.NoError(t, db.SetEndOffset(t.Context(), "local", "wider", protocol.EndOffset{Partition: 1200, Offset: 500, TopicPartitionCount: 1201}))
		assert.Equal(t, 1000, strings.Count(show(t, h, "/topic?cluster=local&name=wider"), "<li>"))
		for i := range 450 {
			require.NoError(t, db.SetOwner(t.Context(), "local", "everything", protocol.PartitionOwner{Topic: fmt.Sprint("topic-", i), Owner: "host-1"}))
		}
		everything := show(t, h, "/group?cluster=local&name=everything")
		assert.Equal(t, 200, strings.Count(everything, "<section>"))
		assert.Contains(t, everything, "The 200 most alarming of 450 topics")
		var list inspector.GroupList
		require.NoError(t, json.Unmarshal([]byte(show(t, h, "/api/v1/groups?per_page=1000")), &list))
		assert.Len(t, list.Groups, 200)
		assert.Equal(t, [3]int{450, 450, 3}, [3]int{list.Totals.Groups, list.Totals.Matching, list.Pages})
	})
}

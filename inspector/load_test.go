package inspector

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// loaded opens a store of many groups, each on one topic of 100 partitions with ten commits each. A quarter is behind.
func loaded(b *testing.B, groups int) *storage.DB {
	b.Helper()
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	const partitions, topics, commits = 100, 100, 10
	now := time.Now().UnixMilli()
	for t := range topics {
		ends := make([]protocol.EndOffset, partitions)
		for p := range ends {
			ends[p] = protocol.EndOffset{Partition: int32(p), TopicPartitionCount: partitions, Offset: 1_000_000, Timestamp: now}
		}
		require.NoError(b, db.SetEndOffsetBatch(b.Context(), "local", fmt.Sprint("topic-", t), ends))
	}
	batch := make([]protocol.Commit, 0, partitions*commits)
	for g := range groups {
		batch = batch[:0]
		for p := range int32(partitions) {
			for c := range int64(commits) {
				offset := 1_000_000 - (commits-1-c)*100
				if g%4 == 0 {
					offset -= int64(g)
				}
				batch = append(batch, protocol.Commit{
					Topic: fmt.Sprint("topic-", g%topics), Partition: p, Offset: offset, Order: -1, Timestamp: now - (commits-c)*1000,
				})
			}
		}
		require.NoError(b, db.CommitBatch(b.Context(), "local", fmt.Sprintf("group-%05d", g), batch))
	}
	return db
}

// BenchmarkLoad measures the inspector on 10,000 groups of 100 partitions.
func BenchmarkLoad(b *testing.B) {
	const groups = 10_000
	db := loaded(b, groups)
	h, err := New(db, Options{Interval: time.Hour, HistoryBytes: 512 << 20})
	require.NoError(b, err)
	defer func() { require.NoError(b, h.Close()) }()
	_, err = h.collector.wait(b.Context(), h.quit)
	require.NoError(b, err)

	// The floor of a refresh: whoever wants to know the lags of all groups has to read them.
	b.Run("listing", func(b *testing.B) {
		var group protocol.Group
		for b.Loop() {
			names, err := db.Groups(b.Context(), "local")
			require.NoError(b, err)
			for name := range names {
				if err := db.Group(b.Context(), "local", name, &group); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("refresh", func(b *testing.B) {
		for b.Loop() {
			h.collector.read(context.Background())
		}
	})
	// A page that nobody has asked for since the reading.
	b.Run("first-paint", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			paint(b, h, fmt.Sprintf("/?per_page=200&page=%d", 1+i%50))
		}
	})
	b.Run("first-paint-sorted-and-filtered", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			paint(b, h, fmt.Sprintf("/?per_page=200&sort=lag&q=group-%02d", i%100))
		}
	})
	b.Run("group-page", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			paint(b, h, fmt.Sprintf("/group?cluster=local&name=group-%05d", i%groups))
		}
	})
	for name, address := range map[string]func(browser int) string{
		"browsers=200/one-page":     func(int) string { return "/" },
		"browsers=200/own-searches": func(n int) string { return fmt.Sprintf("/?q=group-0%03d", n) },
		"browsers=200/own-groups":   func(n int) string { return fmt.Sprintf("/group?cluster=local&name=group-%05d", n) },
	} {
		b.Run(name, func(b *testing.B) { browse(b, h, db, 200, address) })
	}
}

func paint(b *testing.B, h http.Handler, address string) {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, address, nil))
	if answer.Code != http.StatusOK {
		b.Fatal(answer.Code, answer.Body.String())
	}
}

// browse measures what browsers cost at each reading, beside the reading: a tick for each, and the page that each then asks
// for anew, over connections that stay. Both ends of them are in the figure. It reports the share of one core at a reading
// every ten seconds.
func browse(b *testing.B, h *Handler, db *storage.DB, browsers int, address func(int) string) {
	server := httptest.NewServer(h)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * browsers}}
	ctx, leave := context.WithCancel(b.Context())
	defer func() { // the streams end first: a server waits for them
		leave()
		client.CloseIdleConnections()
		server.Close()
	}()
	ticks := make([]io.ReadCloser, browsers)
	get := func(address string) io.ReadCloser {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+address, nil)
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", "gzip")
		answer, err := client.Do(request)
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Fatal(address, err)
		}
		return answer.Body
	}
	tick := make([]byte, 4096)
	for i := range ticks {
		ticks[i] = get("/live")
		defer ticks[i].Close()
	}
	commit := protocol.Commit{Topic: "topic-0", Order: -1}
	var took time.Duration
	for b.Loop() {
		b.StopTimer()
		commit.Offset++
		commit.Timestamp = time.Now().UnixMilli()
		if err := db.Commit(b.Context(), "local", "group-00000", commit); err != nil {
			b.Fatal(err)
		}
		h.collector.read(context.Background())
		b.StartTimer()
		begun := time.Now()
		for i, stream := range ticks {
			if _, err := stream.Read(tick); err != nil {
				b.Fatal(err)
			}
			page := get(address(i))
			_, _ = io.Copy(io.Discard, page)
			_ = page.Close()
		}
		took += time.Since(begun)
	}
	b.ReportMetric(100*took.Seconds()/float64(b.N)/10, "%core")
}

package inspector

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/snapshottest"
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
	owners := make([]protocol.PartitionOwner, partitions)
	for g := range groups {
		batch = batch[:0]
		topic := fmt.Sprint("topic-", g%topics)
		for p := range int32(partitions) {
			for c := range int64(commits) {
				offset := 1_000_000 - (commits-1-c)*100
				if g%4 == 0 {
					offset -= int64(g)
				}
				batch = append(batch, protocol.Commit{
					Topic: topic, Partition: p, Offset: offset, Order: -1, Timestamp: now - (commits-c)*1000,
				})
			}
			member := p / 25
			owners[p] = protocol.PartitionOwner{
				Topic: topic, Partition: p, Owner: fmt.Sprint("/10.0.0.", member), ClientID: fmt.Sprint("consumer-", member),
			}
		}
		require.NoError(b, db.CommitBatch(b.Context(), "local", fmt.Sprintf("group-%05d", g), batch))
		require.NoError(b, db.SetOwners(b.Context(), "local", fmt.Sprintf("group-%05d", g), owners))
	}
	return db
}

// BenchmarkLoad measures the inspector on 10,000 groups of 100 partitions. What it reports beside the time that passes is
// processor time, which others on the machine do not stretch.
func BenchmarkLoad(b *testing.B) {
	const groups = 10_000
	db := loaded(b, groups)
	h, err := New(db, Options{Interval: time.Hour, HistoryBytes: 512 << 20})
	require.NoError(b, err)
	defer func() { require.NoError(b, h.Close()) }()
	_, err = h.collector.wait(b.Context(), h.quit)
	require.NoError(b, err)

	// Whoever wants to know the lags of all groups has to read them: that is the floor, and what the store does.
	b.Run("refresh", func(b *testing.B) {
		var group protocol.Group
		var listing, refresh time.Duration
		for b.Loop() {
			listing += processorTime(func() {
				names, err := db.Groups(b.Context(), "local")
				require.NoError(b, err)
				for name := range names {
					if err := db.Group(b.Context(), "local", name, &group); err != nil {
						b.Fatal(err)
					}
				}
			})
			refresh += processorTime(func() { h.collector.read(context.Background()) })
		}
		b.ReportMetric(listing.Seconds()*1000/float64(b.N), "listing-ms")
		b.ReportMetric(refresh.Seconds()*1000/float64(b.N), "refresh-ms")
		b.ReportMetric(refresh.Seconds()/listing.Seconds(), "refresh/listing")
	})
	// Pages that nobody has asked for since the reading.
	for name, address := range map[string]func(i int) string{
		"first-paint":                     func(i int) string { return fmt.Sprintf("/?per_page=200&page=%d", 1+i%50) },
		"first-paint-sorted-and-filtered": func(i int) string { return fmt.Sprintf("/?per_page=200&sort=lag&q=group-%02d", i%100) },
		"group-page":                      func(i int) string { return fmt.Sprintf("/group?cluster=local&name=group-%05d", i%groups) },
	} {
		b.Run(name, func(b *testing.B) {
			var painting time.Duration
			for i := 0; b.Loop(); i++ {
				h.collector.again()
				painting += processorTime(func() { paint(b, h, address(i)) })
			}
			b.ReportMetric(painting.Seconds()*1000/float64(b.N), "cpu-ms")
		})
	}
	for name, page := range map[string]string{
		"browsers=200/one-page":     "/?browser=%d",
		"browsers=200/own-searches": "/?q=group-0%03d",
		"browsers=200/own-groups":   "/group?cluster=local&name=group-%05d",
	} {
		b.Run(name, func(b *testing.B) { browse(b, h, 200, page) })
	}
	// Nothing is shared if each may see what others may not.
	own, err := New(db, Options{Interval: time.Hour, History: -1, Allow: func(*http.Request, string, string) bool { return true }})
	require.NoError(b, err)
	defer func() { require.NoError(b, own.Close()) }()
	_, err = own.collector.wait(b.Context(), own.quit)
	require.NoError(b, err)
	b.Run("browsers=200/own-views", func(b *testing.B) { browse(b, own, 200, "/?browser=%d") })
}

func processorTime(do func()) time.Duration {
	before := snapshottest.CPUTime()
	do()
	return snapshottest.CPUTime() - before
}

func paint(b *testing.B, h http.Handler, address string) {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, address, nil))
	if answer.Code != http.StatusOK {
		b.Fatal(answer.Code, answer.Body.String())
	}
}

// browse measures what browsers cost at each reading, beside the reading: a tick for each, and the page that each then asks
// for anew, all at once and over connections that stay. The browsers are a process of their own, so that what this one uses
// is the cost of serving them. It reports the shares of one core at a reading every ten seconds.
func browse(b *testing.B, h *Handler, browsers int, page string) {
	server := httptest.NewServer(h)
	defer server.Close()
	child := exec.CommandContext(b.Context(), os.Args[0])
	child.Env = append(os.Environ(), "INSPECTOR_BROWSERS="+strconv.Itoa(browsers), "INSPECTOR_LIVE="+server.URL+"/live", "INSPECTOR_PAGE="+server.URL+page)
	child.Stderr = os.Stderr
	leave, err := child.StdinPipe()
	require.NoError(b, err)
	output, err := child.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, child.Start())
	defer func() {
		_ = leave.Close()
		require.NoError(b, child.Wait())
	}()
	lines := bufio.NewScanner(output)
	seen := func() time.Duration { // returns once all browsers have seen the newest, with the processor time they used so far
		if !lines.Scan() {
			b.Fatal("the browsers have ended: ", lines.Err())
		}
		used, err := time.ParseDuration(strings.TrimSpace(lines.Text()))
		require.NoError(b, err)
		return used
	}
	first := seen()
	last := first
	var serving time.Duration
	for b.Loop() {
		serving += processorTime(func() {
			h.collector.again()
			last = seen()
		})
	}
	share := func(used time.Duration) float64 { return 100 * used.Seconds() / float64(b.N) / 10 }
	b.ReportMetric(share(serving), "%core")
	b.ReportMetric(share(serving+last-first), "%core-with-browsers")
}

// again publishes the newest reading as if it were read anew.
func (c *collector) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current
	c.publish(&reading{
		at: c.options.Now(), groups: old.groups, byGroup: old.byGroup, topics: old.topics, byTopic: old.byTopic, readers: old.readers,
	})
}

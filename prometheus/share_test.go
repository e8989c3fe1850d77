package prometheus_test

import (
	"compress/gzip"
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
	"github.com/lagkeeper/storage/protocol"
)

// slow is a coordinator that lists its groups only when a test allows it, and counts how often.
type slow struct {
	*storage.Coordinator
	open  chan struct{} // closed when the lists may be returned
	lists atomic.Int32
}

func (s *slow) Store() storage.Store { return &slowStore{s.Coordinator.Store(), s} }

type slowStore struct {
	storage.Store
	slow *slow
}

func (s *slowStore) Groups(ctx context.Context, cluster string) (iter.Seq[string], error) {
	s.slow.lists.Add(1)
	<-s.slow.open
	return s.Store.Groups(ctx, cluster)
}

// Callers that collect at the same time share one reading of the store; a later caller reads again.
func TestCollectionIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.end("orders", 0, 100, 0)
		w.commit("a", "orders", 0, 50)
		source := &slow{Coordinator: w.coordinator, open: make(chan struct{})}
		_, registry := newCollector(t, source, lagprom.Options{Lags: &lagprom.LagOptions{}})
		var gathering sync.WaitGroup
		for range 40 {
			gathering.Add(1)
			go func() {
				defer gathering.Done()
				groups, series := exportedGroups(t, registry)
				assert.Equal(t, []string{"a"}, groups)
				assert.Greater(t, series, 5)
			}()
		}
		synctest.Wait()
		close(source.open)
		gathering.Wait()
		assert.EqualValues(t, 1, source.lists.Load())
		w.commit("b", "orders", 0, 50)
		groups, _ := exportedGroups(t, registry)
		assert.Equal(t, []string{"a", "b"}, groups, "a collection that has ended is not shared")
		assert.EqualValues(t, 2, source.lists.Load())
	})
}

// If the application's own filter panics, nobody keeps waiting.
func TestPanicInAFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.end("orders", 0, 100, 0)
		w.commit("a", "orders", 0, 50)
		angry := true
		collector, _ := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{
			Allow: func(string, string, string) bool {
				if angry {
					panic("angry")
				}
				return true
			},
		}})
		out := make(chan prom.Metric, 1000)
		assert.PanicsWithValue(t, "angry", func() { collector.Collect(out) })
		angry = false
		collector.Collect(out)
		assert.NotEmpty(t, out)
	})
}

// The Collector's own reads do not count as requests.
func TestOwnReadsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.end("orders", 0, 100, 0)
		w.commit("a", "orders", 0, 50)
		before, err := w.coordinator.Stats()
		require.NoError(t, err)
		_, registry := newCollector(t, w.coordinator, lagprom.Options{Lags: &lagprom.LagOptions{}})
		for range 3 {
			groups, _ := exportedGroups(t, registry)
			assert.Equal(t, []string{"a"}, groups)
		}
		after, err := w.coordinator.Stats()
		require.NoError(t, err)
		assert.Equal(t, before.Requests, after.Requests)
	})
}

// stopping is a coordinator that is stopped when its groups have been listed.
type stopping struct{ *storage.Coordinator }

func (s stopping) Store() storage.Store { return &stoppingStore{s.Coordinator.Store(), s.Coordinator} }

type stoppingStore struct {
	storage.Store
	coordinator *storage.Coordinator
}

func (s *stoppingStore) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	if err := s.coordinator.Stop(); err != nil {
		return err
	}
	return s.Store.Group(ctx, cluster, group, into)
}

// An incomplete list is not exported: half of the groups would look like all of them.
func TestStopInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.end("orders", 0, 100, 0)
		w.commit("a", "orders", 0, 50)
		collector, registry := newCollector(t, stopping{w.coordinator}, lagprom.Options{Lags: &lagprom.LagOptions{}})
		assert.Equal(t, 1, testutil.CollectAndCount(collector))
		running, ok := value(t, registry, "lagstore_running", nil)
		assert.True(t, ok)
		assert.Zero(t, running)
	})
}

// gatherer counts how often it gathers, and waits for the test.
type gatherer struct {
	prom.Gatherer
	open  chan struct{}
	times atomic.Int32
}

func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	g.times.Add(1)
	<-g.open
	return g.Gatherer.Gather()
}

func serve(h http.Handler, encoding string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	if encoding != "" {
		request.Header.Set("Accept-Encoding", encoding)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder
}

// Requests at the same time share one page, and those above the limit are refused.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		_, registry := newCollector(t, w.coordinator, lagprom.Options{})
		g := &gatherer{Gatherer: registry, open: make(chan struct{})}
		handler := lagprom.NewHandler(g, 8)
		var asking sync.WaitGroup
		var served, refused atomic.Int32
		for i := range 12 {
			asking.Add(1)
			go func() {
				defer asking.Done()
				encoding := []string{"", "gzip", "deflate, gzip;q=0.5", "gzip;q=0, identity"}[i%4]
				response := serve(handler, encoding)
				if response.Code == http.StatusServiceUnavailable {
					assert.Equal(t, "1", response.Header().Get("Retry-After"))
					refused.Add(1)
					return
				}
				assert.Equal(t, http.StatusOK, response.Code)
				body := io.Reader(response.Body)
				compressed := i%4 == 1 || i%4 == 2
				assert.Equal(t, compressed, response.Header().Get("Content-Encoding") == "gzip")
				if compressed {
					var err error
					body, err = gzip.NewReader(body)
					assert.NoError(t, err)
				}
				text, err := io.ReadAll(body)
				assert.NoError(t, err)
				assert.Contains(t, string(text), "lagstore_running 1\n")
				assert.True(t, strings.HasPrefix(response.Header().Get("Content-Type"), "text/plain; version=0.0.4"))
				served.Add(1)
			}()
		}
		synctest.Wait()
		close(g.open)
		asking.Wait()
		assert.EqualValues(t, 8, served.Load())
		assert.EqualValues(t, 4, refused.Load())
		assert.EqualValues(t, 1, g.times.Load())
		assert.Equal(t, http.StatusOK, serve(handler, "").Code, "there is room again")
		assert.EqualValues(t, 2, g.times.Load())
	})
}

// A client that goes away while the page is made takes no room, and a page that cannot be made is an error.
func TestHandlerFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prom.NewRegistry()
		broken := prom.NewGaugeFunc(prom.GaugeOpts{Name: "broken"}, func() float64 { return 0 })
		registry.MustRegister(broken)
		g := &gatherer{Gatherer: prom.Gatherers{registry, registry}, open: make(chan struct{})}
		handler := lagprom.NewHandler(g, 2)
		answers := make(chan int, 1)
		go func() { answers <- serve(handler, "").Code }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil).WithContext(ctx)
			handler.ServeHTTP(httptest.NewRecorder(), request)
		}()
		synctest.Wait()
		assert.Equal(t, http.StatusServiceUnavailable, serve(handler, "").Code)
		cancel()
		<-gone
		close(g.open)
		assert.Equal(t, http.StatusInternalServerError, <-answers, "the same series twice")
		assert.Equal(t, http.StatusInternalServerError, serve(handler, "").Code)
	})
}

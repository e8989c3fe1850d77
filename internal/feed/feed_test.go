package feed

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// missed stands for n missed numbers.
func missed(n uint64) int { return -int(n) }

// next returns what can be read, which must be something.
func next(t *testing.T, w *Watcher[int]) []int {
	t.Helper()
	events, err := w.Next(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, events)
	return events
}

func publish(h *Hub[int], from, until int) {
	for n := from; n < until; n++ {
		h.Publish(n)
	}
}

func TestHubWithoutWatchers(t *testing.T) {
	t.Parallel()
	var h Hub[int]
	require.False(t, h.Watched())
	h.Publish(1)
	h.CloseAll()
	w := h.Watch(4, nil, missed)
	require.True(t, h.Watched())
	w.Close()
	require.False(t, h.Watched())
	w.Close()
}

func TestWatcherGetsWhatItWants(t *testing.T) {
	t.Parallel()
	var h Hub[int]
	h.Publish(0) // before there is a watcher
	all := h.Watch(10, nil, missed)
	even := h.Watch(10, func(n int) bool { return n%2 == 0 }, missed)
	publish(&h, 1, 5)
	require.Equal(t, []int{1, 2, 3, 4}, next(t, all))
	require.Equal(t, []int{2, 4}, next(t, even))
	all.Close()
	publish(&h, 5, 7)
	require.Equal(t, []int{6}, next(t, even))
	_, err := all.Next(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	even.Close()
}

// TestMissed fills a watcher: it keeps the oldest events, and has room again once it got the missed event.
func TestMissed(t *testing.T) {
	t.Parallel()
	for capacity, want := range map[int][]int{-1: {0, -9}, 0: {0, -9}, 1: {0, -9}, 3: {0, 1, 2, -7}, 9: {0, 1, 2, 3, 4, 5, 6, 7, 8, -1}} {
		var h Hub[int]
		w := h.Watch(capacity, nil, missed)
		publish(&h, 0, 10)
		require.Equal(t, want, next(t, w))
		publish(&h, 10, 11)
		require.Equal(t, []int{10}, next(t, w))
		w.Close()
	}
	var h Hub[int]
	w := h.Watch(10, nil, missed)
	publish(&h, 0, 10)
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, next(t, w))
	w.Close()
}

// TestMissedOnlyWhatIsWanted does not count events that the watcher does not want.
func TestMissedOnlyWhatIsWanted(t *testing.T) {
	t.Parallel()
	var h Hub[int]
	w := h.Watch(2, func(n int) bool { return n%2 == 0 }, missed)
	publish(&h, 0, 10)
	require.Equal(t, []int{0, 2, -3}, next(t, w))
	w.Close()
}

// TestEventsAreTheCallers changes what Next returned.
func TestEventsAreTheCallers(t *testing.T) {
	t.Parallel()
	var h Hub[int]
	w := h.Watch(10, nil, missed)
	publish(&h, 0, 3)
	first := next(t, w)
	publish(&h, 3, 6)
	clear(first)
	require.Equal(t, []int{3, 4, 5}, next(t, w))
	require.Equal(t, []int{0, 0, 0}, first)
	w.Close()
}

// TestEnds closes a watcher in every possible way. Earlier events are read first.
func TestEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(*Hub[int], *Watcher[int], context.CancelFunc)
		want error
	}{
		"context": {func(_ *Hub[int], _ *Watcher[int], cancel context.CancelFunc) { cancel() }, context.Canceled},
		"close":   {func(_ *Hub[int], w *Watcher[int], _ context.CancelFunc) { w.Close() }, ErrClosed},
		"hub":     {func(h *Hub[int], _ *Watcher[int], _ context.CancelFunc) { h.CloseAll() }, ErrClosed},
	} {
		for _, waiting := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var h Hub[int]
				ctx, cancel := context.WithCancel(t.Context())
				w := h.Watch(10, nil, missed)
				result := make(chan error, 1)
				if !waiting {
					h.Publish(7)
					test.end(&h, w, cancel)
					events, err := w.Next(ctx)
					require.NoError(t, err, name)
					require.Equal(t, []int{7}, events, name)
				}
				go func() {
					_, err := w.Next(ctx)
					result <- err
				}()
				synctest.Wait()
				if waiting {
					require.Empty(t, result)
					test.end(&h, w, cancel)
				}
				require.ErrorIs(t, <-result, test.want, name)
				w.Close()
				cancel()
				require.False(t, h.Watched())
			})
		}
	}
}

// TestManyPublishers checks that each watcher sees the numbers of each publisher in order, without a hole that no missed
// event accounts for, and that publishers do not wait for a watcher that reads nothing.
func TestManyPublishers(t *testing.T) {
	t.Parallel()
	const publishers, each = 4, 5000
	type event struct {
		from, n int
		missed  uint64
	}
	var h Hub[event]
	never := h.Watch(1, nil, func(n uint64) event { return event{missed: n} })
	var readers, writers sync.WaitGroup
	for _, capacity := range []int{1, 16, publishers * each} {
		w := h.Watch(capacity, nil, func(n uint64) event { return event{missed: n} })
		readers.Add(1)
		go func() {
			defer readers.Done()
			var newest [publishers]int
			var holes, got, told uint64
			for {
				events, err := w.Next(context.Background())
				if err != nil {
					break
				}
				for _, e := range events {
					if e.missed > 0 {
						told += e.missed
						continue
					}
					got++
					if e.n <= newest[e.from] {
						t.Errorf("%d of publisher %d after %d", e.n, e.from, newest[e.from])
					}
					holes += uint64(e.n - newest[e.from] - 1)
					newest[e.from] = e.n
				}
			}
			for _, n := range newest {
				holes += uint64(each - n)
			}
			if got+told != publishers*each || holes != told || capacity > 16 && told > 0 {
				t.Errorf("capacity %d: got %d, told of %d missed, %d holes", capacity, got, told, holes)
			}
		}()
	}
	for from := range publishers {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for n := range each {
				h.Publish(event{from: from, n: n + 1})
			}
		}()
	}
	writers.Wait()
	h.CloseAll()
	readers.Wait()
	events, err := never.Next(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, publishers*each-1, slices.MaxFunc(events, func(a, b event) int { return int(a.missed) - int(b.missed) }).missed)
}

// TestWatchersComeAndGo makes and closes watchers while others publish.
func TestWatchersComeAndGo(t *testing.T) {
	t.Parallel()
	var h Hub[int]
	var all sync.WaitGroup
	for range 4 {
		all.Add(2)
		go func() {
			defer all.Done()
			publish(&h, 0, 2000)
		}()
		go func() {
			defer all.Done()
			for i := range 200 {
				w := h.Watch(1+i%3, nil, missed)
				if i%2 == 0 {
					go w.Close()
				}
				w.Close()
				if _, err := w.Next(context.Background()); err == nil {
					_, err = w.Next(context.Background())
					if err == nil {
						continue // what was being published when it closed
					}
				}
			}
		}()
	}
	all.Wait()
	h.CloseAll()
	require.False(t, h.Watched())
}

// TestEventsAreShared checks that an event counts once, however many watchers hold it, and that its memory is given back when
// it is read or closed.
func TestEventsAreShared(t *testing.T) {
	t.Parallel()
	h := Hub[int]{Size: func(n int) int { return n }}
	var all []*Watcher[int]
	for range 10 {
		all = append(all, h.Watch(10, nil, missed))
	}
	h.Publish(100)
	h.Publish(1000)
	require.Equal(t, Stats{Watchers: 10, Events: 20, Bytes: 1100 + 20*reference}, h.Stats())
	for _, w := range all[1:9] {
		require.Equal(t, []int{100, 1000}, next(t, w))
	}
	require.Equal(t, Stats{Watchers: 10, Events: 4, Bytes: 1100 + 4*reference}, h.Stats())
	all[0].Close()
	require.Equal(t, Stats{Watchers: 9, Events: 2, Bytes: 1100 + 2*reference}, h.Stats())
	require.Equal(t, []int{100, 1000}, next(t, all[0]), "what came before the end can be read")
	h.CloseAll()
	require.Equal(t, Stats{}, h.Stats())
}

// TestTheGreatestLosesAll fills the hub beyond its bytes: the watcher that holds most gets a missed event, the others miss
// nothing, and the total stays below the limit.
func TestTheGreatestLosesAll(t *testing.T) {
	t.Parallel()
	h := Hub[int]{Size: func(int) int { return 100 }, MaxBytes: 1000}
	never := h.Watch(1000, nil, missed)
	even := h.Watch(1000, func(n int) bool { return n%2 == 0 }, missed)
	reader := h.Watch(1000, nil, missed)
	for n := range 100 {
		h.Publish(n)
		require.LessOrEqual(t, h.Stats().Bytes, 1000)
		require.Equal(t, []int{n}, next(t, reader))
	}
	lost := next(t, never)
	require.Len(t, lost, 1, "the missed event comes first")
	require.Equal(t, -100, lost[0])
	told := 0
	for h.Stats().Events > 0 || told == 0 {
		for _, n := range next(t, even) {
			if n < 0 {
				told -= n
			} else {
				told++
			}
		}
	}
	require.Equal(t, 50, told)
	require.EqualValues(t, 0, h.Stats().Bytes)
	h.CloseAll()
}

// TestOneEventBeyondAllBytes publishes an event that no watcher can hold.
func TestOneEventBeyondAllBytes(t *testing.T) {
	t.Parallel()
	h := Hub[int]{Size: func(n int) int { return n }, MaxBytes: 10}
	w := h.Watch(10, nil, missed)
	h.Publish(100)
	require.Equal(t, []int{-1}, next(t, w))
	require.Equal(t, Stats{Watchers: 1, Missed: 1}, h.Stats())
	w.Close()
	h.Publish(100)
}

// TestTooManyWatchers checks that a watcher too many is refused, and accepted when another has left.
func TestTooManyWatchers(t *testing.T) {
	t.Parallel()
	h := Hub[int]{MaxWatchers: 3}
	var all []*Watcher[int]
	for range 3 {
		all = append(all, h.Watch(10, nil, missed))
	}
	require.Nil(t, h.Watch(10, nil, missed))
	require.Equal(t, Stats{Watchers: 3, Refused: 1}, h.Stats())
	all[1].Close()
	all[1].Close()
	w := h.Watch(10, nil, missed)
	require.NotNil(t, w)
	require.Nil(t, h.Watch(10, nil, missed))
	h.CloseAll()
	require.Equal(t, Stats{Refused: 2}, h.Stats())
}

// TestBatches reads many events, which Next returns in parts, so that few are counted nowhere.
func TestBatches(t *testing.T) {
	t.Parallel()
	var h Hub[int]
	w := h.Watch(1000, nil, missed)
	publish(&h, 0, 1010)
	for n := 0; n < 1000; {
		events := next(t, w)
		require.LessOrEqual(t, len(events), maxBatch+1)
		for _, got := range events {
			if got >= 0 {
				require.Equal(t, n, got)
				n++
			} else {
				require.Equal(t, 1000, n)
				require.Equal(t, -10, got)
			}
		}
	}
	w.Close()
}

func TestLose(t *testing.T) {
	var hub Hub[int]
	hub.Lose(3) // nobody watches
	w := hub.Watch(10, func(int) bool { return false }, func(n uint64) int { return -int(n) })
	defer w.Close()
	hub.Publish(1)
	hub.Lose(2)
	hub.Lose(5)
	got, err := w.Next(context.Background())
	require.NoError(t, err)
	require.Equal(t, []int{-7}, got)
	require.EqualValues(t, 7, hub.Stats().Missed)
}

package kafkafeed

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
)

// histories is the number of random histories in TestAnyCrashEndsAsTheCoordinator.
var histories = flag.Int("histories", 40, "how many random histories a crash is tried in")

// firstHistory is the seed of the first one.
var firstHistory = flag.Uint64("first-history", 0, "the seed of the first random history")

// hanging is a producer whose transactions never end.
const hanging = 3

// historian writes random records of groups of all kinds.
type historian struct {
	*simulated
	random *rand.Rand
}

func (h *historian) group() string { return fmt.Sprint("g", h.random.IntN(5)) }

// step writes one thing that a coordinator may write, or runs the cleaner.
func (h *historian) step() {
	group, of := h.group(), h.random.Int32N(3)
	log := h.logOf(group)
	producer := h.random.Int64N(4)
	value := commitValueBytes(int16(h.random.IntN(5)), h.random.Int64N(100), time.Now().UnixMilli())
	switch n := h.random.IntN(40); {
	case n < 10:
		h.append(log, -1, commitKeyBytes(1, group, "orders", of), value)
	case n < 18:
		h.append(log, producer, commitKeyBytes(1, group, "orders", of), value)
	case n < 22:
		h.append(log, -1, commitKeyBytes(1, group, "orders", of), nil)
	case n < 28 && producer != hanging && h.isOpen(log, producer):
		h.endTransaction(log, producer, []Kind{KindCommitMarker, KindCommitMarker, KindAbortMarker}[h.random.IntN(3)])
	case n < 30:
		h.append(log, -1, groupKeyBytes(group), groupValueBytes(3, h.random.IntN(3)))
	case n < 32:
		h.convert(log, group)
	case n < 34: // keys of consumer, share and streams groups, and of unknown versions
		h.append(log, -1, versionKey(int16(3+h.random.IntN(25))), [][]byte{nil, []byte("anything")}[h.random.IntN(2)])
	case n < 35:
		h.append(log, -1, []byte{0}, value) // corrupt
	case n < 36:
		h.delete(log, group)
	default:
		h.clean(log, h.random.Int64N(h.end(log)+1), false)
	}
}

func (h *historian) isOpen(log int32, producer int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, open := h.partitions[log].open[producer]
	return open
}

func (h *historian) end(log int32) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.partitions[log].end
}

// convert converts a group to the other protocol.
func (h *historian) convert(log int32, group string) {
	h.mu.Lock()
	was := h.converted[group]
	h.converted[group] = !was
	h.mu.Unlock()
	if was {
		h.append(log, -1, append(versionKey(3), group...), nil)
		h.append(log, -1, groupKeyBytes(group), groupValueBytes(3, 1))
		return
	}
	h.append(log, -1, groupKeyBytes(group), nil)
	for version := int16(3); version <= 8; version++ {
		h.append(log, -1, append(versionKey(version), group...), []byte{0, 0})
	}
}

// delete deletes a group as its coordinator does, including the commits of open transactions.
func (h *historian) delete(log int32, group string) {
	for of := range int32(3) {
		h.append(log, -1, commitKeyBytes(1, group, "orders", of), nil)
	}
	h.append(log, -1, groupKeyBytes(group), nil)
}

// rest lets a random number of days pass during which no feed reads the log.
func (h *historian) rest() {
	for log := range int32(len(h.partitions)) {
		if h.random.IntN(2) == 0 {
			h.clean(log, h.end(log), false)
			h.clean(log, h.end(log), true)
		}
	}
}

// lags returns the lags that a store must have.
func (h *historian) lags() lags {
	want := lags{}
	for key, entry := range h.committed() {
		want[fmt.Sprint(key.group, " ", key.topic, " ", key.partition)] = fmt.Sprint(entry.Offset, " 100 ", 100-entry.Offset)
	}
	return want
}

// Whenever the process is killed, and whatever the cleaner has removed since its newest snapshot, the store finally has what Kafka's
// coordinators have.
func TestAnyCrashEndsAsTheCoordinator(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 100)
	s := simulate(f, 2)
	for seed := *firstHistory; seed < *firstHistory+uint64(*histories); seed++ {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := &historian{s, rand.New(rand.NewPCG(seed, 3))}
			s.begin(1 + h.random.IntN(5))
			// However few records there are, several goroutines apply them in every other history.
			sharing := func(c *config) {
				if seed%2 == 1 {
					c.worthSharing = 1
				}
			}
			path := filepath.Join(t.TempDir(), "lag.snapshot")
			var store *storage.DB
			var feed *running
			crash := func(opts ...Opt) {
				if feed != nil {
					path = crashed(t, path)
					feed.stop()
					require.NoError(t, store.Close())
					h.rest()
				}
				store = openStore(t, path)
				feed = runFeed(t, store, f.opts(append(opts, sharing)...)...)
			}
			crash()
			for range 40 + h.random.IntN(120) {
				switch n := h.random.IntN(60); {
				case n < 1:
					crash()
				case n < 2:
					<-feed.Ready()
					require.NoError(t, store.Snapshot(t.Context()))
				case n < 4:
					require.NoError(t, store.Snapshot(t.Context()))
				default:
					h.step()
				}
			}
			crash()
			<-feed.Ready()
			require.Equal(t, h.lags(), storedLags(t, store))
			feed.stop()
			require.NoError(t, store.Close())
		})
		if !ok {
			break
		}
	}
}

// begin empties the log, of which a fetch then returns at most a number of records.
func (s *simulated) begin(perFetch int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perFetch = perFetch
	for i := range s.partitions {
		s.partitions[i] = &simulatedLog{open: map[int64]int64{}}
	}
	clear(s.converted)
}

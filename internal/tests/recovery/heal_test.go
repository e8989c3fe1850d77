package recovery_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// A history is everything that an application stores: commits in the order of __consumer_offsets, so that those of one group
// come in the order of their orders, and end offsets, owners and deletions in between.
type history struct {
	*rand.Rand
	// exact makes a history in which the place of a request can be told from its effect: the order of a commit and the
	// timestamp of an end offset are its place. So every sender knows the order. The history begins with all topics, which
	// have four partitions and are not deleted.
	exact bool
	// groups and topics are their numbers in each cluster.
	groups, topics int

	requests []*protocol.StorageRequest
	// logged says of each request whether a reader of __consumer_offsets would meet it again: a commit that has an order and
	// was not refused because its topic or partition was unknown at the time. A replay may take a refused one, since the store
	// may know more by then.
	logged []bool
	// refused says of each commit and owner whether its partition was unknown.
	refused []bool

	start, order int64
	ends         map[place]int64 // by partition
	known        map[place]bool
}

type place struct {
	cluster, topic string
	partition      int32
}

func newHistory(seed uint64, start int64) *history {
	return &history{
		Rand: rand.New(rand.NewPCG(seed, 5)), start: start, groups: 4, topics: 3, ends: map[place]int64{},
		known: map[place]bool{},
	}
}

// next adds a request.
func (h *history) next() *protocol.StorageRequest {
	i := len(h.requests)
	at := h.start + int64(i)*1000 + h.Int64N(3000)
	if h.exact {
		at = h.start + int64(i)
	}
	r := &protocol.StorageRequest{
		Cluster: []string{"local", "local", "remote"}[h.IntN(3)], Group: fmt.Sprint("group", h.IntN(h.groups)),
		Topic: fmt.Sprint("topic", h.IntN(h.topics)), Partition: h.Int32N(4), Timestamp: at,
	}
	if first := 2 * h.topics * 4; h.exact && i < first {
		r.Cluster, r.Topic, r.Partition = contract.GeneratorClusters[i%2], fmt.Sprint("topic", i/2%h.topics), int32(i/2/h.topics)
	}
	where := place{r.Cluster, r.Topic, r.Partition}
	logged := false
	n := h.IntN(100)
	if h.exact && i < 2*h.topics*4 || h.exact && n >= 93 && n < 95 {
		n = 0
	}
	switch {
	case n < 25:
		r.RequestType, r.Group = protocol.StorageSetBrokerOffset, ""
		if r.TopicPartitionCount = h.Int32N(6); h.exact {
			r.TopicPartitionCount = 4
		}
		h.ends[where] += h.Int64N(50)
		if h.IntN(20) == 0 {
			h.ends[where] /= 2
		}
		r.Offset, r.LogStartOffset = h.ends[where], h.Int64N(3)*h.ends[where]/4
		h.known[where] = true
	case n < 85:
		r.RequestType = protocol.StorageSetConsumerOffset
		r.Offset = max(0, h.ends[where]+h.Int64N(60)-50)
		if h.order += 1 + h.Int64N(5); h.exact {
			r.Order = int64(i) + 1
		} else if r.Order = h.order; h.IntN(10) == 0 {
			// An order of 0 would be that of the first record of the log, which a restored store knows.
			r.Order = -1
		}
		if h.IntN(20) == 0 {
			r.Timestamp -= 20_000
		}
		logged = r.Order > 0 && h.known[where]
	case n < 92:
		r.RequestType = protocol.StorageSetConsumerOwner
		r.Owner, r.ClientID = fmt.Sprint("host", h.IntN(5)), fmt.Sprint("client", h.IntN(2))
	case n < 93:
		r.RequestType = protocol.StorageClearConsumerOwners
	case n < 95:
		r.RequestType, r.Group = protocol.StorageSetDeleteTopic, ""
		maps.DeleteFunc(h.known, func(p place, _ bool) bool { return p.cluster == r.Cluster && p.topic == r.Topic })
	default:
		r.RequestType = protocol.StorageSetDeleteGroup
		if n < 97 {
			r.Topic = ""
		}
	}
	refused := (r.RequestType == protocol.StorageSetConsumerOffset || r.RequestType == protocol.StorageSetConsumerOwner) &&
		!h.known[where]
	h.requests, h.logged, h.refused = append(h.requests, r), append(h.logged, logged), append(h.refused, refused)
	return r
}

// tell adds n requests and carries them out.
func (h *history) tell(k *keeper, n int) {
	for range n {
		_ = k.do(h.next())
	}
}

// replay does what docs/recovery.md says: it reads the commits again, from a little before the place of the watermark up to
// the place that the store is complete to.
func (h *history) replay(k *keeper, watermark, known int) {
	for i := max(0, watermark-h.IntN(100)); i < known; i++ {
		if h.logged[i] {
			_ = k.do(h.requests[i])
		}
	}
}

// goOn carries out the requests from one place to another.
func (h *history) goOn(k *keeper, from, until int) {
	for _, r := range h.requests[from:until] {
		_ = k.do(r)
	}
}

// describe prints a history for a failure.
func (h *history) describe() string {
	var all strings.Builder
	for i, r := range h.requests {
		fmt.Fprintf(&all, "%d: %v %s %s %s/%d offset %d order %d at %d %s\n", i, r.RequestType, r.Cluster, r.Group, r.Topic,
			r.Partition, r.Offset, r.Order, r.Timestamp-h.start, r.Owner)
	}
	return all.String()
}

// TestReplayHeals lets a store live through a random history and crash some time after a snapshot. After the restore and the
// replay it must equal the store that never crashed: every answer over both APIs, every window with its lags, owners, end
// offsets, curves, incarnations, and the greatest order and last commit of every group. Three things are not compared because
// a replay cannot know them: when a commit was observed, when an owner was set, and whether a partition is RESTORED.
//
// Often it crashes again in the middle of the replay, once or twice, with a snapshot that was taken there.
func TestReplayHeals(t *testing.T) {
	t.Parallel()
	for _, intervals := range []int{1, 2, 3, 10} {
		for _, distance := range []int{0, 1, 30} {
			t.Run(fmt.Sprintf("intervals=%d,min-distance=%d", intervals, distance), func(t *testing.T) {
				t.Parallel()
				seed := testkit.Seed(t)
				for round := range uint64(testkit.Length(t, 4)) {
					synctest.Test(t, func(t *testing.T) {
						heal(t, newHistory(seed+round, time.Now().Add(-time.Hour).UnixMilli()), "intervals", intervals, "min-distance", distance,
							"workers", 1+round%4, "snapshot-interval", 0)
					})
				}
			})
		}
	}
}

func heal(t *testing.T, h *history, settings ...any) {
	never := startKeeper(t, snapshotPath(t), settings...)
	var watermark time.Time
	caughtUp := h.IntN(4) > 0
	if caughtUp {
		never.ReplayDone()
	}
	h.tell(never, max(0, h.IntN(300)-10))
	time.Sleep(time.Minute)
	never.save()
	if caughtUp {
		watermark = time.UnixMilli(time.Now().UnixMilli())
	}
	first := len(h.requests)
	path := never.crashed()
	h.tell(never, h.IntN(200))

	from := first
	for range h.IntN(3) + 1 {
		time.Sleep(time.Minute)
		k := startKeeper(t, path, settings...)
		require.Equal(t, watermark, k.Restored().Watermark, "the watermark moves with ReplayDone alone")
		h.replay(k, first, from)
		again := from + h.IntN(len(h.requests)-from+1)
		h.goOn(k, from, again)
		k.save()
		path = k.crashed()
		h.goOn(k, again, len(h.requests))
		sameHeld(t, never.held(false), k.held(false), fmt.Sprintf("snapshot at %d, the last at %d, of\n%s", first, from, h.describe()))
		from = again
	}
}

// TestReplayHealsWhatIsSavedMeanwhile is TestReplayHeals for a snapshot that is taken while requests arrive as fast as they
// can: each group and each topic in it is from another moment. No topic is created or deleted meanwhile: a commit for a topic
// that was created during the snapshot may be measured against a later end offset than it was.
func TestReplayHealsWhatIsSavedMeanwhile(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	for round := range uint64(testkit.Length(t, 4)) {
		h := newHistory(seed+round, time.Now().Add(-time.Hour).UnixMilli())
		h.exact, h.groups, h.topics = true, 3+h.IntN(200), 3+h.IntN(20)
		h.fill(15_000)
		never := startKeeper(t, snapshotPath(t), killSettings...)
		first := 200 + h.IntN(5_000)
		h.goOn(never, 0, first)

		var at atomic.Int64
		quit, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := first; i < len(h.requests); i++ {
				at.Store(int64(i))
				select {
				case <-quit:
					return
				default:
					_ = never.do(h.requests[i])
				}
			}
			at.Store(int64(len(h.requests)))
		}()
		for at.Load() < int64(first+100) {
			runtime.Gosched()
		}
		watermark := int(at.Load())
		never.save()
		path := never.crashed()
		close(quit)
		<-done
		crash := int(at.Load())

		k := startKeeper(t, path, killSettings...)
		h.recover(t, k).run(k, watermark, crash)
		sameHeld(t, never.exportedMeanwhile(), k.exportedMeanwhile(),
			fmt.Sprintf("round %d, from %d to %d", round, watermark, crash))
		require.NoError(t, never.Stop())
		require.NoError(t, k.Stop())
	}
}

// TestReplayBringsBackNoDeletedGroup replays the last commits of a group that was deleted before the snapshot.
func TestReplayBringsBackNoDeletedGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UnixMilli()
		path := snapshotPath(t)
		settings := []any{"expire-group", 3600, "snapshot-interval", 0}
		deletion := &protocol.StorageRequest{RequestType: protocol.StorageSetDeleteGroup, Cluster: "local", Group: "group"}
		k := startKeeper(t, path, settings...)
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, now)))
		require.NoError(t, k.do(deletion))
		require.NoError(t, k.Stop())

		k = startKeeper(t, path, settings...)
		require.Zero(t, k.Restored().Groups)
		require.Zero(t, k.Restored().Skipped)
		require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, now)), storage.ErrDuplicate)
		require.Empty(t, k.names(protocol.StorageFetchConsumers, "local", ""))
		// An owner recreates the group, and its old commits stay known; through another restart too.
		require.NoError(t, k.do(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", Owner: "host",
		}))
		require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, now)), storage.ErrDuplicate)
		require.NoError(t, k.Stop())
		k = startKeeper(t, path, settings...)
		require.Equal(t, 1, k.Restored().Groups)
		require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, now)), storage.ErrDuplicate)
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 60, 11, now)))
		// After a group is deleted, the next commit of any order is taken.
		require.NoError(t, k.do(deletion))
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, now)))
		require.NoError(t, k.do(deletion))
		require.NoError(t, k.Stop())

		// The deletion is forgotten when the commits are too old to be taken.
		time.Sleep(2 * time.Hour)
		k = startKeeper(t, path, settings...)
		require.Zero(t, k.Restored().Groups)
		require.Zero(t, k.Restored().Skipped)
		require.ErrorIs(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, now)), storage.ErrTooOld)
		later := time.Now().UnixMilli()
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 10, later)))
		require.NoError(t, k.do(deletion))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 50, 5, time.Now().UnixMilli())))
	})
}

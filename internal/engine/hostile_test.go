package engine

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshot/jsonl"
	"github.com/lagkeeper/storage/internal/snapshottest"
	"github.com/lagkeeper/storage/protocol"
)

// hostile makes the records of a snapshot with valid checksums, and requests, from any bytes.
type hostile struct{ bytes []byte }

func (h *hostile) next() byte {
	if len(h.bytes) == 0 {
		return 0
	}
	b := h.bytes[0]
	h.bytes = h.bytes[1:]
	return b
}

// number is mostly an ordinary number, and sometimes one at which something may break.
func (h *hostile) number() int64 {
	extremes := [...]int64{
		0, -1, 1, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1, math.MaxInt32, math.MaxUint32, 1 << 53,
		startTime, startTime + 3_600_000, startTime - 2_000_000_000, ends.MaxPartitions, -1000, 999,
	}
	switch b := h.next(); {
	case b < 16:
		return extremes[b]
	case b < 64:
		return startTime + int64(int8(h.next()))*1000
	case b < 80 && len(h.bytes) >= 8:
		v := int64(binary.LittleEndian.Uint64(h.bytes))
		h.bytes = h.bytes[8:]
		return v
	default:
		return int64(b) - 80
	}
}

func (h *hostile) below(n int) int { return int(h.next()) % n }

func (h *hostile) name() string {
	return [...]string{"a", "b", "c", "d", "", "\xff\x00", "e"}[h.below(7)]
}

func (h *hostile) cluster() string {
	if h.next() > 240 {
		return "elsewhere"
	}
	return "local"
}

// partitions calls add with ascending numbers up to greatest, and returns the partition count.
func (h *hostile) partitions(greatest int32, add func(number int32)) (count int32) {
	number := int32(-1)
	for range h.below(6) {
		step := int32(1 + h.below(3))
		if h.next() > 250 {
			step = greatest - 1 - number
		}
		if step <= 0 || number+step >= greatest {
			break
		}
		number += step
		add(number)
	}
	count = number + 1 + int32(h.below(3))
	if h.next() > 250 {
		count = snapshot.MaxPartitions
	}
	return min(count, snapshot.MaxPartitions)
}

func (h *hostile) topic() *snapshot.Topic {
	t := &snapshot.Topic{Cluster: h.cluster(), Name: h.name()}
	t.ID[0] = byte(h.below(3))
	t.PartitionCount = h.partitions(snapshot.MaxPartitions, func(number int32) {
		p := snapshot.Partition{Number: number, Incarnation: uint32(h.number()), LogStart: h.number()}
		for range h.below(5) {
			p.EndOffsets = append(p.EndOffsets, snapshot.EndOffset{Offset: h.number(), Timestamp: h.number()})
		}
		if n := min(h.below(40), len(h.bytes)); n > 8 {
			p.Curve, h.bytes = h.bytes[:n], h.bytes[n:]
		}
		t.Partitions = append(t.Partitions, p)
	})
	return t
}

// greatestOfAnswer limits the partitions of the groups that are fetched: an answer has an entry for each.
const greatestOfAnswer = 2048

func (h *hostile) group() *snapshot.Group {
	g := &snapshot.Group{Cluster: h.cluster(), Name: h.name(), LastCommit: h.number(), LastOwner: h.number()}
	deletion := h.next() > 230
	for range h.below(4) {
		t := snapshot.GroupTopic{Name: h.name(), LastCommit: h.number()}
		t.PartitionCount = h.partitions(snapshot.MaxPartitions, func(number int32) {
			p := snapshot.GroupPartition{Number: number}
			if deletion {
				if p.DeletedOrder = h.number(); p.DeletedOrder == 0 {
					p.DeletedOrder = 1
				}
				t.Partitions = append(t.Partitions, p)
				return
			}
			p.Incarnation, p.Owner, p.ClientID = uint32(h.number()), h.name(), h.name()
			for range h.below(14) {
				p.Commits = append(p.Commits, protocol.StoredCommit{
					Offset: h.number(), Order: h.number(), Timestamp: h.number(), ObservedTimestamp: h.number(),
					Lag: uint64(h.number()), LagKnown: h.next()&1 == 0,
				})
			}
			t.Partitions = append(t.Partitions, p)
		})
		g.Topics = append(g.Topics, t)
	}
	return g
}

func (h *hostile) records(sink snapshot.Sink) error {
	for n := 0; n < 40 && len(h.bytes) > 0; n++ {
		if h.next()&1 == 0 {
			if err := sink.WriteTopic(h.topic()); err != nil {
				return err
			}
		} else if err := sink.WriteGroup(h.group()); err != nil {
			return err
		}
	}
	return nil
}

// request makes a request of an application, and checks its answer.
func (h *hostile) request(t *testing.T, e *Engine, c *Cluster, clock *stoppedClock) {
	switch h.below(10) {
	case 0, 1:
		e.SetEndOffset(c, h.name(), &protocol.EndOffset{
			Partition: int32(h.below(8)), Offset: h.number(), Timestamp: h.number(), LogStartOffset: h.number(),
		})
	case 2, 3, 4:
		e.Commit(c, h.name(), &protocol.Commit{
			Topic: h.name(), Partition: int32(h.below(8)), Offset: h.number(), Order: h.number(), Timestamp: h.number(),
		})
	case 5:
		e.SetOwner(c, h.name(), &protocol.PartitionOwner{Topic: h.name(), Partition: int32(h.below(8)), Owner: h.name()})
	case 6:
		e.DeletePartition(c, h.name(), h.name(), int32(h.below(8)), h.number())
	case 7:
		clock.now += int64(h.next()) * 1000
		e.Sweep()
	case 8:
		e.DeleteTopic(c, h.name())
	case 9:
		e.ReplayDone()
	}
	e.requireSoundAnswers(t, c)
}

// requireSoundAnswers fetches every group.
func (e *Engine) requireSoundAnswers(t *testing.T, c *Cluster) {
	t.Helper()
	names, why := e.Groups(c)
	require.Zero(t, why)
	var into protocol.Group
	for name := range names.All() {
		k, why := e.Capture(c, name)
		if why != 0 {
			continue // expired
		}
		for i := range k.topics {
			if k.topics[i].count > greatestOfAnswer {
				k.topics = nil // the answer would have a million partitions, and they are alike
				break
			}
		}
		k.Group(&into)
		k.Release()
		for _, topic := range into.Topics {
			for p := range topic.Partitions {
				commits := topic.Partitions[p].Commits
				require.LessOrEqual(t, len(commits), e.config.Intervals)
				for i := range commits {
					require.GreaterOrEqual(t, commits[i].Offset, int64(0))
					if i > 0 && commits[i].Order < commits[i-1].Order {
						require.FailNow(t, "a window out of order", "group %q topic %q partition %d: %v", name, topic.Name, p, commits)
					}
				}
			}
		}
	}
}

// inUse is a sink that passes the records on to another, and uses the engine in between.
type inUse struct {
	to  snapshot.Sink
	use func()
}

func (s inUse) WriteTopic(t *snapshot.Topic) error {
	defer s.use()
	return s.to.WriteTopic(t)
}

func (s inUse) WriteGroup(g *snapshot.Group) error {
	defer s.use()
	return s.to.WriteGroup(g)
}

// oneByOne imports each record separately, so that a refused one does not keep others out.
type oneByOne struct{ engine *Engine }

func (o oneByOne) WriteTopic(t *snapshot.Topic) error {
	im := o.engine.Import()
	if im.WriteTopic(t) == nil {
		return im.Apply(nil)
	}
	return nil
}

func (o oneByOne) WriteGroup(g *snapshot.Group) error {
	im := o.engine.Import()
	if im.WriteGroup(g) == nil {
		return im.Apply(nil)
	}
	return nil
}

// FuzzHostile loads arbitrary records with valid checksums into an engine that is in use: as a snapshot and as JSON lines.
// Nothing panics, nothing stays locked, the invariants hold between two requests, answers are in order, and what was loaded
// can be saved and loaded again.
func FuzzHostile(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0, 100, 7, 200, 81, 30}, 60), bytes.Repeat([]byte{1, 90, 16, 100, 3}, 20))
	f.Add(bytes.Repeat([]byte{1, 0, 0, 17, 3, 100, 255, 2, 90}, 80), bytes.Repeat([]byte{2, 0, 0, 3, 90, 81, 20, 1}, 30))
	f.Add(bytes.Repeat([]byte{0, 251, 255, 5, 13}, 50), []byte{7, 255, 7, 255})
	f.Fuzz(runHostile)
}

// TestHostileAtRandom is FuzzHostile on bytes that are longer than a fuzzer's first inputs. It counts allocated memory and so
// is not parallel.
func TestHostileAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		data, requests := make([]byte, 1+chance.IntN(4000)), make([]byte, 1+chance.IntN(1000))
		for _, b := range [][]byte{data, requests} {
			for i := range b {
				b[i] = byte(chance.Uint32())
			}
		}
		runHostile(t, data, requests)
	}
}

func runHostile(t *testing.T, data, requests []byte) {
	var file, lines bytes.Buffer
	header := snapshot.Header{TakenAt: startTime, Intervals: 5}
	w := snapshot.NewWriter(&file, header)
	if err := (&hostile{data}).records(snapshottest.Packing{Output: mangling{w.Blocks(), &hostile{bytes.Repeat(requests, 4)}}}); err != nil {
		return // no snapshot can hold it
	}
	_, err := w.Close()
	require.NoError(t, err)
	_, err = jsonl.Write(&lines, header, func(s snapshot.Output) error { return (&hostile{data}).records(s) })
	require.NoError(t, err)

	e, c, clock := newTestEngine(2, 5)
	h := &hostile{requests}
	load := func(size int, sink snapshot.Sink, read func(snapshot.Sink) error) {
		before, used := allocated(), int64(0)
		// An error is as good an answer as any.
		_ = read(inUse{sink, func() {
			begun := allocated()
			h.request(t, e, c, clock)
			e.checkInvariants(t)
			used += allocated() - begun
		}})
		require.LessOrEqual(t, allocated()-before-used, int64(512<<10+64*size), "memory for %d bytes", size)
		e.requireUnlocked(t)
		require.False(t, e.Damaged())
		e.checkInvariants(t)
		e.requireSoundAnswers(t, c)
	}
	load(file.Len(), e.Loader(), func(sink snapshot.Sink) error {
		r, err := snapshot.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
		require.NoError(t, err)
		return r.Read(t.Context(), sink)
	})
	whole := e.Import()
	for _, sink := range []snapshot.Sink{whole, oneByOne{e}} {
		load(lines.Len(), sink, func(sink snapshot.Sink) error {
			_, err := jsonl.Read(bytes.NewReader(lines.Bytes()), 0, func(snapshot.Header) error { return nil }, sink)
			return err
		})
	}
	_ = whole.Apply(nil) // of the records before the refused line, which were built aside
	e.checkInvariants(t)
	e.requireSoundAnswers(t, c)
	for len(h.bytes) > 0 {
		h.request(t, e, c, clock)
	}
	e.checkInvariants(t)

	var saved bytes.Buffer
	w = snapshot.NewWriter(&saved, header)
	require.NoError(t, e.Save(w.Blocks(), w.Blocks()))
	_, err = w.Close()
	require.NoError(t, err)
	r, err := snapshot.NewReader(bytes.NewReader(saved.Bytes()), int64(saved.Len()))
	require.NoError(t, err)
	again, _, _ := newTestEngine(3, 5)
	require.NoError(t, r.Read(t.Context(), again.Loader(), again.Loader()))
	again.checkInvariants(t)
}

// allocated returns the number of bytes allocated so far.
func allocated() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.TotalAlloc)
}

func TestLoaderLeavesOutWhatNoStoreKeeps(t *testing.T) {
	e, c, _ := newTestEngine(1, 10)
	loader := e.Loader()
	long := strings.Repeat("n", MaxName+1)
	require.NoError(t, loader.WriteTopic(&snapshot.Topic{Cluster: "local", Name: long, PartitionCount: 1}))
	require.NoError(t, loader.WriteTopic(&snapshot.Topic{Cluster: "local", Name: "orders", PartitionCount: 1}))
	group := func(name string) *snapshot.Group {
		g := &snapshot.Group{Cluster: "local", Name: name, LastCommit: startTime, LastOwner: snapshot.Never}
		p := snapshot.GroupPartition{Owner: long, ClientID: "client"}
		for _, order := range []int64{-1, 5, 3, 5, 9, -7, 8, 12} {
			p.Commits = append(p.Commits, protocol.StoredCommit{Offset: 100 + order, Order: order, Timestamp: startTime})
		}
		p.Commits = append(p.Commits, protocol.StoredCommit{Offset: -1, Order: 13, Timestamp: startTime})
		g.Topics = []snapshot.GroupTopic{{Name: "orders", PartitionCount: 1, Partitions: []snapshot.GroupPartition{p}}}
		return g
	}
	require.NoError(t, loader.WriteGroup(group(long)))
	require.NoError(t, loader.WriteGroup(group("billing")))
	require.Equal(t, 2, loader.Skipped)
	require.Equal(t, 1, e.Stats().Topics)
	require.Equal(t, 1, e.Stats().Groups)

	k, why := e.Capture(c, "billing")
	require.Zero(t, why)
	defer k.Release()
	var into protocol.Group
	k.Group(&into)
	p := into.Topics[0].Partitions[0]
	require.Empty(t, p.Owner)
	var orders []int64
	for _, commit := range p.Commits {
		orders = append(orders, commit.Order)
	}
	require.Equal(t, []int64{5, 5, 9, 12}, orders)
}

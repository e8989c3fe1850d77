package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/parallel"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
	"github.com/lagkeeper/storage/protocol"
)

func TestRoundTripOfRandomStates(t *testing.T) {
	for _, wild := range []bool{false, true} {
		g := snapshottest.NewGenerator(t, wild)
		for range 150 {
			want := g.State(g.IntN(6), g.IntN(12))
			got, err := snapshottest.Decode(want.Encode(t))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

func TestRoundTripOfNothing(t *testing.T) {
	want := &snapshottest.State{Header: snapshot.Header{TakenAt: math.MinInt64, Intervals: math.MaxInt32, Sequence: math.MaxUint64}}
	b := want.Encode(t)
	got, err := snapshottest.Decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A group or topic far larger than a usual block makes a larger block of its own.
func TestGroupAndTopicLargerThanABlock(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	want := g.State(2, 3)
	big := snapshot.Group{Cluster: "c", Name: "big", LastCommit: 1, LastOwner: snapshot.Never}
	for _, name := range []string{"t1", "t2", strings.Repeat("t", 2*snapshot.BlockTarget), "t4"} {
		topic := snapshot.GroupTopic{Name: name, PartitionCount: 1500, LastCommit: snapshot.Never}
		for n := range int32(1500) {
			topic.Partitions = append(topic.Partitions, snapshot.GroupPartition{
				Number: n, Owner: g.Name("owner", g.IntN(50)), Incarnation: uint32(n / 350), Commits: g.Window(30),
			})
		}
		big.Topics = append(big.Topics, topic)
	}
	want.Groups = append(want.Groups[:1:1], append([]snapshot.Group{big}, want.Groups[1:]...)...)
	wide := snapshot.Topic{Cluster: "c", Name: "wide", PartitionCount: snapshot.MaxPartitions}
	for n := range int32(40_000) {
		wide.Partitions = append(wide.Partitions, snapshot.Partition{
			Number: 26 * n, Incarnation: uint32(n), LogStart: -1,
			EndOffsets: []snapshot.EndOffset{{Offset: int64(n), Timestamp: snapshottest.Now}, {Offset: int64(2 * n), Timestamp: snapshottest.Now + 1}},
			Curve:      []byte("0123456789")[: n%11 : n%11],
		})
		if n%11 == 0 {
			wide.Partitions[n].Curve = nil
		}
	}
	want.Topics = append(want.Topics, wide)

	b := want.Encode(t)
	got, err := snapshottest.Decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, blocksOf(t, b), 5, "the groups behind the large one have a block of their own")
}

// Topics and groups may be mixed, by several writers at once, and read by several: all topics of a run of blocks come before
// the groups behind them.
func TestManyWritersAndReaders(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	want := g.State(40, 400)
	for _, n := range []int{1, 2, 5} {
		var b bytes.Buffer
		w := snapshot.NewWriter(&b, want.Header)
		outs := make([]*snapshot.BlockWriter, n)
		for i := range outs {
			outs[i] = w.Blocks()
		}
		require.NoError(t, parallel.Do(n, func(i int) error {
			for k := i; k < 20; k += n {
				if err := outs[i].WriteTopic(&want.Topics[k]); err != nil {
					return err
				}
			}
			return outs[i].Flush()
		}))
		require.NoError(t, parallel.Do(n, func(i int) error {
			for k := i; k < 400; k += n {
				if err := (snapshottest.Packing{Output: outs[i]}).WriteGroup(&want.Groups[k]); err != nil {
					return err
				}
				if k%20 == 0 { // a topic that is younger than the others
					if err := outs[i].WriteTopic(&want.Topics[20+k/20]); err != nil {
						return err
					}
				}
			}
			return nil
		}))
		sum, err := w.Close()
		require.NoError(t, err)
		require.EqualValues(t, 40, sum.Topics)
		require.EqualValues(t, 400, sum.Groups)

		r, err := snapshot.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		require.NoError(t, err)
		require.Equal(t, sum, r.Summary())
		states, sinks := make([]snapshottest.State, n), make([]snapshot.Sink, n)
		for i := range sinks {
			sinks[i] = &states[i]
		}
		require.NoError(t, r.Read(t.Context(), sinks...))
		require.EqualValues(t, 400, r.Groups())
		got := snapshottest.State{Header: r.Header()}
		for i := range states {
			got.Topics, got.Groups = append(got.Topics, states[i].Topics...), append(got.Groups, states[i].Groups...)
		}
		require.Equal(t, want.Header, got.Header)
		require.ElementsMatch(t, want.Topics, got.Topics)
		require.ElementsMatch(t, want.Groups, got.Groups)
	}
}

// TestTopicsBeforeTheirGroups checks for each group that its topic has been taken.
func TestTopicsBeforeTheirGroups(t *testing.T) {
	var b bytes.Buffer
	w := snapshot.NewWriter(&b, snapshot.Header{})
	out := w.Blocks()
	for i := range 300 {
		name := fmt.Sprint(i)
		require.NoError(t, out.WriteTopic(&snapshot.Topic{Name: name}))
		require.NoError(t, out.WriteGroup(&snapshot.Group{Topics: []snapshot.GroupTopic{{Name: name}}}))
	}
	_, err := w.Close()
	require.NoError(t, err)
	r, err := snapshot.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	known := &known{topics: make(map[string]bool)}
	require.NoError(t, r.Read(t.Context(), known, known, known))
	require.Len(t, known.topics, 300)
	require.Zero(t, known.missing)
}

type known struct {
	mu      sync.Mutex
	topics  map[string]bool
	missing int
}

func (k *known) WriteTopic(t *snapshot.Topic) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.topics[t.Name] = true
	return nil
}

func (k *known) WriteGroup(g *snapshot.Group) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.topics[g.Topics[0].Name] {
		k.missing++
	}
	return nil
}

func TestReaderReturnsTheErrorOfTheSink(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	b := g.State(3, 3).Encode(t)
	r, err := snapshot.NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	mine := errors.New("mine")
	for range 2 {
		require.ErrorIs(t, r.Read(t.Context(), failing{mine}, failing{mine}), mine)
	}
	require.NoError(t, r.Read(t.Context(), &snapshottest.State{}), "what broke off earlier does not matter")
	failed := &snapshot.ReadError{}
	_, err = snapshot.NewReader(failingReader{mine}, 1000)
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, mine)
}

type failing struct{ err error }

func (f failing) WriteTopic(*snapshot.Topic) error { return f.err }
func (f failing) WriteGroup(*snapshot.Group) error { return f.err }

type failingReader struct{ err error }

func (f failingReader) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestReadIsCancelled cancels a Read in the middle of a block, and one before it begins.
func TestReadIsCancelled(t *testing.T) {
	b := snapshottest.NewGenerator(t, false).State(0, 50).Encode(t)
	r, err := snapshot.NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &cancelling{after: 7, cancel: func() {
			cancel()
			synctest.Wait()
		}}
		require.ErrorIs(t, r.Read(ctx, c), context.Canceled)
		require.Equal(t, 7, c.taken)
		require.ErrorIs(t, r.Read(ctx, c), context.Canceled)
		require.Equal(t, 7, c.taken)
	})
}

type cancelling struct {
	snapshottest.State
	taken, after int
	cancel       func()
}

func (c *cancelling) WriteGroup(*snapshot.Group) error {
	if c.taken++; c.taken == c.after {
		c.cancel()
	}
	return nil
}

func TestUnknownLagReadsAsZero(t *testing.T) {
	s := &snapshottest.State{Groups: []snapshot.Group{{Topics: []snapshot.GroupTopic{{PartitionCount: 1, Partitions: []snapshot.GroupPartition{{
		Commits: []protocol.StoredCommit{{Lag: 77}},
	}}}}}}}
	got, err := snapshottest.Decode(s.Encode(t))
	require.NoError(t, err)
	require.Equal(t, protocol.StoredCommit{}, got.Groups[0].Topics[0].Partitions[0].Commits[0])
}

func TestWriterRefusesWhatAReaderWould(t *testing.T) {
	one := func(count int32, numbers ...int32) *snapshot.Group {
		g := &snapshot.Group{Name: "g", Topics: []snapshot.GroupTopic{{Name: "t", PartitionCount: count}}}
		for _, n := range numbers {
			g.Topics[0].Partitions = append(g.Topics[0].Partitions, snapshot.GroupPartition{Number: n})
		}
		return g
	}
	for name, group := range map[string]*snapshot.Group{
		"negative count":     one(-1),
		"count too great":    one(snapshot.MaxPartitions + 1),
		"negative partition": one(2, -1),
		"beyond the count":   one(2, 2),
		"not ascending":      one(2, 1, 0),
		"twice":              one(2, 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := snapshot.NewWriter(io.Discard, snapshot.Header{})
			out := w.Blocks()
			err := out.WriteGroup(group)
			require.ErrorContains(t, err, `topic "t"`)
			require.Equal(t, err, out.WriteGroup(one(0)), "the error sticks")
			_, closeErr := w.Close()
			require.Equal(t, err, closeErr)

			topic := &snapshot.Topic{Name: "t", PartitionCount: group.Topics[0].PartitionCount}
			for _, p := range group.Topics[0].Partitions {
				topic.Partitions = append(topic.Partitions, snapshot.Partition{Number: p.Number})
			}
			require.ErrorContains(t, snapshot.NewWriter(io.Discard, snapshot.Header{}).Blocks().WriteTopic(topic), `topic "t"`)
		})
	}
	t.Run("not packed", func(t *testing.T) {
		err := snapshot.NewWriter(io.Discard, snapshot.Header{}).Blocks().WriteGroup(one(1, 0))
		require.ErrorContains(t, err, "neither deleted nor in a window")
	})
	t.Run("header", func(t *testing.T) {
		require.ErrorContains(t, snapshot.NewWriter(io.Discard, snapshot.Header{Intervals: -1}).Blocks().WriteTopic(&snapshot.Topic{}), "intervals")
	})
	t.Run("too long a name", func(t *testing.T) {
		large := strings.Repeat("x", snapshot.MaxName+1)
		w := snapshot.NewWriter(io.Discard, snapshot.Header{})
		out := snapshottest.Packing{Output: w.Blocks()}
		for _, group := range []*snapshot.Group{
			{Name: large}, {Cluster: large}, {Topics: []snapshot.GroupTopic{{Name: large}}},
			{Topics: []snapshot.GroupTopic{{PartitionCount: 1, Partitions: []snapshot.GroupPartition{{Owner: large}}}}},
			{Topics: []snapshot.GroupTopic{{PartitionCount: 1, Partitions: []snapshot.GroupPartition{{ClientID: large}}}}},
		} {
			require.ErrorIs(t, out.WriteGroup(group), snapshot.ErrTooLarge)
		}
		require.ErrorIs(t, out.WriteTopic(&snapshot.Topic{Name: large}), snapshot.ErrTooLarge)
		require.ErrorIs(t, out.WriteTopic(&snapshot.Topic{Cluster: large}), snapshot.ErrTooLarge)
		longest := large[1:]
		require.NoError(t, out.WriteGroup(&snapshot.Group{Name: longest, Cluster: longest, Topics: []snapshot.GroupTopic{{
			Name: longest, PartitionCount: 1, Partitions: []snapshot.GroupPartition{{Owner: longest, ClientID: longest}},
		}}}), "the longest fits, and what was too large left nothing behind")
		sum, err := w.Close()
		require.NoError(t, err)
		require.EqualValues(t, 1, sum.Groups)
	})
}

func TestWriterErrorSticks(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	s := g.State(3, 30)
	whole := len(s.Encode(t))
	for limit := 0; limit < whole; limit += 1 + g.IntN(whole/200) {
		w := snapshot.NewWriter(&limitedWriter{limit: limit}, s.Header)
		err := s.Fill(w)
		_, closeErr := w.Close()
		require.ErrorIs(t, closeErr, io.ErrShortWrite)
		if err != nil {
			require.Equal(t, err, closeErr)
		}
		_, again := w.Close()
		require.Equal(t, snapshot.ErrClosed, again)
	}
}

// limitedWriter takes limit bytes and then, against the contract of io.Writer, fewer than it is given without an error.
type limitedWriter struct{ limit int }

func (w *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.limit)
	w.limit -= n
	return n, nil
}

func TestWriterAfterClose(t *testing.T) {
	w := snapshot.NewWriter(io.Discard, snapshot.Header{})
	out := w.Blocks()
	_, err := w.Close()
	require.NoError(t, err)
	require.ErrorIs(t, out.WriteGroup(&snapshot.Group{}), snapshot.ErrClosed)
	require.ErrorIs(t, out.WriteTopic(&snapshot.Topic{}), snapshot.ErrClosed)
	require.ErrorIs(t, out.Flush(), snapshot.ErrClosed)
	_, err = w.Close()
	require.ErrorIs(t, err, snapshot.ErrClosed)
}

func TestNoAllocationPerRecord(t *testing.T) {
	if snapshottest.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	g := snapshottest.NewGenerator(t, false)
	s := g.State(20, 200)
	out := snapshot.NewWriter(io.Discard, s.Header).Blocks()
	packed := s.Packed()
	write := func() {
		if err := packed.CopyTo(out); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		write()
	}
	require.Zero(t, testing.AllocsPerRun(50, write), "220 records written")

	b := s.Encode(t)
	r, err := snapshot.NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	read := func() {
		if err := r.Read(t.Context(), nowhere{}); err != nil {
			t.Fatal(err)
		}
	}
	// The names of groups are new strings each time, and so is the scratch memory of a Read.
	require.LessOrEqual(t, testing.AllocsPerRun(50, read), float64(len(s.Groups)+300))
}

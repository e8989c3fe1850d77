package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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

// A group or topic far larger than a block is spread over many, and comes back in one piece.
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
			Number: 26 * n, Incarnation: uint32(n), LogStart: -1, EndOffsets: []snapshot.EndOffset{{int64(n), snapshottest.Now}, {int64(2 * n), snapshottest.Now + 1}},
			Curve: []byte("0123456789")[: n%11 : n%11],
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

	blocks := blocksOf(t, b)
	require.Greater(t, len(blocks), 7)
	for _, block := range blocks {
		require.LessOrEqual(t, len(block), snapshot.BlockHeadSize+2*snapshot.BlockTarget+snapshot.BlockTarget/2+1000)
	}
}

// A partition that is larger than a block is meant to be makes a larger block.
func TestPartitionLargerThanABlock(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	curve := make([]byte, 11*snapshot.BlockTarget+7)
	for i := range curve {
		curve[i] = byte(g.Uint32())
	}
	want := &snapshottest.State{Topics: []snapshot.Topic{{Name: "t", PartitionCount: 2, Partitions: []snapshot.Partition{{Curve: curve}, {Number: 1}}}}}
	b := want.Encode(t)
	got, err := snapshottest.Decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, blocksOf(t, b), 4)

	tooLarge := makeBlock('X', make([]byte, snapshot.MaxPayload+1))
	_, err = snapshottest.Decode(assemble(1, blocksOf(t, b)[0], tooLarge))
	require.ErrorContains(t, err, "the limit is 16777216")
}

// Topics and groups may be mixed, and read in either order, more than once.
func TestRecordsInAnyOrder(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	want := g.State(3, 3)
	var b bytes.Buffer
	w := snapshot.NewWriter(&b, want.Header)
	for i := range 3 {
		require.NoError(t, w.WriteGroup(&want.Groups[i]))
		require.NoError(t, w.WriteTopic(&want.Topics[i]))
	}
	sum, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 2+6, sum.Blocks)

	r, err := snapshot.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Equal(t, sum, r.Summary())
	for range 2 {
		got := &snapshottest.State{Header: r.Header()}
		require.NoError(t, r.Groups(got.WriteGroup))
		require.NoError(t, r.Topics(got.WriteTopic))
		require.Equal(t, want, got)
	}
}

func TestReaderReturnsTheErrorOfTheCallback(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	b := g.State(3, 3).Encode(t)
	r, err := snapshot.NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	mine := errors.New("mine")
	calls := 0
	require.ErrorIs(t, r.Groups(func(*snapshot.Group) error { calls++; return mine }), mine)
	require.ErrorIs(t, r.Topics(func(*snapshot.Topic) error { calls++; return mine }), mine)
	require.Equal(t, 2, calls)
	require.NoError(t, r.CopyTo(&snapshottest.State{}), "what broke off earlier does not matter")
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
			err := w.WriteGroup(group)
			require.ErrorContains(t, err, `topic "t"`)
			require.Equal(t, err, w.WriteGroup(one(0)), "the error sticks")
			_, closeErr := w.Close()
			require.Equal(t, err, closeErr)

			topic := &snapshot.Topic{Name: "t", PartitionCount: group.Topics[0].PartitionCount}
			for _, p := range group.Topics[0].Partitions {
				topic.Partitions = append(topic.Partitions, snapshot.Partition{Number: p.Number})
			}
			require.ErrorContains(t, snapshot.NewWriter(io.Discard, snapshot.Header{}).WriteTopic(topic), `topic "t"`)
		})
	}
	t.Run("header", func(t *testing.T) {
		require.ErrorContains(t, snapshot.NewWriter(io.Discard, snapshot.Header{Intervals: -1}).WriteTopic(&snapshot.Topic{}), "intervals")
		large := snapshot.Header{Positions: []snapshot.Position{{Cluster: strings.Repeat("x", snapshot.MaxPayload)}}}
		require.Error(t, snapshot.NewWriter(io.Discard, large).WriteTopic(&snapshot.Topic{}))
	})
	t.Run("too large for a block", func(t *testing.T) {
		large := strings.Repeat("x", snapshot.MaxPayload)
		w := snapshot.NewWriter(io.Discard, snapshot.Header{})
		for _, group := range []*snapshot.Group{
			{Name: large}, {Cluster: large}, {Topics: []snapshot.GroupTopic{{Name: large}}},
			{Topics: []snapshot.GroupTopic{{PartitionCount: 1, Partitions: []snapshot.GroupPartition{{Owner: large}}}}},
			{Topics: []snapshot.GroupTopic{{PartitionCount: 1, Partitions: []snapshot.GroupPartition{{ClientID: large}}}}},
		} {
			require.ErrorIs(t, w.WriteGroup(group), snapshot.ErrTooLarge)
		}
		require.ErrorIs(t, w.WriteTopic(&snapshot.Topic{Name: large}), snapshot.ErrTooLarge)
		require.ErrorIs(t, w.WriteTopic(&snapshot.Topic{Cluster: large}), snapshot.ErrTooLarge)
		longest := strings.Repeat("x", snapshot.MaxName)
		require.NoError(t, w.WriteGroup(&snapshot.Group{Name: longest, Cluster: longest, Topics: []snapshot.GroupTopic{{
			Name: longest, PartitionCount: 1, Partitions: []snapshot.GroupPartition{{Owner: longest, ClientID: longest}},
		}}}), "the longest fits, and what was too large left nothing behind")
		sum, err := w.Close()
		require.NoError(t, err)
		require.EqualValues(t, 1, sum.Groups)
		w = snapshot.NewWriter(io.Discard, snapshot.Header{})
		require.ErrorContains(t, w.WriteTopic(&snapshot.Topic{Name: "t", PartitionCount: 9, Partitions: []snapshot.Partition{{
			Number: 4, Curve: []byte(large),
		}}}), "partition 4 does not fit")
	})
}

func TestWriterErrorSticks(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	s := g.State(3, 30)
	whole := len(s.Encode(t))
	for limit := 0; limit < whole; limit += 1 + g.IntN(whole/200) {
		w := snapshot.NewWriter(&limitedWriter{limit: limit}, s.Header)
		err := s.CopyTo(w)
		_, closeErr := w.Close()
		require.ErrorIs(t, closeErr, io.ErrShortWrite)
		if err != nil {
			require.Equal(t, err, closeErr)
		}
		_, again := w.Close()
		require.Equal(t, snapshot.ErrClosed, again)
	}
}

// limitedWriter takes limit bytes and then, breaking the contract of io.Writer, fewer than it is given without an error.
type limitedWriter struct{ limit int }

func (w *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.limit)
	w.limit -= n
	return n, nil
}

func TestWriterAfterClose(t *testing.T) {
	w := snapshot.NewWriter(io.Discard, snapshot.Header{})
	_, err := w.Close()
	require.NoError(t, err)
	require.ErrorIs(t, w.WriteGroup(&snapshot.Group{}), snapshot.ErrClosed)
	require.ErrorIs(t, w.WriteTopic(&snapshot.Topic{}), snapshot.ErrClosed)
	_, err = w.Close()
	require.ErrorIs(t, err, snapshot.ErrClosed)
}

func TestNoAllocationPerRecord(t *testing.T) {
	if snapshottest.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	g := snapshottest.NewGenerator(t, false)
	s := g.State(20, 200)
	w := snapshot.NewWriter(io.Discard, s.Header)
	write := func() {
		if err := s.CopyTo(w); err != nil {
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
		if err := errors.Join(r.Topics(func(*snapshot.Topic) error { return nil }), r.Groups(func(*snapshot.Group) error { return nil })); err != nil {
			t.Fatal(err)
		}
	}
	// The names of groups are new strings each time.
	require.LessOrEqual(t, testing.AllocsPerRun(50, read), float64(len(s.Groups)+10))
}

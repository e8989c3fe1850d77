package snapshot

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

func TestRoundTripOfRandomStates(t *testing.T) {
	for _, wild := range []bool{false, true} {
		g := newGenerator(t, wild)
		for range 150 {
			want := g.state(g.IntN(6), g.IntN(12))
			got, err := decode(want.encode(t))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

func TestRoundTripOfNothing(t *testing.T) {
	want := &state{Header: Header{TakenAt: math.MinInt64, Intervals: math.MaxInt32, Sequence: math.MaxUint64}}
	b := want.encode(t)
	got, err := decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A group or topic far larger than a block is spread over many, and comes back in one piece.
func TestGroupAndTopicLargerThanABlock(t *testing.T) {
	g := newGenerator(t, false)
	want := g.state(2, 3)
	big := Group{Cluster: "c", Name: "big", LastCommit: 1, LastOwner: Never}
	for _, name := range []string{"t1", "t2", strings.Repeat("t", 2*blockTarget), "t4"} {
		topic := GroupTopic{Name: name, PartitionCount: 1500, LastCommit: Never}
		for n := range int32(1500) {
			topic.Partitions = append(topic.Partitions, GroupPartition{
				Number: n, Owner: g.name("owner", g.IntN(50)), Incarnation: uint32(n / 350), Commits: g.window(30),
			})
		}
		big.Topics = append(big.Topics, topic)
	}
	want.Groups = append(want.Groups[:1:1], append([]Group{big}, want.Groups[1:]...)...)
	wide := Topic{Cluster: "c", Name: "wide", PartitionCount: MaxPartitions}
	for n := range int32(40_000) {
		wide.Partitions = append(wide.Partitions, Partition{
			Number: 26 * n, Incarnation: uint32(n), LogStart: -1, EndOffsets: []EndOffset{{int64(n), testNow}, {int64(2 * n), testNow + 1}},
			Curve: []byte("0123456789")[: n%11 : n%11],
		})
		if n%11 == 0 {
			wide.Partitions[n].Curve = nil
		}
	}
	want.Topics = append(want.Topics, wide)

	b := want.encode(t)
	got, err := decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)

	blocks := blocksOf(t, b)
	require.Greater(t, len(blocks), 7)
	for _, block := range blocks {
		require.LessOrEqual(t, len(block), blockHeadSize+2*blockTarget+blockTarget/2+1000)
	}
}

// A partition that is larger than a block is meant to be makes a larger block.
func TestPartitionLargerThanABlock(t *testing.T) {
	g := newGenerator(t, false)
	curve := make([]byte, 11*blockTarget+7)
	for i := range curve {
		curve[i] = byte(g.Uint32())
	}
	want := &state{Topics: []Topic{{Name: "t", PartitionCount: 2, Partitions: []Partition{{Curve: curve}, {Number: 1}}}}}
	b := want.encode(t)
	got, err := decode(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, blocksOf(t, b), 4)

	tooLarge := makeBlock('X', make([]byte, maxPayload+1))
	_, err = decode(assemble(1, blocksOf(t, b)[0], tooLarge))
	require.ErrorContains(t, err, "the limit is 16777216")
}

// Topics and groups may be mixed, and read in either order, more than once.
func TestRecordsInAnyOrder(t *testing.T) {
	g := newGenerator(t, false)
	want := g.state(3, 3)
	var b bytes.Buffer
	w := NewWriter(&b, want.Header)
	for i := range 3 {
		require.NoError(t, w.WriteGroup(&want.Groups[i]))
		require.NoError(t, w.WriteTopic(&want.Topics[i]))
	}
	sum, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 2+6, sum.Blocks)

	r, err := NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Equal(t, sum, r.Summary())
	for range 2 {
		got := &state{Header: r.Header()}
		require.NoError(t, r.Groups(got.WriteGroup))
		require.NoError(t, r.Topics(got.WriteTopic))
		require.Equal(t, want, got)
	}
}

func TestReaderReturnsTheErrorOfTheCallback(t *testing.T) {
	g := newGenerator(t, false)
	b := g.state(3, 3).encode(t)
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	mine := errors.New("mine")
	calls := 0
	require.ErrorIs(t, r.Groups(func(*Group) error { calls++; return mine }), mine)
	require.ErrorIs(t, r.Topics(func(*Topic) error { calls++; return mine }), mine)
	require.Equal(t, 2, calls)
	require.NoError(t, r.CopyTo(&state{}), "what broke off earlier does not matter")
}

func TestUnknownLagReadsAsZero(t *testing.T) {
	s := &state{Groups: []Group{{Topics: []GroupTopic{{PartitionCount: 1, Partitions: []GroupPartition{{
		Commits: []protocol.StoredCommit{{Lag: 77}},
	}}}}}}}
	got, err := decode(s.encode(t))
	require.NoError(t, err)
	require.Equal(t, protocol.StoredCommit{}, got.Groups[0].Topics[0].Partitions[0].Commits[0])
}

func TestWriterRefusesWhatAReaderWould(t *testing.T) {
	one := func(count int32, numbers ...int32) *Group {
		g := &Group{Name: "g", Topics: []GroupTopic{{Name: "t", PartitionCount: count}}}
		for _, n := range numbers {
			g.Topics[0].Partitions = append(g.Topics[0].Partitions, GroupPartition{Number: n})
		}
		return g
	}
	for name, group := range map[string]*Group{
		"negative count":     one(-1),
		"count too great":    one(MaxPartitions + 1),
		"negative partition": one(2, -1),
		"beyond the count":   one(2, 2),
		"not ascending":      one(2, 1, 0),
		"twice":              one(2, 1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := NewWriter(io.Discard, Header{})
			err := w.WriteGroup(group)
			require.ErrorContains(t, err, `topic "t"`)
			require.Equal(t, err, w.WriteGroup(one(0)), "the error sticks")
			_, closeErr := w.Close()
			require.Equal(t, err, closeErr)

			topic := &Topic{Name: "t", PartitionCount: group.Topics[0].PartitionCount}
			for _, p := range group.Topics[0].Partitions {
				topic.Partitions = append(topic.Partitions, Partition{Number: p.Number})
			}
			require.ErrorContains(t, NewWriter(io.Discard, Header{}).WriteTopic(topic), `topic "t"`)
		})
	}
	t.Run("header", func(t *testing.T) {
		require.ErrorContains(t, NewWriter(io.Discard, Header{Intervals: -1}).WriteTopic(&Topic{}), "intervals")
		require.Error(t, NewWriter(io.Discard, Header{Creator: strings.Repeat("x", maxPayload)}).WriteTopic(&Topic{}))
	})
	t.Run("too large for a block", func(t *testing.T) {
		large := strings.Repeat("x", maxPayload)
		w := NewWriter(io.Discard, Header{})
		for _, group := range []*Group{
			{Name: large}, {Cluster: large}, {Topics: []GroupTopic{{Name: large}}},
			{Topics: []GroupTopic{{PartitionCount: 1, Partitions: []GroupPartition{{Owner: large}}}}},
			{Topics: []GroupTopic{{PartitionCount: 1, Partitions: []GroupPartition{{ClientID: large}}}}},
		} {
			require.ErrorIs(t, w.WriteGroup(group), ErrTooLarge)
		}
		require.ErrorIs(t, w.WriteTopic(&Topic{Name: large}), ErrTooLarge)
		require.ErrorIs(t, w.WriteTopic(&Topic{Cluster: large}), ErrTooLarge)
		longest := strings.Repeat("x", maxName)
		require.NoError(t, w.WriteGroup(&Group{Name: longest, Cluster: longest, Topics: []GroupTopic{{
			Name: longest, PartitionCount: 1, Partitions: []GroupPartition{{Owner: longest, ClientID: longest}},
		}}}), "the longest fits, and what was too large left nothing behind")
		sum, err := w.Close()
		require.NoError(t, err)
		require.EqualValues(t, 1, sum.Groups)
		w = NewWriter(io.Discard, Header{})
		require.ErrorContains(t, w.WriteTopic(&Topic{Name: "t", PartitionCount: 9, Partitions: []Partition{{
			Number: 4, Curve: []byte(large),
		}}}), "partition 4 does not fit")
	})
}

func TestWriterErrorSticks(t *testing.T) {
	g := newGenerator(t, false)
	s := g.state(3, 30)
	whole := len(s.encode(t))
	for limit := 0; limit < whole; limit += 1 + g.IntN(whole/200) {
		w := NewWriter(&limitedWriter{limit: limit}, s.Header)
		err := s.copyTo(w)
		_, closeErr := w.Close()
		require.ErrorIs(t, closeErr, io.ErrShortWrite)
		if err != nil {
			require.Equal(t, err, closeErr)
		}
		_, again := w.Close()
		require.Equal(t, ErrClosed, again)
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
	w := NewWriter(io.Discard, Header{})
	_, err := w.Close()
	require.NoError(t, err)
	require.ErrorIs(t, w.WriteGroup(&Group{}), ErrClosed)
	require.ErrorIs(t, w.WriteTopic(&Topic{}), ErrClosed)
	_, err = w.Close()
	require.ErrorIs(t, err, ErrClosed)
}

func TestNoAllocationPerRecord(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	g := newGenerator(t, false)
	s := g.state(20, 200)
	w := NewWriter(io.Discard, s.Header)
	write := func() {
		if err := s.copyTo(w); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		write()
	}
	require.Zero(t, testing.AllocsPerRun(50, write), "220 records written")

	b := s.encode(t)
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	read := func() {
		if err := errors.Join(r.Topics(func(*Topic) error { return nil }), r.Groups(func(*Group) error { return nil })); err != nil {
			t.Fatal(err)
		}
	}
	// The names of groups are new strings each time.
	require.LessOrEqual(t, testing.AllocsPerRun(50, read), float64(len(s.Groups)+10))
}

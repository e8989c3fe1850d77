package ends

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// naive is what is known of one partition, in plain form. Its rules follow the contract, "An end offset that goes back".
type naive struct {
	history     []int64
	incarnation uint8
	start       int64
	polls       []int64 // when each end offset was seen
	stale       int
	identified  bool
	// same and cut are the numbers of earlier incarnations that are the same log, and of those since it was truncated.
	same, cut int
	before    *naive // before the dip; nil if there is none
	sameID    bool   // the dip is of the same topic
}

// set returns false for an end offset that is stale.
func (n *naive) set(end EndOffset, keep int, reset func()) bool {
	next := *n
	next.before, next.sameID, next.stale, next.identified = nil, false, 0, end.ID != protocol.TopicID{}
	newest, seen := int64(-1), int64(0)
	if len(n.history) > 0 {
		newest, seen = n.history[len(n.history)-1], n.polls[len(n.polls)-1]
	}
	if end.Offset < newest {
		if end.Dated && end.Seen < seen {
			if n.stale++; n.stale < 3 {
				return false
			}
		}
		reset()
		next.incarnation++
		dip := *n
		next.before = &dip
		if n.identified && next.identified {
			next.sameID = true
			next.same, next.cut = n.same+1, 0
			if next.start > end.Offset {
				next.start = 0
			}
		} else {
			next.same, next.cut, next.start = 0, 0, 0
		}
	} else if dip := n.before; dip != nil && end.Offset >= dip.history[len(dip.history)-1] && end.Seen-seen <= 60_000 {
		if !n.sameID {
			next.same, next.cut = dip.same+1, dip.cut+1
		}
		if next.start == 0 {
			next.start = dip.start
		}
	}
	next.same, next.cut = min(next.same, 255), min(next.cut, 255)
	if end.LogStart > 0 {
		next.start = end.LogStart
	}
	next.polls = append(slices.Clone(n.polls), end.Seen)
	next.history = append(slices.Clone(n.history), end.Offset)
	next.history = next.history[max(0, len(next.history)-keep):]
	*n = next
	return true
}

// view is what the topic shows of the partition.
func (n *naive) view() View {
	v := View{
		Known: true, Newest: n.history[len(n.history)-1], Incarnation: n.incarnation, Seen: n.polls[len(n.polls)-1],
		LogStart: n.start, same: uint8(n.same), cut: uint8(n.cut),
	}
	v.Before = v.Seen
	for i := len(n.polls) - 2; i >= 0 && !v.SeenBefore; i-- {
		// An end offset that is out of order is remembered only until the next; one seen at the same moment is the same poll.
		if other := n.polls[i]; other != v.Seen {
			v.SeenBefore = true
			v.Before = min(other, v.Seen-1)
		}
	}
	return v
}

// TestAtRandom stores random end offsets in random partitions and compares everything that can be read with plain slices.
func TestAtRandom(t *testing.T) {
	t.Parallel()
	for _, history := range []int{1, 2, 3, 10, 100, 1000} {
		t.Run(fmt.Sprint(history), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			chance := rand.New(rand.NewPCG(seed, 1))
			resets := 0
			table := NewTable(Options{History: history, CurveSegments: 4, Reset: func(*Topic, int32) { resets++ }})
			topic := table.Ensure("topic")
			var known []*naive // nil if nothing is known
			wantResets := 0
			id := protocol.TopicID{1}
			for i := range 3000 {
				number := int32(chance.IntN(1 + i/100))
				end := EndOffset{
					Number: number, Count: int32(chance.IntN(40)) - 5, Offset: int64(i) + chance.Int64N(50),
					Seen: int64(i)*5000 - chance.Int64N(3)*chance.Int64N(30_000), Dated: chance.IntN(2) == 0,
					LogStart: chance.Int64N(30) - 20,
				}
				if chance.IntN(50) == 0 {
					end.Offset = []int64{math.MaxInt64, 0}[chance.IntN(2)]
				}
				if i > 500 && chance.IntN(2) == 0 {
					end.ID = id
				}
				n := &naive{}
				if int(number) < len(known) && known[number] != nil {
					n = known[number]
				}
				if !n.set(end, history, func() { wantResets++ }) {
					require.Equal(t, Stale, topic.Set(end))
					continue
				}
				require.Equal(t, Stored, topic.Set(end))
				for len(known) < int(max(end.Count, number+1)) {
					known = append(known, nil)
				}
				known[number] = n
				if i%100 == 0 || i == 2999 {
					compare(t, topic, known)
				}
			}
			require.Equal(t, wantResets, resets)
		})
	}
}

func compare(t *testing.T, topic *Topic, known []*naive) {
	t.Helper()
	require.EqualValues(t, len(known), topic.Count())
	newest := topic.AppendNewest([]int64{7})
	require.EqualValues(t, 7, newest[0])
	require.Len(t, newest, 1+len(known))
	reading := topic.Read()
	defer reading.Close()
	var image Image
	cursor := image.Cursor(image.Add(reading, topic.Count()))
	for number, n := range known {
		number := int32(number)
		offset, incarnation, ok := topic.Newest(number)
		view, history := reading.View(number), reading.AppendHistory(nil, number)
		var seen View
		copied := cursor.Next(number, &seen, nil)
		require.Equal(t, view, seen)
		require.Equal(t, history, copied)
		require.Equal(t, n != nil, ok)
		require.Equal(t, n != nil, view.Known)
		if n == nil {
			require.EqualValues(t, -1, newest[1+number])
			require.Empty(t, history)
			require.Zero(t, reading.TimeLag(number, 0, 0))
			continue
		}
		last := n.history[len(n.history)-1]
		require.Equal(t, last, offset)
		require.Equal(t, last, newest[1+number])
		require.Equal(t, n.incarnation, incarnation)
		require.Equal(t, n.history, history)
		require.Equal(t, n.view(), view)
	}
	for _, number := range []int32{int32(len(known)), MaxPartitions - 1, math.MaxInt32, -1, math.MinInt32} {
		_, _, ok := topic.Newest(number)
		require.False(t, ok)
		require.Equal(t, View{}, reading.View(number))
		require.Empty(t, reading.AppendHistory(nil, number))
		require.Zero(t, reading.TimeLag(number, 0, 0))
	}
}

// TestRestride makes the history of some partitions grow while others have none.
func TestRestride(t *testing.T) {
	t.Parallel()
	topic := NewTable(Options{History: 7}).Ensure("topic")
	topic.Set(EndOffset{Number: 2, Offset: 50})
	for i := range int64(20) {
		topic.Set(EndOffset{Number: 0, Offset: i})
		if i == 3 {
			topic.Set(EndOffset{Number: 1, Offset: 60})
			topic.Set(EndOffset{Number: 5000, Offset: 70})
		}
	}
	topic.Set(EndOffset{Number: 2, Offset: 51})
	reading := topic.Read()
	defer reading.Close()
	require.Equal(t, []int64{13, 14, 15, 16, 17, 18, 19}, reading.AppendHistory(nil, 0))
	require.Equal(t, []int64{60}, reading.AppendHistory(nil, 1))
	require.Equal(t, []int64{1, 50, 51}, reading.AppendHistory([]int64{1}, 2))
	require.Equal(t, []int64{70}, reading.AppendHistory(nil, 5000))
	require.Zero(t, reading.TimeLag(0, 5, 5), "curves are turned off")
	require.EqualValues(t, 5001, topic.Count())
}

func TestIncarnation(t *testing.T) {
	t.Parallel()
	var told []int32
	topic := NewTable(Options{History: 3, CurveSegments: 8, Reset: func(_ *Topic, p int32) { told = append(told, p) }}).Ensure("topic")
	at := int64(0)
	set := func(offset, start int64) uint8 {
		at += 1000
		topic.Set(EndOffset{Number: 3, Offset: offset, Seen: at, LogStart: start})
		_, incarnation, ok := topic.Newest(3)
		require.True(t, ok)
		return incarnation
	}
	lag := func(offset int64) curve.Estimate {
		reading := topic.Read()
		defer reading.Close()
		return reading.TimeLag(3, offset, at)
	}
	require.Zero(t, set(100, 50))
	require.Zero(t, set(100, 0))
	require.Zero(t, set(200, 0))
	require.Equal(t, curve.Interpolated, lag(150).Kind)
	require.EqualValues(t, 1, set(199, 0))
	require.Equal(t, curve.AtLeast, lag(150).Kind)
	reading := topic.Read()
	require.Equal(t, View{Known: true, Newest: 199, Incarnation: 1, Seen: at, Before: at - 1000, SeenBefore: true}, reading.View(3))
	require.Equal(t, []int64{100, 200, 199}, reading.AppendHistory(nil, 3), "the history is as before")
	reading.Close()
	require.EqualValues(t, 2, set(0, 0))
	require.Equal(t, curve.Exact, lag(0).Kind)
	require.Equal(t, []int32{3, 3}, told)
	for range 254 {
		set(10, 0)
		set(9, 0)
	}
	require.EqualValues(t, 0, set(9, 0), "the counter has eight bits")
}

func TestTable(t *testing.T) {
	t.Parallel()
	var told []string
	table := NewTable(Options{
		History: 3,
		Created: func(t *Topic) { told = append(told, "+"+t.Name) },
		Deleted: func(t *Topic) { told = append(told, "-"+t.Name) },
		Reset:   func(t *Topic, _ int32) { told = append(told, "<"+t.Name) },
	})
	require.Nil(t, table.Topic("a"))
	require.Nil(t, table.Delete("a"))
	a := table.Ensure("a")
	require.Same(t, a, table.Ensure("a"))
	require.Same(t, a, table.Topic("a"))
	table.Ensure("b")
	require.Equal(t, 2, table.Len())
	a.Set(EndOffset{Offset: 10})
	require.Same(t, a, table.Delete("a"))
	require.True(t, a.Deleted())
	require.Nil(t, table.Topic("a"))
	require.Len(t, table.Topics(nil), 1)

	// Setting a deleted topic changes nothing, and publishes nothing.
	a.Set(EndOffset{Offset: 5})
	a.Set(EndOffset{Number: 7, Offset: 5})
	require.EqualValues(t, 1, a.Count())
	reading := a.Read()
	require.Equal(t, View{}, reading.View(0))
	reading.Close()

	again := table.Ensure("a")
	require.NotSame(t, a, again)
	_, _, ok := again.Newest(0)
	require.False(t, ok)
	require.Equal(t, []string{"+a", "+b", "-a", "+a"}, told)
}

func TestSize(t *testing.T) {
	t.Parallel()
	topic := NewTable(Options{History: 3, CurveSegments: 8}).Ensure("topic")
	partitions, bytes := topic.Size()
	require.Zero(t, partitions)
	require.Positive(t, bytes)
	topic.Set(EndOffset{Number: 3, Count: 100, Offset: 1})
	topic.Set(EndOffset{Number: 99, Offset: 1})
	topic.Set(EndOffset{Number: 99, Offset: 2})
	partitions, grown := topic.Size()
	require.Equal(t, 2, partitions)
	require.Greater(t, grown, bytes+100*8)
}

// TestTableAtOnce deletes and recreates a topic while others store end offsets, some of high partitions, and read. The events
// of a topic begin with its creation and end with its deletion.
func TestTableAtOnce(t *testing.T) {
	t.Parallel()
	type told struct {
		topic *Topic
		what  string
	}
	var mu sync.Mutex
	var all []told // guarded by mu
	tell := func(topic *Topic, what string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, told{topic, what})
	}
	table := NewTable(Options{
		History: 5, CurveSegments: 4,
		Created: func(t *Topic) { tell(t, "created") },
		Deleted: func(t *Topic) { tell(t, "deleted") },
		Reset:   func(t *Topic, _ int32) { tell(t, "reset") },
	})
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			chance := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 3000 {
				switch chance.IntN(20) {
				case 0:
					table.Delete("topic")
				case 1, 2, 3:
					topic := table.Topic("topic")
					if topic == nil {
						continue
					}
					topic.AppendNewest(nil)
					reading := topic.Read()
					for p := range int32(40) {
						view, history := reading.View(p), reading.AppendHistory(nil, p)
						if view.Known && history[len(history)-1] != view.Newest {
							t.Errorf("newest %d, history %v", view.Newest, history)
						}
						reading.TimeLag(p, view.Newest-1, 0)
					}
					reading.Close()
				default:
					table.Ensure("topic").Set(EndOffset{
						Number: int32(chance.IntN(40)), Offset: 1 + chance.Int64N(100), Seen: chance.Int64N(100), LogStart: chance.Int64N(3),
					})
				}
			}
		}()
	}
	workers.Wait()
	lives := map[*Topic][]string{}
	for _, told := range all {
		lives[told.topic] = append(lives[told.topic], told.what)
	}
	for _, life := range lives {
		require.Equal(t, "created", life[0])
		if i := slices.Index(life, "deleted"); i >= 0 {
			require.Len(t, life, i+1, "an event of a topic after its end")
		}
	}
	require.Greater(t, len(lives), 10)
}

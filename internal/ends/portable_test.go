package ends

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// portable makes a topic with everything that its bytes can hold: two ids, a dip, a refused end offset.
func portable(t testing.TB) *Table {
	t.Helper()
	table := NewTable(Options{CountDeletions: true, History: 3, CurveSegments: 8})
	topic := table.Ensure("topic")
	id := protocol.TopicID{1}
	for i := range int64(5) {
		require.Equal(t, Stored, topic.Set(EndOffset{Number: 0, Count: 200, Offset: 100 * i, Seen: 1000 + i, Dated: true, LogStart: i, ID: id}))
	}
	require.Equal(t, Stored, topic.Set(EndOffset{Number: 0, Offset: 250, Seen: 2000, Dated: true, ID: id}))
	require.Equal(t, Stored, topic.Set(EndOffset{Number: 150, Offset: 7, Seen: 2000}))
	require.Equal(t, Stale, topic.Set(EndOffset{Number: 0, Offset: 1, Seen: 1500, Dated: true, ID: id}))
	require.Equal(t, Stale, topic.Set(EndOffset{Number: 0, Offset: 1, Seen: 1500, Dated: true, ID: protocol.TopicID{9}}))
	topic.Polled(2000)
	return table
}

func recall(to *Table, from *Topic) error {
	return to.Recall("topic", from.AppendMeta(nil), func(yield func(int32, []byte) bool) {
		for number := range from.Known() {
			data, _ := from.AppendPartition(nil, number)
			if !yield(number, data) {
				return
			}
		}
	})
}

func TestTopicThatIsKeptElsewhere(t *testing.T) {
	from := portable(t).Topic("topic")
	to := NewTable(Options{History: 3, CurveSegments: 8})
	require.NoError(t, recall(to, from))
	got := to.Topic("topic")
	require.Equal(t, from.AppendMeta(nil), got.AppendMeta(nil))
	for _, number := range []int32{0, 150} {
		want, _ := from.AppendPartition(nil, number)
		data, ok := got.AppendPartition(nil, number)
		require.True(t, ok)
		require.Equal(t, want, data)
		require.Equal(t, viewAt(from, number), viewAt(got, number))
	}
	require.Equal(t, from.AppendNewest(nil), got.AppendNewest(nil))

	// The same topic stays the object that groups hold; one that was made after a deletion does not.
	from.Set(EndOffset{Number: 0, Offset: 900, Seen: 3000})
	require.NoError(t, recall(to, from))
	require.Same(t, got, to.Topic("topic"))
	require.EqualValues(t, 900, got.AppendNewest(nil)[0])
	other := portable(t)
	require.NoError(t, recall(to, other.Topic("topic")))
	require.Same(t, got, to.Topic("topic"), "the topic was lost and recreated")
	other.Forget("topic")
	require.EqualValues(t, 1, other.Deletions("topic"))
	require.NoError(t, recall(to, other.Ensure("topic")))
	require.NotSame(t, got, to.Topic("topic"))
	require.True(t, got.Deleted())
	to.Forget("topic")
	require.Nil(t, to.Topic("topic"))
	require.True(t, Departed("topic", 1).Deleted())
}

func viewAt(t *Topic, number int32) View {
	r := t.Read()
	defer r.Close()
	return r.View(number)
}

func FuzzTopicThatIsKeptElsewhere(f *testing.F) {
	topic := portable(f).Topic("topic")
	data, _ := topic.AppendPartition(nil, 0)
	f.Add(topic.AppendMeta(nil), data)
	f.Fuzz(func(t *testing.T, meta, data []byte) {
		table := NewTable(Options{History: 3, CurveSegments: 8})
		err := table.Recall("topic", meta, func(yield func(int32, []byte) bool) { yield(0, data) })
		if err != nil {
			require.Nil(t, table.Topic("topic"))
			return
		}
		// The bytes can be used and kept again.
		topic := table.Topic("topic")
		topic.Set(EndOffset{Number: 0, Offset: 1, Seen: 1})
		again, _ := topic.AppendPartition(nil, 0)
		require.NoError(t, NewTable(Options{History: 3, CurveSegments: 8}).Recall("topic", topic.AppendMeta(nil),
			func(yield func(int32, []byte) bool) { yield(0, again) }))
	})
}

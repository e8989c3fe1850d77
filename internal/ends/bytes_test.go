package ends

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// TestBytesAreCountedAsTheyChange compares the running count with a full count.
func TestBytesAreCountedAsTheyChange(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	total := 0
	table := NewTable(Options{History: 7, CurveSegments: 12, Grew: func(bytes int) { total += bytes }})
	check := func() {
		t.Helper()
		sum := table.Bytes()
		for _, topic := range table.Topics(nil) {
			known, bytes := topic.measureLocked()
			counted, size := topic.Size()
			require.Equal(t, known, counted, "partitions of %s", topic.Name)
			require.Equal(t, bytes, size, "bytes of %s", topic.Name)
			sum += size
		}
		require.Equal(t, sum, total)
	}
	now := int64(1_700_000_000_000)
	for step := range 20_000 {
		now += random.Int64N(5000)
		topic := table.Ensure(fmt.Sprint("topic-", random.IntN(5)))
		in := EndOffset{
			Number: random.Int32N(30), Count: random.Int32N(100), Offset: random.Int64N(1 << 30), Seen: now - random.Int64N(3000), Dated: true,
			KnownOnly: random.IntN(4) == 0,
		}
		if random.IntN(30) == 0 {
			in.Number = random.Int32N(5000)
		}
		if random.IntN(3) == 0 {
			in.ID = protocol.TopicID{topic.Name[6]}
		} else if random.IntN(300) == 0 {
			in.ID = protocol.TopicID{1}
		}
		if topic.Set(in) == Replaced {
			table.Replace(topic, &in)
		}
		switch random.IntN(500) {
		case 0:
			table.Delete(topic.Name)
		case 1:
			var r snapshot.Topic
			topic.Save(&r)
			r.Name = fmt.Sprint("topic-", random.IntN(5))
			built, err := table.Build(&r)
			require.NoError(t, err)
			check() // a topic that has left the table is not counted
			table.Put(built, now)
		}
		if step%100 == 0 {
			check()
		}
	}
	for _, topic := range table.Topics(nil) {
		table.Delete(topic.Name)
	}
	require.Equal(t, table.Bytes(), total)
}

func TestKnownOnly(t *testing.T) {
	t.Parallel()
	topic := NewTable(Options{History: 3}).Ensure("topic")
	require.Equal(t, NoRoom, topic.Set(EndOffset{Number: 1, Count: 8, Offset: 1, KnownOnly: true}))
	require.Zero(t, topic.Count())
	require.Equal(t, Stored, topic.Set(EndOffset{Number: 1, Count: 8, Offset: 1}))
	require.Equal(t, NoRoom, topic.Set(EndOffset{Number: 2, Offset: 1, KnownOnly: true}), "its neighbours have a place, and are not known")
	require.Equal(t, Stored, topic.Set(EndOffset{Number: 1, Offset: 2, KnownOnly: true}))
	require.Equal(t, []int64{-1, 2, -1, -1, -1, -1, -1, -1}, topic.AppendNewest(nil))
}

package ends

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInterruptedChangeIsTold(t *testing.T) {
	damages := 0
	failing := true
	table := NewTable(Options{History: 2, Damaged: func() { damages++ }, Reset: func(*Topic, int32) {
		if failing {
			panic("reset")
		}
	}})
	topic := table.Ensure("orders")
	require.Equal(t, Stored, topic.Set(EndOffset{Offset: 100, Seen: 1}))
	require.Zero(t, damages)
	require.PanicsWithValue(t, "reset", func() { topic.Set(EndOffset{Offset: 10, Seen: 2}) })
	require.Equal(t, 1, damages)
	failing = false
	require.NotNil(t, table.Delete("orders"), "the topic is locked for ever")

	table = NewTable(Options{History: 2, Deleted: func(*Topic) { panic("deleted") }})
	table.Ensure("orders")
	require.PanicsWithValue(t, "deleted", func() { table.Delete("orders") })
	require.NotNil(t, table.Ensure("payments"), "the table is locked for ever")
}

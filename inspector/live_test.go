package inspector

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each who follows a list is told what differs from what it was sent, also one that missed a reading.
func TestSince(t *testing.T) {
	t.Parallel()
	list := func(sequence uint64, members ...int) *liveList {
		var rows []GroupRow
		for i, n := range members {
			rows = append(rows, GroupRow{Group: string(rune('a' + i)), Members: n})
		}
		l, err := newLiveList(sequence, GroupList{Groups: rows})
		require.NoError(t, err)
		return l
	}
	one, two, three := list(1, 1, 1), list(2, 2, 1), list(3, 2, 1, 1)
	for _, c := range []struct {
		from *liveList
		want []string
	}{{two, []string{"c"}}, {two, []string{"c"}}, {one, []string{"a", "c"}}, {two, []string{"c"}}, {three, []string{}}} {
		text, err := three.since(c.from)
		require.NoError(t, err)
		var got struct {
			Order   []string
			Changed []GroupRow
		}
		require.NoError(t, json.Unmarshal(text, &got))
		changed := []string{}
		for _, row := range got.Changed {
			changed = append(changed, row.Group)
		}
		assert.Equal(t, c.want, changed, "from %d", c.from.sequence)
		assert.Equal(t, []string{`["","a"]`, `["","b"]`, `["","c"]`}, got.Order)
	}
}

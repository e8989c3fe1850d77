package snapshots_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImportOfCommitsOutOfOrder(t *testing.T) {
	db := mustOpen(t, filepath.Join(t.TempDir(), "state"))
	lines := []string{
		`{"kind":"header","version":1,"taken_at":1}`,
		`{"kind":"topic","cluster":"local","name":"orders","partition_count":1,"partitions":[{"partition":0,"end_offsets":[{"offset":9,"timestamp":1}]}]}`,
		`{"kind":"group","cluster":"local","name":"billing","topics":[{"name":"orders","partition_count":1,"partitions":[` +
			`{"partition":0,"commits":[{"offset":1,"order":9,"timestamp":1},{"offset":2,"order":5,"timestamp":2}]}]}]}`,
	}
	err := db.Import(t.Context(), strings.NewReader(strings.Join(lines, "\n")))
	require.ErrorContains(t, err, "line 3: ")
	require.ErrorContains(t, err, "invalid order 5")
	stats, err := db.Stats()
	require.NoError(t, err)
	require.Zero(t, stats.Topics, "nothing changed")
}

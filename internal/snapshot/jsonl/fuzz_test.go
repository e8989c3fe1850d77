package jsonl

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshottest"
)

// FuzzRead gives Read any lines: it returns an error that names the line, or a state that survives a round trip.
func FuzzRead(f *testing.F) {
	for _, wild := range []bool{false, true} {
		f.Add(linesOf(f, snapshottest.FixedGenerator(wild).State(1, 1)))
	}
	f.Add([]byte(`{"kind":"header","version":1,"taken_at":1}` + "\n" + `{"kind":"end"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := fromLines(bytes.NewReader(b), 1<<16)
		if err != nil {
			var line *LineError
			require.ErrorAs(t, err, &line)
			require.Positive(t, line.Line)
			return
		}
		again, report, err := fromLines(bytes.NewReader(linesOf(t, got)), math.MaxInt)
		require.NoError(t, err)
		require.True(t, report.Complete)
		require.Equal(t, got, again)
	})
}

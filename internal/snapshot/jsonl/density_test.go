package jsonl

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// dropped is a sink that drops everything.
type dropped struct{}

func (dropped) WriteTopic(*snapshot.Topic) error { return nil }
func (dropped) WriteGroup(*snapshot.Group) error { return nil }

// TestMemoryOfHostileLines reads lines that repeat the shortest element of each array of the format, and lines that no writer
// makes: the memory stays in proportion to the bytes read.
func TestMemoryOfHostileLines(t *testing.T) {
	const (
		topic = `{"kind":"topic","cluster":"c","name":"t","partition_count":1,"partitions":[`
		group = `{"kind":"group","cluster":"c","name":"g","topics":[`
		in    = `{"name":"t","partition_count":1,"partitions":[`
	)
	for name, of := range map[string]struct {
		before, element, after string
		refused                string // at once, before the line is decoded
	}{
		"partitions":        {before: topic, element: `{"partition":0}`, after: `]}`},
		"end offsets":       {before: topic + `{"partition":0,"end_offsets":[`, element: `{"offset":1,"timestamp":1}`, after: `]}]}`},
		"topics":            {before: group, element: `{"name":""}`, after: `]}`},
		"group partitions":  {before: group + in, element: `{"partition":0}`, after: `]}]}`},
		"commits":           {before: group + in + `{"partition":0,"commits":[`, element: `{"offset":1}`, after: `]}]}]}`},
		"empty objects":     {before: topic, element: `{}`, after: `]}`, refused: "objects, arrays and fields"},
		"spaced objects":    {before: topic, element: " { } ", after: `]}`, refused: "objects, arrays and fields"},
		"nulls":             {before: topic, element: `null`, after: `]}`, refused: "must be an object"},
		"spaced nulls":      {before: topic, element: "\t null", after: `]}`, refused: "must be an object"},
		"numbers":           {before: group, element: `10000`, after: `]}`, refused: "must be an object"},
		"strings":           {before: group, element: `"name"`, after: `]}`, refused: "must be an object"},
		"arrays":            {before: topic, element: `[]`, after: `]}`, refused: "must be an object"},
		"an unknown key":    {before: `{"kind":"group","x":[`, element: `{"y":1234567}`, after: `]}`, refused: "unknown field"},
		"unknown nulls":     {before: `{"kind":"group","x":[`, element: `null`, after: `]}`, refused: "must be an object"},
		"braces in a name":  {before: `{"kind":"group","cluster":"c","name":"`, element: `{[\"`, after: `"}`},
		"a very deep value": {before: `{"kind":"group","x":`, element: `{"abcdefgh":{"x":1},"abcdefgh":`, after: `1`, refused: "invalid nesting"},
	} {
		t.Run(name, func(t *testing.T) {
			n := (2 << 20) / len(of.element)
			lines := `{"kind":"header","version":1,"taken_at":1}` + "\n" + of.before +
				strings.TrimSuffix(strings.Repeat(of.element+",", n), ",") + of.after + "\n"
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Read(strings.NewReader(lines), 0, func(snapshot.Header) error { return nil }, dropped{})
			runtime.ReadMemStats(&after)
			factor := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(lines))
			if of.refused != "" {
				require.ErrorContains(t, err, of.refused)
			}
			require.Less(t, factor, 64.0, "bytes allocated for each that was read")
		})
	}
}

// TestDensityOfNestedNames accepts lines with names that are not valid UTF-8, in the innermost place.
func TestDensityOfNestedNames(t *testing.T) {
	var b strings.Builder
	name := "\xff{[,\""
	w := NewWriter(&b, snapshot.Header{TakenAt: 1})
	require.NoError(t, w.WriteGroup(&snapshot.Group{Cluster: name, Name: name, LastCommit: 1, LastOwner: snapshot.Never, Topics: []snapshot.GroupTopic{
		{Name: name, PartitionCount: 1, LastCommit: snapshot.Never, Partitions: []snapshot.GroupPartition{{Owner: name, ClientID: name}}},
		{Name: "empty"},
	}}))
	_, err := w.Close()
	require.NoError(t, err)
	_, err = Read(strings.NewReader(b.String()), 0, func(snapshot.Header) error { return nil }, dropped{})
	require.NoError(t, err)
}

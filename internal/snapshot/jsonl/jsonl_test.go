package jsonl

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

func linesOf(t testing.TB, s *snapshottest.State) []byte {
	t.Helper()
	var b bytes.Buffer
	sum, err := Write(&b, s.Header, s.Save)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), sum.Bytes)
	return b.Bytes()
}

func fromLines(r io.Reader, maxLine int) (*snapshottest.State, Report, error) {
	s := &snapshottest.State{}
	report, err := Read(r, maxLine, func(h snapshot.Header) error {
		s.Header = h
		return nil
	}, s)
	return s, report, err
}

func TestJSONLinesRoundTrip(t *testing.T) {
	for _, wild := range []bool{false, true} {
		g := snapshottest.NewGenerator(t, wild)
		for range 60 {
			want := g.State(g.IntN(6), g.IntN(12))
			lines := linesOf(t, want)
			got, report, err := fromLines(bytes.NewReader(lines), 0)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.True(t, report.Complete)
			require.EqualValues(t, len(lines), report.Summary.Bytes)

			// Through the other format and back.
			b := want.Encode(t)
			r, err := snapshot.NewReader(bytes.NewReader(b), int64(len(b)))
			require.NoError(t, err)
			var again bytes.Buffer
			_, err = Write(&again, r.Header(), func(out snapshot.Output) error { return r.Read(t.Context(), out) })
			require.NoError(t, err)
			require.Equal(t, string(lines), again.String())
		}
	}
}

func TestJSONLinesRead(t *testing.T) {
	s := &snapshottest.State{Header: snapshot.Header{TakenAt: 1, Intervals: 10, Sequence: math.MaxUint64}}
	s.Topics = []snapshot.Topic{{
		Cluster: "c", Name: "t", PartitionCount: 2, Partitions: []snapshot.Partition{
			{Number: 1, LogStart: -1, EndOffsets: []snapshot.EndOffset{{Offset: math.MaxInt64, Timestamp: 5}}, Curve: []byte{1, 2, 3}},
		},
	}}
	s.Groups = []snapshot.Group{
		{Cluster: "c", Name: "a<b", LastCommit: 9, LastOwner: snapshot.Never, Topics: []snapshot.GroupTopic{
			{Name: "t", PartitionCount: 1, LastCommit: snapshot.Never, Partitions: []snapshot.GroupPartition{{Owner: "o", Commits: nil}}},
		}},
		{Cluster: "c", Name: "\xff", LastCommit: snapshot.Never, LastOwner: snapshot.Never},
	}
	require.Equal(t, `{"kind":"header","version":1,"taken_at":1,"intervals":10,"sequence":18446744073709551615}
{"kind":"topic","cluster":"c","name":"t","partition_count":2,"partitions":[`+
		`{"partition":1,"incarnation":0,"log_start":-1,"end_offsets":[{"offset":9223372036854775807,"timestamp":5}],"curve":"AQID"}]}
{"kind":"group","cluster":"c","name":"a<b","last_commit":9,"last_owner":null,"topics":[`+
		`{"name":"t","partition_count":1,"last_commit":null,"partitions":[`+
		`{"partition":0,"owner":"o","client_id":"","incarnation":0,"commits":[]}]}]}
{"kind":"group","cluster":"c","name":{"base64":"/w=="},"last_commit":null,"last_owner":null,"topics":[]}
{"kind":"end","topics":1,"groups":2,"group_partitions":1,"commits":0}
`, string(linesOf(t, s)))
}

// The example in the documentation is valid.
func TestJSONLinesOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "format", "jsonl.md"))
	require.NoError(t, err)
	_, example, _ := strings.Cut(string(page), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	s, report, err := fromLines(strings.NewReader(example), 0)
	require.NoError(t, err)
	require.True(t, report.Complete)
	require.Equal(t, example, string(linesOf(t, s)))

	_, _, err = fromLines(strings.NewReader(strings.Replace(example, `"partition":0,"owner"`, `"partition":3,"owner"`, 1)), 0)
	require.ErrorContains(t, err,
		`line 3: group "billing" of cluster "local": topic "orders": invalid partition 3: must be below 1`)
}

// Lines made by hand: few keys, another order, spaces, blank lines, no last line and no last line feed.
func TestJSONLinesByHand(t *testing.T) {
	got, report, err := fromLines(strings.NewReader("\n"+` { "taken_at": 5, "version": 1, "kind": "header" } `+"\r\n\n"+
		`{"name":"g","cluster":"c","topics":[{"name":"t","partition_count":2,"partitions":[`+
		`{"partition":1,"commits":[{"offset":4,"timestamp":6,"order":8},{"offset":5,"timestamp":7,"lag":0}]}]}],"kind":"group"}`), 0)
	require.NoError(t, err)
	require.False(t, report.Complete)
	require.Equal(t, snapshot.Header{TakenAt: 5}, got.Header)
	g := got.Groups[0]
	require.Equal(t, snapshot.Never, g.LastCommit)
	require.Equal(t, snapshot.Never, g.LastOwner)
	require.Equal(t, snapshot.Never, g.Topics[0].LastCommit)
	commits := g.Topics[0].Partitions[0].Commits
	require.False(t, commits[0].LagKnown)
	require.True(t, commits[1].LagKnown)
}

func TestJSONLinesFaults(t *testing.T) {
	const header = `{"kind":"header","version":1,"taken_at":1}` + "\n"
	const group = `{"kind":"group","cluster":"c","name":"g","topics":[{"name":"t","partition_count":2,"partitions":[`
	for name, c := range map[string]struct {
		lines string
		line  int
		want  string
	}{
		"nothing":              {"", 1, "empty"},
		"blank":                {"\n\n", 3, "empty"},
		"not JSON":             {header + "{\n", 2, "JSON"},
		"two in a line":        {header + `{"kind":"end"} {}` + "\n", 2, "after top-level value"},
		"two in a group line":  {header + `{"kind":"group","cluster":"c","name":"g"} 1` + "\n", 2, "more than one value"},
		"no kind":              {header + "{}\n", 2, "kind is"},
		"unknown kind":         {header + `{"kind":"user"}` + "\n", 2, `"user"`},
		"no header":            {`{"kind":"end"}` + "\n", 1, "first line"},
		"two headers":          {header + header, 2, "first line"},
		"after the end":        {header + `{"kind":"end"}` + "\n" + `{"kind":"end"}` + "\n", 3, "the last"},
		"wrong count":          {header + `{"kind":"end","groups":1}` + "\n", 2, "invalid count of groups 1"},
		"no version":           {`{"kind":"header"}` + "\n", 1, "without version"},
		"no time":              {`{"kind":"header","version":1}` + "\n", 1, "without taken_at"},
		"intervals":            {`{"kind":"header","version":1,"taken_at":1,"intervals":-1}` + "\n", 1, "intervals"},
		"slip of the pen":      {header + group + `{"partition":0,"comits":[]}]}]}`, 2, "comits"},
		"no partition":         {header + group + `{}]}]}`, 2, "without partition"},
		"no offset":            {header + group + `{"partition":0,"commits":[{"timestamp":1}]}]}]}`, 2, "without offset"},
		"null offset":          {header + group + `{"partition":0,"commits":[{"timestamp":1,"offset":null}]}]}]}`, 2, "without offset"},
		"partition beyond":     {header + group + `{"partition":2}]}]}`, 2, "invalid partition 2"},
		"partition descends":   {header + group + `{"partition":1},{"partition":0}]}]}`, 2, "ascend"},
		"more than 64 bits":    {header + group + `{"partition":0,"commits":[{"timestamp":1,"offset":9223372036854775808}]}]}]}`, 2, "int64"},
		"a fraction":           {header + group + `{"partition":0,"commits":[{"timestamp":1.5,"offset":1}]}]}]}`, 2, "int64"},
		"negative lag":         {header + group + `{"partition":0,"commits":[{"timestamp":1,"offset":1,"lag":-1}]}]}]}`, 2, "lag"},
		"group without name":   {header + `{"kind":"group","cluster":"c"}`, 2, "without cluster or name"},
		"topic without name":   {header + `{"kind":"topic","cluster":"c"}`, 2, "without cluster or name"},
		"its topic without":    {header + `{"kind":"group","cluster":"c","name":"g","topics":[{}]}`, 2, "without name"},
		"end offset without":   {header + `{"kind":"topic","cluster":"c","name":"t","partition_count":1,"partitions":[{"partition":0,"end_offsets":[{"offset":1}]}]}`, 2, "without offset or timestamp"},
		"partition of a topic": {header + `{"kind":"topic","cluster":"c","name":"t","partition_count":1,"partitions":[{}]}`, 2, "without partition"},
		"too many partitions":  {header + `{"kind":"topic","cluster":"c","name":"t","partition_count":1048577}`, 2, "1048576"},
		"too long":             {header + strings.Repeat(" ", 2001), 2, "too long"},
		"too long for ever":    {header + strings.Repeat("x", 300_000), 2, "too long"},
		"nested":               {header + strings.Repeat("[", 1999), 2, "must be an object"},
		"nested a little":      {header + strings.Repeat("[", 15), 2, "must be an object"},
		"nested objects":       {header + strings.Repeat(`{"a":`, 15), 2, "at most 12 deep"},
		"nested a few times":   {header + strings.Repeat(`{"a":`, 5), 2, "JSON"},
		"empty elements":       {header + `{"kind":"group","cluster":"c","name":"g","topics":[` + strings.Repeat("{},", 600) + `{}]}`, 2, "objects, arrays and fields, more than"},
		"empty commits":        {header + `{"kind":"group","cluster":"c","name":"g","topics":[{"name":"t","partitions":[{"partition":0,"commits":[` + strings.Repeat("{},", 500), 2, "objects, arrays and fields, more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, report, err := fromLines(strings.NewReader(c.lines), 2000)
			var line *LineError
			require.ErrorAs(t, err, &line)
			require.Equal(t, c.line, line.Line)
			require.ErrorContains(t, err, c.want)
			require.False(t, report.Complete && name != "after the end")
		})
	}
}

func TestJSONLinesOfTheGreatestLength(t *testing.T) {
	header := `{"kind":"header","version":1,"taken_at":1}`
	for pad, ok := range map[int]bool{0: true, 1: false} {
		line := header + strings.Repeat(" ", 100_000-len(header)+pad)
		for _, end := range []string{"", "\n"} {
			_, _, err := fromLines(strings.NewReader(line+end), 100_000)
			require.Equal(t, ok, err == nil, err)
			require.Equal(t, !ok, errors.Is(err, ErrLineTooLong))
		}
	}
}

func TestJSONLinesOfAnotherVersion(t *testing.T) {
	_, _, err := fromLines(strings.NewReader(`{"kind":"header","version":3,"when":"tomorrow"}`), 0)
	var version *snapshot.VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, snapshot.VersionError{Version: 3, Known: 1}, *version)
}

func TestJSONLinesErrorsOfOthers(t *testing.T) {
	g := snapshottest.NewGenerator(t, false)
	s := g.State(3, 3)
	lines := linesOf(t, s)
	mine := errors.New("mine")
	_, err := Read(bytes.NewReader(lines), 0, func(snapshot.Header) error { return mine }, s)
	require.ErrorIs(t, err, mine)
	_, err = Read(bytes.NewReader(lines), 0, func(snapshot.Header) error { return nil }, failingSink{mine})
	require.ErrorIs(t, err, mine)
	require.ErrorContains(t, err, "line 2")
	_, _, err = fromLines(io.MultiReader(bytes.NewReader(lines[:200]), errReader{mine}), 0)
	require.ErrorIs(t, err, mine)

	_, err = Write(io.Discard, s.Header, func(snapshot.Output) error { return mine })
	require.ErrorIs(t, err, mine)
	_, err = Write(&limitedWriter{limit: 300}, s.Header, s.Save)
	require.ErrorIs(t, err, io.ErrShortWrite)
	w := NewWriter(io.Discard, snapshot.Header{Intervals: -1})
	require.Error(t, w.WriteTopic(&snapshot.Topic{}))
	w = NewWriter(io.Discard, snapshot.Header{})
	w.maxLine = 1000
	err = w.WriteTopic(&snapshot.Topic{Name: strings.Repeat("x", 1001)})
	require.ErrorIs(t, err, snapshot.ErrTooLarge)
	require.NoError(t, w.WriteGroup(&snapshot.Group{}), "what is too large is left out, and the writer goes on")
	sum, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 1, sum.Groups)
	require.Zero(t, sum.Topics)
	w = NewWriter(io.Discard, snapshot.Header{})
	require.ErrorContains(t, w.WriteGroup(&snapshot.Group{Topics: []snapshot.GroupTopic{{PartitionCount: -1}}}), "partition count")
	w = NewWriter(io.Discard, snapshot.Header{})
	require.ErrorContains(t, w.WriteTopic(&snapshot.Topic{PartitionCount: -1}), "partition count")
	w = NewWriter(io.Discard, snapshot.Header{})
	_, err = w.Close()
	require.NoError(t, err)
	_, err = w.Close()
	require.ErrorIs(t, err, snapshot.ErrClosed)
	require.ErrorIs(t, w.WriteGroup(&snapshot.Group{}), snapshot.ErrClosed)
}

type failingSink struct{ err error }

func (s failingSink) WriteTopic(*snapshot.Topic) error { return s.err }
func (s failingSink) WriteGroup(*snapshot.Group) error { return s.err }

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Lines that are cut off anywhere are refused or reported as incomplete.
func TestJSONLinesCutOff(t *testing.T) {
	g := snapshottest.NewGenerator(t, true)
	lines := linesOf(t, g.State(1, 2))
	for n := 0; n < len(lines)-1; n += 1 + g.IntN(1+len(lines)/500) {
		_, report, err := fromLines(bytes.NewReader(lines[:n]), 0)
		require.True(t, err != nil || !report.Complete, "%d of %d", n, len(lines))
	}
}

// limitedWriter takes limit bytes and then, against the contract of io.Writer, fewer than it is given without an error.
type limitedWriter struct{ limit int }

func (w *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.limit)
	w.limit -= n
	return n, nil
}

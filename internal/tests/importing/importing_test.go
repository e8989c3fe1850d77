// Package importing tests imports into a store that is in use: all or nothing, and never visible half-done.
package importing_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func export(t testing.TB, db *storage.DB) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, db.Export(t.Context(), &b))
	return b.String()
}

// state returns what the store holds, without the time of the export.
func state(t testing.TB, db *storage.DB) string {
	t.Helper()
	_, lines, _ := strings.Cut(export(t, db), "\n")
	return lines
}

const header = `{"kind":"header","version":1,"taken_at":1700000000000}` + "\n"

func topicLine(name, rest string) string {
	return fmt.Sprintf(`{"kind":"topic","cluster":"local","name":%q,%s}`, name, rest) + "\n"
}

func groupLine(name, rest string) string {
	return fmt.Sprintf(`{"kind":"group","cluster":"local","name":%q,"last_commit":%d,"last_owner":null,%s}`, name,
		time.Now().UnixMilli(), rest) + "\n"
}

func endOffset(offset int64) string {
	return fmt.Sprintf(`"partition_count":1,"partitions":[{"partition":0,"end_offsets":[{"offset":%d,"timestamp":1}]}]`, offset)
}

func partitions(list string) string {
	return fmt.Sprintf(`"topics":[{"name":"live","partition_count":2,"last_commit":1,"partitions":[%s]}]`, list)
}

func commits(list string) string {
	return partitions(fmt.Sprintf(`{"partition":0,"commits":[%s]}`, list))
}

// Whatever is wrong in the last line, the lines before it change nothing, and the error names the line.
func TestRefusedImportChangesNothing(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{})
	ctx := t.Context()
	now := time.Now().UnixMilli()
	require.NoError(t, db.SetEndOffset(ctx, "local", "live", protocol.EndOffset{Offset: 1000, TopicPartitionCount: 2}))
	require.NoError(t, db.Commit(ctx, "local", "g", protocol.Commit{Topic: "live", Offset: 900, Order: 5, Timestamp: now}))
	before := state(t, db)

	var sound strings.Builder
	sound.WriteString(header)
	for i := range 9 {
		sound.WriteString(topicLine(fmt.Sprint("new-", i), endOffset(7)))
	}
	sound.WriteString(topicLine("live", endOffset(1)))
	sound.WriteString(groupLine("g", commits(`{"offset":1,"order":1,"timestamp":1}`)))
	long := strings.Repeat("n", 32_768)
	many := strings.TrimSuffix(strings.Repeat(`{"offset":1,"order":1,"timestamp":1},`, 1001), ",")
	var wide strings.Builder
	for i := range 9 {
		fmt.Fprintf(&wide, `{"name":"t%d","partition_count":1048576,"last_commit":1,"partitions":[]},`, i)
	}
	for name, test := range map[string]struct {
		line string
		text string // that the error has
		read bool   // the line is not valid JSON of the format, so the error is not ErrInvalid
	}{
		"incarnation of a group": {line: groupLine("h", partitions(`{"partition":0,"incarnation":300,"commits":[]}`)), text: "invalid incarnation 300"},
		"incarnation of a topic": {line: topicLine("u", `"partition_count":1,"partitions":[{"partition":0,"incarnation":300,"end_offsets":[]}]`),
			text: "invalid incarnation 300"},
		"orders descend":      {line: groupLine("h", commits(`{"offset":1,"order":9,"timestamp":1},{"offset":2,"order":8,"timestamp":2}`)), text: "invalid order 8"},
		"negative order":      {line: groupLine("h", commits(`{"offset":1,"order":-9,"timestamp":1}`)), text: "invalid order -9"},
		"negative commit":     {line: groupLine("h", commits(`{"offset":-1,"order":9,"timestamp":1}`)), text: "invalid commit -1"},
		"negative end offset": {line: topicLine("u", endOffset(-1)), text: "invalid end offset -1"},
		"1,001 commits":       {line: groupLine("h", commits(many)), text: "1001 commits"},
		"topic twice in a group": {line: groupLine("h", `"topics":[{"name":"live","partition_count":1,"last_commit":1,"partitions":[]},`+
			`{"name":"live","partition_count":1,"last_commit":1,"partitions":[]}]`), text: "twice"},
		"more partitions than a group has room for": {line: groupLine("h", `"topics":[`+strings.TrimSuffix(wide.String(), ",")+"]"), text: "room for 8388607"},
		"topic twice in the file":                   {line: topicLine("new-0", endOffset(1)), text: `duplicate topic "new-0"`},
		"group twice in the file":                   {line: groupLine("g", commits("")), text: `duplicate group "g"`},
		"long topic":                                {line: topicLine(long, endOffset(1)), text: "32768 bytes, must be at most 32767"},
		"long group":                                {line: groupLine(long, commits("")), text: "invalid group: 32768 bytes"},
		"long topic of a group": {line: groupLine("h", fmt.Sprintf(`"topics":[{"name":%q,"partition_count":1,"last_commit":1,"partitions":[]}]`, long)),
			text: "invalid topic: 32768 bytes"},
		"long owner":              {line: groupLine("h", partitions(fmt.Sprintf(`{"partition":0,"owner":%q,"commits":[]}`, long))), text: "invalid owner"},
		"long client id":          {line: groupLine("h", partitions(fmt.Sprintf(`{"partition":0,"client_id":%q,"commits":[]}`, long))), text: "invalid client id"},
		"partition out of range":  {line: groupLine("h", partitions(`{"partition":2,"commits":[]}`)), text: "partition 2", read: true},
		"partitions that descend": {line: groupLine("h", partitions(`{"partition":1,"commits":[]},{"partition":0,"commits":[]}`)), text: "ascend", read: true},
		"too many partitions":     {line: topicLine("u", `"partition_count":1048577,"partitions":[]`), text: "1048577", read: true},
		"curve":                   {line: topicLine("u", `"partition_count":1,"partitions":[{"partition":0,"end_offsets":[],"curve":"////"}]`), text: "line 13"},
		"not a line":              {line: "{\n", text: "line 13", read: true},
	} {
		err := db.Import(ctx, strings.NewReader(sound.String()+test.line))
		require.ErrorContains(t, err, "line 13", name)
		require.ErrorContains(t, err, test.text, name)
		if !test.read {
			require.ErrorIs(t, err, storage.ErrInvalid, name)
		}
		require.Equal(t, before, state(t, db), name)
	}
	require.NoError(t, db.Import(ctx, strings.NewReader(sound.String())))
	require.NotEqual(t, before, state(t, db))
}

// A group that is imported again and again while it commits and is read is always one of the two: the old one or the new one.
func TestImportIsNeverHalfVisible(t *testing.T) {
	t.Parallel()
	const partitions, imports = 20, 40
	db := testkit.OpenWith(t, storage.Options{})
	ctx := t.Context()
	now := time.Now().UnixMilli()
	for p := range int32(partitions) {
		require.NoError(t, db.SetEndOffset(ctx, "local", "t", protocol.EndOffset{Partition: p, Offset: 1 << 40, TopicPartitionCount: partitions}))
		require.NoError(t, db.Commit(ctx, "local", "g", protocol.Commit{Topic: "t", Partition: p, Offset: 10, Timestamp: now}))
	}
	// The second file has the offset 20 everywhere.
	first := export(t, db)
	second := strings.ReplaceAll(first, `"offset":10,`, `"offset":20,`)
	require.NotEqual(t, first, second)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	seen := make(chan error, 4)
	for range 2 {
		readers.Go(func() { seen <- read(ctx, db, partitions) })
	}
	for i := range imports {
		file := first
		if i%2 == 0 {
			file = second
		}
		require.NoError(t, db.Import(t.Context(), strings.NewReader(file)))
	}
	cancel()
	for range 2 {
		require.NoError(t, <-seen)
	}
}

// read reads the group and the topic until ctx is done, and returns an error for any answer that is neither from before nor
// from after an import.
func read(ctx context.Context, db *storage.DB, partitions int) error {
	var group protocol.Group
	for ctx.Err() == nil {
		if err := db.Group(context.Background(), "local", "g", &group); err != nil {
			return err
		}
		if len(group.Topics) != 1 || len(group.Topics[0].Partitions) != partitions {
			return fmt.Errorf("half a group: %v", group.Topics)
		}
		want := group.Topics[0].Partitions[0].Commits[0].Offset
		for p := range group.Topics[0].Partitions {
			part := &group.Topics[0].Partitions[p]
			if len(part.Commits) != 1 || part.Commits[0].Offset != want || len(part.EndOffsets) == 0 {
				return fmt.Errorf("partition %d has %v, %v", p, part.Commits, part.EndOffsets)
			}
		}
		offsets, err := db.EndOffsets(context.Background(), "local", "t", nil)
		if err != nil {
			return err
		}
		for p, offset := range offsets {
			if offset != 1<<40 {
				return fmt.Errorf("end offset of partition %d is %d", p, offset)
			}
		}
	}
	return nil
}

// While a file is imported again and again, no commit that is newer than those in the file is refused.
func TestImportRefusesNoLiveCommit(t *testing.T) {
	t.Parallel()
	const groups, partitions, imports = 8, 4, 10
	db := testkit.OpenWith(t, storage.Options{})
	ctx := t.Context()
	now := time.Now().UnixMilli()
	for p := range int32(partitions) {
		require.NoError(t, db.SetEndOffset(ctx, "local", "t", protocol.EndOffset{Partition: p, Offset: 1 << 40, TopicPartitionCount: partitions}))
		for g := range groups {
			// The partitions of a group come from different logs: one is far ahead of the others.
			order := int64(p)*1_000_000 + 1
			require.NoError(t, db.Commit(ctx, "local", fmt.Sprint("g", g), protocol.Commit{Topic: "t", Partition: p, Offset: 1, Order: order, Timestamp: now}))
		}
	}
	file := export(t, db)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	refused := make(chan error, groups)
	for g := range groups {
		writers.Go(func() {
			for i := int64(2); ; i++ {
				for p := range int32(partitions) {
					commit := protocol.Commit{Topic: "t", Partition: p, Offset: i, Order: int64(p)*1_000_000 + i, Timestamp: now + i}
					if err := db.Commit(context.Background(), "local", fmt.Sprint("g", g), commit); err != nil {
						refused <- fmt.Errorf("commit %d of partition %d: %w", i, p, err)
						return
					}
				}
				select {
				case <-stop:
					refused <- nil
					return
				default:
				}
			}
		})
	}
	for range imports {
		require.NoError(t, db.Import(ctx, strings.NewReader(file)))
	}
	close(stop)
	writers.Wait()
	for range groups {
		require.NoError(t, <-refused)
	}
}

// An import that runs while its topics are deleted leaves no group with a deleted topic.
func TestImportWhileTopicsAreDeleted(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{})
	ctx := t.Context()
	now := time.Now().UnixMilli()
	for i := range 20 {
		topic := fmt.Sprint("t", i)
		require.NoError(t, db.SetEndOffset(ctx, "local", topic, protocol.EndOffset{Offset: 9}))
		for g := range 10 {
			require.NoError(t, db.Commit(ctx, "local", fmt.Sprint("g", g), protocol.Commit{Topic: topic, Offset: 5, Timestamp: now}))
		}
	}
	file := export(t, db)
	var deleting sync.WaitGroup
	deleting.Go(func() {
		for range 20 {
			for i := range 20 {
				_ = db.DeleteTopic(ctx, "local", fmt.Sprint("t", i))
			}
		}
	})
	for range 20 {
		require.NoError(t, db.Import(ctx, strings.NewReader(file)))
	}
	deleting.Wait()
	for i := range 20 {
		_ = db.DeleteTopic(ctx, "local", fmt.Sprint("t", i))
	}
	stats, err := db.Stats()
	require.NoError(t, err)
	require.Zero(t, stats.Groups)
	require.Zero(t, stats.Topics)
}

// If the store is closed during an import, the import is complete or has changed nothing.
func TestImportWhileClosing(t *testing.T) {
	t.Parallel()
	source := testkit.OpenWith(t, storage.Options{})
	ctx := t.Context()
	require.NoError(t, source.SetEndOffset(ctx, "local", "t", protocol.EndOffset{Offset: 9}))
	for g := range 200 {
		require.NoError(t, source.Commit(ctx, "local", fmt.Sprint("g", g), protocol.Commit{Topic: "t", Offset: 5, Timestamp: time.Now().UnixMilli()}))
	}
	file := export(t, source)
	for range 20 {
		path := t.TempDir() + "/lag"
		options := storage.Options{Clusters: []string{"local"}, SnapshotPath: path, SnapshotInterval: -1}
		db, err := storage.Open(options)
		require.NoError(t, err)
		done := make(chan error)
		go func() { done <- db.Import(ctx, strings.NewReader(file)) }()
		require.NoError(t, db.Close())
		err = <-done
		db, err2 := storage.Open(options)
		require.NoError(t, err2)
		if err == nil {
			require.Equal(t, 200, db.Restored().Groups)
		} else {
			require.ErrorIs(t, err, storage.ErrStopped)
			require.Zero(t, db.Restored().Groups)
		}
		require.NoError(t, db.Close())
	}
}

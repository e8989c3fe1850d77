package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/snapshot/jsonl"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestExportImport moves everything from one store to another.
func TestExportImport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	synctest.Test(t, func(t *testing.T) {
		from := startKeeper(t, "", "intervals", 3)
		h := newHistory(testkit.Seed(t), time.Now().Add(-time.Hour).UnixMilli())
		h.tell(from, 500)
		var lines bytes.Buffer
		require.NoError(t, from.Export(ctx, &lines))
		to := startKeeper(t, snapshotPath(t), "intervals", 3, "workers", 2)
		require.NoError(t, to.Import(ctx, bytes.NewReader(lines.Bytes())))
		sameHeld(t, from.held(false), to.held(false), "after an import")

		// Imported state is kept.
		require.NoError(t, to.Stop())
		to.Configure("test", "storage.test")
		require.NoError(t, to.Start())
		sameHeld(t, from.held(false), to.held(false), "after a restart")
	})
}

// TestImportReplaces replaces groups and topics by imported ones of the same names, and leaves the others alone.
func TestImportReplaces(t *testing.T) {
	t.Parallel()
	ctx, now := context.Background(), time.Now().UnixMilli()
	from, to := startKeeper(t, "", "intervals", 3), startKeeper(t, "", "intervals", 3, "group-denylist", "^refused$")
	for _, k := range []*keeper{from, to} {
		require.NoError(t, k.do(testkit.EndOf("shared", 0, 1, 100)))
	}
	require.NoError(t, from.do(testkit.EndOf("shared", 0, 1, 200)))
	for _, group := range []string{"shared", "refused", "gone"} {
		require.NoError(t, from.do(testkit.CommitOf(group, "shared", 0, 150, 10, now)))
	}
	require.NoError(t, from.do(&protocol.StorageRequest{RequestType: protocol.StorageSetDeleteGroup, Cluster: "local", Group: "gone"}))
	require.NoError(t, to.do(testkit.EndOf("own", 0, 1, 100)))
	for _, group := range []string{"shared", "own", "gone"} {
		require.NoError(t, to.do(testkit.CommitOf(group, "own", 0, 50, 20, now)))
		require.NoError(t, to.do(testkit.CommitOf(group, "shared", 0, 50, 21, now)))
	}
	var lines bytes.Buffer
	require.NoError(t, from.Export(ctx, &lines))
	require.NotContains(t, lines.String(), "gone", "remembered deletions are not exported")
	require.NoError(t, to.Import(ctx, &lines))

	require.Equal(t, []string{"gone", "own", "shared"}, to.names(protocol.StorageFetchConsumers, "local", ""))
	shared := to.ask(protocol.StorageFetchConsumer, "local", "shared", "").(protocol.ConsumerTopics)
	require.Len(t, shared, 1)
	require.Equal(t, []int64{100, 200}, shared["shared"][0].BrokerOffsets)
	require.EqualValues(t, 150, shared["shared"][0].Offsets[2].Offset)
	own := to.ask(protocol.StorageFetchConsumer, "local", "own", "").(protocol.ConsumerTopics)
	require.EqualValues(t, 50, own["own"][0].Offsets[2].Offset)
	require.EqualValues(t, 150, own["shared"][0].CurrentLag)
}

// TestImportOfABadLine changes nothing and names the line.
func TestImportOfABadLine(t *testing.T) {
	t.Parallel()
	ctx, now := context.Background(), time.Now().UnixMilli()
	from, to := startKeeper(t, ""), startKeeper(t, "")
	for i := range 3 {
		require.NoError(t, from.do(testkit.EndOf(fmt.Sprint("topic", i), 0, 1, 100)))
		require.NoError(t, from.do(testkit.CommitOf(fmt.Sprint("group", i), fmt.Sprint("topic", i), 0, 150, 10, now)))
	}
	require.NoError(t, to.do(testkit.EndOf("own", 0, 1, 100)))
	held := to.held(true)
	var exported bytes.Buffer
	require.NoError(t, from.Export(ctx, &exported))
	sound := strings.SplitAfter(strings.TrimSuffix(exported.String(), "\n"), "\n")
	for i := range sound {
		for name, line := range map[string]string{
			"cut": sound[i][:len(sound[i])/2], "missing": "", "of another kind": `{"kind":"what"}`, "no JSON": "no JSON",
		} {
			if i == len(sound)-1 && line == "" {
				continue
			}
			lines := append(append([]string{}, sound[:i]...), line)
			lines = append(append(lines, "\n"), sound[i+1:]...)
			err := to.Import(ctx, strings.NewReader(strings.Join(lines, "")))
			require.Error(t, err, "line %d %s", i+1, name)
			var of *jsonl.LineError
			if name != "missing" {
				require.True(t, errors.As(err, &of), "line %d %s: %v", i+1, name, err)
				require.Equal(t, i+1, of.Line, name)
			}
			require.Equal(t, held, to.held(true), "line %d %s", i+1, name)
		}
	}

	// Without its last line an export may have been cut off, or changed by a script: it is taken, with a warning.
	require.NoError(t, to.Import(ctx, strings.NewReader(strings.Join(sound, ""))))
	require.Empty(t, to.logs.FilterLevelExact(zapcore.WarnLevel).All())
	require.NoError(t, to.Import(ctx, strings.NewReader(strings.Join(sound[:len(sound)-1], ""))))
	require.Len(t, to.logs.FilterLevelExact(zapcore.WarnLevel).All(), 1)
}

// cancelling is a reader and writer that cancels a context when it is first used.
type cancelling struct {
	strings.Reader
	cancel context.CancelFunc
}

func (c *cancelling) Write(p []byte) (int, error) {
	c.cancel()
	return len(p), nil
}

func (c *cancelling) Read(p []byte) (int, error) {
	c.cancel()
	return c.Reader.Read(p)
}

// TestExportCancelled ends an export and an import whose context is done, before they begin and in the middle.
func TestExportCancelled(t *testing.T) {
	t.Parallel()
	k := startKeeper(t, "")
	for i := range 1500 {
		require.NoError(t, k.do(testkit.EndOf(fmt.Sprint("topic", i), 0, 1, 100)))
	}
	var exported bytes.Buffer
	require.NoError(t, k.Export(context.Background(), &exported))
	held := k.exported(true)
	for _, before := range []bool{true, false} {
		for _, call := range []func(context.Context, *cancelling) error{
			func(ctx context.Context, c *cancelling) error { return k.Export(ctx, c) },
			func(ctx context.Context, c *cancelling) error { return k.Import(ctx, c) },
		} {
			ctx, cancel := context.WithCancel(context.Background())
			if before {
				cancel()
			}
			c := &cancelling{Reader: *strings.NewReader(exported.String()), cancel: cancel}
			require.ErrorIs(t, call(ctx, c), context.Canceled)
			cancel()
		}
	}
	require.Equal(t, held, k.exported(true))
	require.NoError(t, k.Stop())
	require.ErrorIs(t, k.Export(context.Background(), &exported), storage.ErrStopped)
	require.ErrorIs(t, k.Import(context.Background(), &exported), storage.ErrStopped)
}

// failingWriter fails.
type failingWriter struct{ error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.error }

func TestExportWriterFails(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	require.ErrorIs(t, startKeeper(t, "").Export(context.Background(), failingWriter{full}), full)
}

// TestImportIsCheckedBeforeItChangesAnything imports lines that are well-formed JSON and cannot be loaded.
func TestImportIsCheckedBeforeItChangesAnything(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"curve":       `{"kind":"topic","cluster":"local","name":"topic","partition_count":1,"partitions":[{"partition":0,"incarnation":0,"log_start":0,"end_offsets":[{"offset":9,"timestamp":1}],"curve":"AAAA"}]}`,
		"topic twice": `{"kind":"group","cluster":"local","name":"group","last_commit":1,"last_owner":null,"topics":[{"name":"topic","partition_count":1,"last_commit":1,"partitions":[]},{"name":"topic","partition_count":1,"last_commit":1,"partitions":[]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := viper.New()
			v.Set("cluster.local.class-name", "kafka")
			m := &storage.InMemoryStorage{Viper: v}
			m.Configure("test", "storage.test")
			require.NoError(t, m.Start())
			defer func() { require.NoError(t, m.Stop()) }()
			ctx := context.Background()
			require.NoError(t, m.Store().SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Offset: 5}))
			var before, after bytes.Buffer
			require.NoError(t, m.Store().(storage.Persistent).Export(ctx, &before))
			header, _, _ := strings.Cut(before.String(), "\n")
			err := m.Store().(storage.Persistent).Import(ctx, strings.NewReader(header+"\n"+line+"\n"))
			require.ErrorContains(t, err, "line 2")
			require.ErrorContains(t, err, map[string]string{"curve": "partition 0", "topic twice": "twice"}[name])
			offsets, err := m.Store().EndOffsets(ctx, "local", "topic", nil)
			require.NoError(t, err)
			require.Equal(t, []int64{5}, offsets)
			require.NoError(t, m.Store().(storage.Persistent).Export(ctx, &after))
		})
	}
}

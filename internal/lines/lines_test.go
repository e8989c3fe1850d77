package lines

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// hooked returns a logger that calls hook with each line that it writes, and the lines that it has written.
func hooked(hook func(zapcore.Entry)) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return Log(zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		hook(e)
		return nil
	}))), logs
}

func messages(logs *observer.ObservedLogs) (messages []string) {
	for _, line := range logs.All() {
		messages = append(messages, line.Message)
	}
	return messages
}

func TestLinesInTheirOrder(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	log := Log(zap.New(core, zap.AddCaller())).With(zap.Int("a", 1))
	require.Same(t, log, Log(log), "lines of lines")
	log.Debug("not written")
	var want []string
	for i := range 3000 {
		log.Info(string(rune('a'+i%26)), zap.Int("i", i))
		want = append(want, string(rune('a'+i%26)))
	}
	Flush(log, Patience)
	require.Equal(t, want, messages(logs))
	last := logs.All()[2999]
	require.Equal(t, map[string]any{"a": int64(1), "i": int64(2999)}, last.ContextMap())
	require.Contains(t, last.Caller.File, "lines_test.go")
	require.Zero(t, Faults(log))
	require.NoError(t, log.Sync())
}

func TestNoLogger(t *testing.T) {
	t.Parallel()
	log := Log(nil)
	log.Info("nobody")
	Flush(log, Patience)
	require.Zero(t, Faults(log))
}

// TestHookLogs lets a hook log and flush. The flush does nothing: the hook's own line would wait for itself.
func TestHookLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log *zap.Logger
		log, logs := hooked(func(e zapcore.Entry) {
			if e.Message == "outer" {
				log.Info("inner")
				Flush(log, time.Hour)
				_ = log.Sync()
			}
		})
		begun := time.Now()
		log.Info("outer")
		Flush(log, Patience)
		synctest.Wait()
		require.Equal(t, []string{"outer", "inner"}, messages(logs))
		require.Zero(t, time.Since(begun), "a flush waited")
	})
}

// TestHookThatAlwaysLogs limits the lines of a hook that logs on its own lines.
func TestHookThatAlwaysLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log *zap.Logger
		log, logs := hooked(func(zapcore.Entry) {
			log.Info("again")
			log.Info("again")
		})
		log.Info("first")
		synctest.Wait()
		require.Len(t, messages(logs), 1+2+4+8+16)
		require.EqualValues(t, 32, Faults(log))
		log.Info("first")
		synctest.Wait()
		require.Len(t, messages(logs), 2*(1+2+4+8+16), "a new line may be followed by as many")
	})
}

// TestHookThatWaits has a hook that waits for what the sender of its line does next: no lock of the sender is in its way, and
// flushes meanwhile give up once for all lines.
func TestHookThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		release := make(chan struct{})
		log, logs := hooked(func(zapcore.Entry) {
			mu.Lock()
			defer mu.Unlock()
			<-release
		})
		func() {
			mu.Lock()
			defer mu.Unlock()
			log.Info("one")
		}()
		log.Info("two")
		begun := time.Now()
		Flush(log, Patience)
		require.Equal(t, Patience, time.Since(begun))
		Flush(log, Patience)
		require.Equal(t, Patience, time.Since(begun), "another flush waited for the same line again")
		close(release)
		synctest.Wait()
		Flush(log, Patience)
		require.Len(t, messages(logs), 2)
		require.Zero(t, Faults(log))
	})
}

// TestLoggerThatDoesNotReturn keeps a limited number of lines, counts the others, and makes their senders wait once.
func TestLoggerThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		log, logs := hooked(func(zapcore.Entry) { <-release })
		log.Info("the first")
		synctest.Wait()
		begun := time.Now()
		for range maxQueued + 500 {
			log.Info("another")
		}
		require.Equal(t, Patience, time.Since(begun))
		require.EqualValues(t, 500, Faults(log))
		close(release)
		synctest.Wait()
		Flush(log, Patience)
		require.Len(t, messages(logs), maxQueued+1)
	})
}

// TestSlowLogger writes every line of a slow logger: the sender waits for room.
func TestSlowLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, logs := hooked(func(zapcore.Entry) { <-time.After(Patience / 2) })
		for range 2 * maxQueued {
			log.Info("line")
		}
		Flush(log, Patience)
		require.Len(t, messages(logs), 2*maxQueued)
		require.Zero(t, Faults(log))
	})
}

type panicking struct{ zapcore.Core }

func (panicking) Write(zapcore.Entry, []zapcore.Field) error { panic(errors.New("broken")) }

func (p panicking) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, p)
}

func (panicking) Enabled(zapcore.Level) bool { return true }

func (panicking) With([]zapcore.Field) zapcore.Core { panic("broken") }

func (panicking) Sync() error { panic("broken") }

// TestPanics checks that a panicking logger ends neither the process nor the writing of later lines.
func TestPanics(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	log := Log(zap.New(zapcore.NewTee(core, panicking{})))
	for range 3 {
		log.Info("line")
	}
	Flush(log, Patience)
	require.EqualValues(t, 3, Faults(log))
	require.Len(t, messages(logs), 3)
	log.With(zap.Int("a", 1)).Info("line")
	_ = log.Sync()
	Flush(log, Patience)
	require.Greater(t, Faults(log), uint64(3))
	require.False(t, Log(zap.New(nilCore{})).Core().Enabled(zap.InfoLevel))
}

// nilCore panics whatever is called.
type nilCore struct{ zapcore.Core }

// TestManySenders writes the lines of each sender in their order.
func TestManySenders(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	log := Log(zap.New(core))
	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			for i := range 500 {
				log.Info("line", zap.Int("sender", sender), zap.Int("i", i))
				if i%100 == 0 {
					Flush(log, Patience)
				}
			}
		})
	}
	senders.Wait()
	Flush(log, Patience)
	next := map[int64]int64{}
	for _, line := range logs.All() {
		fields := line.ContextMap()
		sender := fields["sender"].(int64)
		require.Equal(t, next[sender], fields["i"])
		next[sender]++
	}
	require.Len(t, logs.All(), 8*500)
}

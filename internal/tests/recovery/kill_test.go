package recovery_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapfile"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// The parameters of a child.
const (
	childRole  = "STORAGE_TEST_CHILD"
	childPath  = "STORAGE_TEST_CHILD_PATH"
	childSeed  = "STORAGE_TEST_CHILD_SEED"
	childStart = "STORAGE_TEST_CHILD_START"
	// childFrom is the place in the history from which it reads again, childUntil the place at which it has caught up.
	childFrom  = "STORAGE_TEST_CHILD_FROM"
	childUntil = "STORAGE_TEST_CHILD_UNTIL"
)

// killsVariable is the number of kills of TestKill.
const killsVariable = "STORAGE_TEST_KILLS"

// child starts this test binary again in a role. It ends when its stdin is closed, if not before.
func child(t testing.TB, role, path string, more ...string) (cmd *exec.Cmd, out *bufio.Reader, stdin io.Closer) {
	t.Helper()
	cmd = exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(append(os.Environ(), childRole+"="+role, childPath+"="+path), more...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewReader(pipe), stdin
}

// TestChild is the code of a child.
func TestChild(t *testing.T) {
	role := os.Getenv(childRole)
	if role == "" {
		t.Skip("run by other tests in a process of its own")
	}
	k := startKeeper(t, os.Getenv(childPath), killSettings...)
	fmt.Println("started")
	if role == "live" {
		live(t, k)
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
}

// killSettings make windows that fill, and snapshots only when the test takes them.
var killSettings = []any{"intervals", 3, "min-distance", 1, "workers", 3, "snapshot-interval", 0, "expire-group", testkit.Centuries}

// live carries out its history for ever, while another goroutine takes one snapshot after the other.
func live(t *testing.T, k *keeper) {
	number := func(variable string) int64 {
		n, err := strconv.ParseInt(os.Getenv(variable), 10, 64)
		require.NoError(t, err, variable)
		return n
	}
	h := mortalHistory(number(childSeed), number(childStart))
	from, until := int(number(childFrom)), int(number(childUntil))
	h.fill(until)
	again := h.recover(t, k)
	again.before(k, from)
	for ; from < 2*h.topics*4; from++ {
		again.one(k, from)
	}
	// The requests keep pace with the snapshots: some come during one, some between two.
	pace := make(chan struct{})
	go func() {
		for {
			fmt.Println("begin")
			pace <- struct{}{}
			if err := k.Snapshot(context.Background()); err != nil {
				panic(err)
			}
			fmt.Println("saved", k.stats().Snapshots.Saved)
			pace <- struct{}{}
		}
	}()
	for i := from; ; i++ {
		if i >= until {
			k.ReplayDone()
		}
		if i%20 == 0 {
			<-pace
			if i >= until {
				fmt.Println("at", i, time.Now().UnixMilli())
			}
		}
		again.one(k, i)
	}
}

// fill adds requests until there are n.
func (h *history) fill(n int) {
	for len(h.requests) < n {
		h.next()
	}
}

// recovery replays an exact history into a store that was restored.
type recovery struct {
	*history
	// topics is the place up to which each topic was in the snapshot, groups the same for each group, whose name is in the
	// field of the topic.
	topics, groups map[place]int64
}

// recover finds out how much of an exact history a store knows. An application need not: it fetches the current end offsets,
// topics and owners from Kafka, where the test has only the history.
func (h *history) recover(t testing.TB, k *keeper) recovery {
	t.Helper()
	r := recovery{h, map[place]int64{}, map[place]int64{}}
	for _, line := range k.exported(true) {
		var record struct {
			Kind, Cluster, Name string
			Partitions          []struct {
				EndOffsets []struct{ Timestamp int64 } `json:"end_offsets"`
			}
			Topics []struct {
				Partitions []struct{ Commits []struct{ Order int64 } }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		at := place{cluster: record.Cluster, topic: record.Name}
		switch record.Kind {
		case "topic":
			for _, p := range record.Partitions {
				for _, end := range p.EndOffsets {
					r.topics[at] = max(r.topics[at], end.Timestamp-h.start)
				}
			}
		case "group":
			// The order of a commit is its place plus one.
			known := int64(-1)
			for _, topic := range record.Topics {
				for _, p := range topic.Partitions {
					for _, c := range p.Commits {
						known = max(known, c.Order-1)
					}
				}
			}
			r.groups[at] = known
		}
	}
	return r
}

// one carries out the request at a place, unless it is no commit and the store has its effect.
func (r recovery) one(k *keeper, i int) {
	r.fill(i + 1)
	request := r.requests[i]
	if r.refused[i] {
		return
	}
	if request.RequestType == protocol.StorageSetConsumerOffset {
		_ = k.do(request)
		return
	}
	if request.Group != "" {
		if known, is := r.groups[place{cluster: request.Cluster, topic: request.Group}]; !is || known < int64(i) {
			_ = k.do(request)
		}
		return
	}
	if known, is := r.topics[place{cluster: request.Cluster, topic: request.Topic}]; !is || known < int64(i) {
		_ = k.do(request)
	}
}

// run carries out the requests from one place to another, after the commits from a little before.
func (r recovery) run(k *keeper, from, until int) {
	r.before(k, from)
	for i := from; i < until; i++ {
		r.one(k, i)
	}
}

// before carries out the commits from a little before a place.
func (r recovery) before(k *keeper, from int) {
	r.fill(from)
	for i := max(0, from-50); i < from; i++ {
		if r.logged[i] {
			_ = k.do(r.requests[i])
		}
	}
}

// mortal is a store that lives in one child after the other, each of which is killed.
type mortal struct {
	*history
	seed  int64
	path  string
	never *keeper // never crashed
	told  int     // how much of the history never has seen

	sequence uint64
	reached  int
	index    []indexEntry
}

// indexEntry says that everything before a place had been carried out before a moment, like the index of a log.
type indexEntry struct {
	place        int
	milliseconds int64
}

// from returns the place from which a reader begins again.
func (m *mortal) from(watermark time.Time) int {
	from := 0
	for _, e := range m.index {
		if !watermark.IsZero() && e.milliseconds < watermark.UnixMilli() {
			from = e.place
		}
	}
	return from
}

// TestKill kills a process that carries out its history and takes one snapshot after the other, at any moment, again and
// again. Every restart loads a sound snapshot, no older than the last that was completed; and after the rest of the history
// the store equals one that never crashed. The long run:
//
//	STORAGE_TEST_KILLS=1000 go test -run '^TestKill$' -timeout 60m -v ./internal/tests/recovery
func TestKill(t *testing.T) {
	t.Parallel()
	kills := 15
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err, killsVariable)
	}
	random := rand.New(rand.NewPCG(testkit.Seed(t), 0))
	var m *mortal
	snapshots, worlds, places := uint64(0), 0, 0
	for range kills {
		if m == nil || m.reached > 5_000 {
			m = newMortal(t, random)
			worlds++
		}
		before, reached := m.sequence, m.reached
		m.liveAndDie(t, random)
		m.check(t)
		snapshots += m.sequence - before
		places += m.reached - reached
	}
	t.Logf("%d kills, %d histories, %d requests, %d snapshots loaded or replaced", kills, worlds, places, snapshots)
}

func newMortal(t *testing.T, random *rand.Rand) *mortal {
	m := &mortal{seed: random.Int64(), path: snapshotPath(t), never: startKeeper(t, "", killSettings...)}
	m.history = mortalHistory(m.seed, time.Now().Add(-time.Hour).UnixMilli())
	return m
}

func mortalHistory(seed, start int64) *history {
	h := newHistory(uint64(seed), start)
	h.exact, h.groups = true, 40
	return h
}

// liveAndDie runs a child until it is killed.
func (m *mortal) liveAndDie(t *testing.T, random *rand.Rand) {
	k := startKeeper(t, m.path, killSettings...)
	watermark := k.Restored().Watermark
	require.NoError(t, k.Stop())
	from := m.from(watermark)
	cmd, out, stdin := child(t, "live", m.path, fmt.Sprint(childSeed, "=", m.seed), fmt.Sprint(childStart, "=", m.start),
		fmt.Sprint(childFrom, "=", from), fmt.Sprint(childUntil, "=", m.reached))
	before := m.sequence
	lines := 1 + random.IntN(60)
	for n := 0; ; n++ {
		line, err := out.ReadString('\n')
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		var e indexEntry
		if got, _ := fmt.Sscanf(line, "at %d %d", &e.place, &e.milliseconds); got == 2 {
			m.index, m.reached = append(m.index, e), e.place
		}
		if saved, is := strings.CutPrefix(line, "saved "); is {
			count, err := strconv.ParseUint(strings.TrimSpace(saved), 10, 64)
			require.NoError(t, err)
			m.sequence = before + count
		}
		if n == lines {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	err := cmd.Wait()
	_ = stdin.Close()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit) && !exit.Exited(), "the child ended by itself: %v", err)
}

// check restores a copy of what the child has left, carries out the rest of the history, and compares.
func (m *mortal) check(t *testing.T) {
	header := snapshot.Header{}
	// A kill between the two renames of a save leaves only the previous snapshot.
	for _, name := range []string{m.path, m.path + ".prev"} {
		if _, err := os.Stat(name); err == nil {
			header, _, err = snapfile.Verify(t.Context(), name, snapfile.Options{})
			require.NoError(t, err)
			break
		}
	}
	require.GreaterOrEqual(t, header.Sequence, m.sequence, "a snapshot that was completed is lost")
	require.LessOrEqual(t, header.Sequence, m.sequence+1)
	m.sequence = header.Sequence

	dead := keeper{t: t, path: m.path}
	k := startKeeper(t, dead.crashed(), killSettings...)
	require.Empty(t, k.Restored().Damaged)
	until := max(m.told, m.reached+100)
	m.recover(t, k).run(k, m.from(k.Restored().Watermark), until)
	m.fill(until)
	m.goOn(m.never, m.told, until)
	m.told = until
	sameHeld(t, m.never.exportedMeanwhile(), k.exportedMeanwhile(), fmt.Sprintf(
		"history %d, read again from %d, crash after %d, compared at %d", m.seed, m.from(k.Restored().Watermark), m.reached, until))
	require.NoError(t, k.Stop())
}

package snapfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

// killsOf returns how often TestKill kills: SNAPSHOT_KILLS times, else 25, or 10 if the race detector slows it down.
func killsOf(t *testing.T) int {
	if s := os.Getenv("SNAPSHOT_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	if snapshottest.RaceEnabled {
		return 10
	}
	return 25
}

// grown is the state of the kill test: every record follows from the sequence number, and there are a few blocks.
func grown(sequence uint64) *snapshottest.State {
	g := snapshottest.SeededGenerator(sequence)
	s := g.State(3, 100)
	s.Header = snapshot.Header{TakenAt: snapshottest.Now, Intervals: 10, Sequence: sequence}
	big := snapshot.Group{Cluster: "c", Name: "big", LastCommit: snapshottest.Now, LastOwner: snapshot.Never}
	topic := snapshot.GroupTopic{Name: "t", PartitionCount: 2000, LastCommit: snapshot.Never}
	for n := range int32(100 + g.IntN(1900)) {
		topic.Partitions = append(topic.Partitions, snapshot.GroupPartition{Number: n, Commits: g.Window(20)})
	}
	big.Topics = append(big.Topics, topic)
	s.Groups = append(s.Groups, big)
	return s
}

func child(t *testing.T, role, path string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SNAPSHOT_CHILD="+role, "SNAPSHOT_PATH="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	_, err = cmd.StdinPipe() // ends with Wait
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewReader(out)
}

// childSaves loads, then saves one snapshot after the other until it is killed. It says on stdout what it does: "start 7",
// the name of each operation, "done 7".
func childSaves(path string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	if _, err := Lock(path); err != nil {
		return fail(err)
	}
	sequence := uint64(0)
	if _, err := Load(path, Options{}, func(r *snapshot.Reader) error {
		sequence = r.Header().Sequence
		return nil
	}); err != nil {
		return fail(err)
	}
	saying := hookFS{OS{}, func(op, _ string) error {
		fmt.Println(op)
		return nil
	}}
	for {
		sequence++
		s := grown(sequence)
		fmt.Println("start", sequence)
		if _, err := Save(path, s.Header, s.Fill, Options{FS: saying}); err != nil {
			return fail(err)
		}
		fmt.Println("done", sequence)
	}
}

// A child is killed at a random moment of its saving, again and again. Every time the snapshot that is loaded is sound,
// and the last that was completed or the one in flight. The long run:
//
//	SNAPSHOT_KILLS=1000 go test -run TestKill -timeout 30m -v ./internal/snapfile
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	kills, inFlight := killsOf(t), 0
	last := uint64(0)
	for range kills {
		cmd, out := child(t, "save", path)
		// Killed after so many lines and however much the child does until the signal is there.
		lines := 1 + r.IntN(200)
		started, done := last, last
		for n := 0; ; n++ {
			line, err := out.ReadString('\n')
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
			if number, is := strings.CutPrefix(line, "start "); is {
				started = parse(t, number)
			}
			if number, is := strings.CutPrefix(line, "done "); is {
				done = parse(t, number)
			}
			if n == lines {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit) && !exit.Exited(), "the child ended by itself: %v", err)

		lock, err := Lock(path)
		require.NoError(t, err, "the lock ends with the process")
		got := &snapshottest.State{}
		report, err := Load(path, Options{}, func(r *snapshot.Reader) error {
			*got = snapshottest.State{Header: r.Header()}
			return r.Read(t.Context(), got)
		})
		require.NoError(t, err)
		require.NoError(t, lock.Unlock())
		require.Empty(t, report.Damaged)
		require.Empty(t, report.Warnings)
		sequence := got.Header.Sequence
		require.GreaterOrEqual(t, sequence, done, "what was completed is there")
		require.LessOrEqual(t, sequence, started)
		if sequence > 0 {
			require.Equal(t, grown(sequence), got)
		}
		if sequence > done || started > done {
			inFlight++
		}
		last = sequence
	}
	t.Logf("%d kills, %d in the middle of a save, %d snapshots", kills, inFlight, last)
	names, err := OS{}.Names(filepath.Dir(path))
	require.NoError(t, err)
	require.Subset(t, []string{"state", "state.prev", "state.lock"}, names)
}

func parse(t *testing.T, line string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	require.NoError(t, err)
	return n
}

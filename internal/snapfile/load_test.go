package snapfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[at] ^= 1
	require.NoError(t, os.WriteFile(name, b, 0o600))
}

func TestLoadNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	report, err := Load(path, Options{}, func(*snapshot.Reader) error { panic("nothing to apply") })
	require.NoError(t, err)
	require.Equal(t, LoadReport{}, report)
	require.Equal(t, "empty", report.Source.String())
}

func TestLoadNewestElsePreviousElseNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	at := func() int64 { return 1234 }
	load := func() (uint64, LoadReport) {
		sequence := uint64(0)
		report, err := Load(path, Options{UnixMilli: at}, func(r *snapshot.Reader) error {
			if err := r.Read(t.Context(), nowhere{}); err != nil {
				return err
			}
			sequence = r.Header().Sequence
			return nil
		})
		require.NoError(t, err)
		return sequence, report
	}
	require.NoError(t, saveNumbered(OS{}, path, 1))
	require.NoError(t, saveNumbered(OS{}, path, 2))
	got, report := load()
	require.EqualValues(t, 2, got)
	require.Equal(t, Newest, report.Source)
	require.Equal(t, path, report.File)

	flip(t, path, 50)
	damaged, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".damaged-1234", []byte("of another day"), 0o600))
	got, report = load()
	require.EqualValues(t, 1, got)
	require.Equal(t, Previous, report.Source)
	require.Equal(t, path+".prev", report.File)
	require.Len(t, report.Damaged, 1)
	require.Equal(t, path, report.Damaged[0].File)
	require.Equal(t, path+".damaged-1234-2", report.Damaged[0].SetAside)
	var corrupt *snapshot.CorruptError
	require.ErrorAs(t, report.Damaged[0].Err, &corrupt)
	kept, err := os.ReadFile(path + ".damaged-1234-2")
	require.NoError(t, err)
	require.Equal(t, damaged, kept)
	other, err := os.ReadFile(path + ".damaged-1234")
	require.NoError(t, err)
	require.Equal(t, "of another day", string(other))

	got, report = load()
	require.EqualValues(t, 1, got, "until the next save")
	require.Empty(t, report.Damaged)

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	flip(t, path+".prev", 60)
	got, report = load()
	require.Zero(t, got)
	require.Equal(t, Empty, report.Source)
	require.Len(t, report.Damaged, 2)
	require.Equal(t, path+".damaged-1234-3", report.Damaged[0].SetAside)
	require.Equal(t, path+".prev.damaged-1234", report.Damaged[1].SetAside)
	require.ErrorContains(t, report.Damaged[0].Err, "empty")

	require.NoError(t, saveNumbered(OS{}, path, 9))
	got, _ = load()
	require.EqualValues(t, 9, got)
}

// Damage in any byte of the newest: the one before is loaded, and nothing wrong ever.
func TestLoadAfterEveryByteIsDamaged(t *testing.T) {
	m := newMemFS()
	require.NoError(t, saveNumbered(m, "state", 1))
	require.NoError(t, saveNumbered(m, "state", 2))
	for i := range m.live["state"].data {
		for _, damage := range []func(b []byte) []byte{
			func(b []byte) []byte { b[i] ^= 1 << (i % 8); return b },
			func(b []byte) []byte { return b[:i] },
		} {
			c := m.killed()
			c.live["state"].data = damage(c.live["state"].data)
			got, report := loadNumbered(t, c, "state")
			require.EqualValues(t, 1, got)
			require.Len(t, report.Damaged, 1)
			require.NotEmpty(t, report.Damaged[0].SetAside)
		}
	}
}

func makeForeign(t *testing.T, name string) []byte {
	t.Helper()
	m := newMemFS()
	require.NoError(t, saveNumbered(m, "state", 1))
	b := append(m.live["state"].data[:16:16], "a format nobody has thought of"...)
	b[8] += 2
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], crc32.MakeTable(crc32.Castagnoli)))
	require.NoError(t, os.WriteFile(name, b, 0o600))
	return b
}

// What another release wrote is neither loaded, nor set aside, nor replaced, wherever it stands.
func TestForeignVersionIsLeftAlone(t *testing.T) {
	for _, c := range []struct{ future, other string }{{"", ".prev"}, {".prev", ""}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "state")
		require.NoError(t, saveNumbered(OS{}, path+c.other, 1))
		for _, damaged := range []bool{false, true} {
			if damaged {
				flip(t, path+c.other, 70)
			}
			want := makeForeign(t, path+c.future)
			before, err := OS{}.Names(dir)
			require.NoError(t, err)

			var version *snapshot.VersionError
			_, err = Load(path, Options{}, func(*snapshot.Reader) error { panic("not to be applied") })
			require.ErrorAs(t, err, &version)
			require.ErrorContains(t, err, path+c.future)
			require.Equal(t, version.Known+2, version.Version)
			require.ErrorAs(t, saveNumbered(OS{}, path, 2), &version)
			_, _, err = Verify(t.Context(), path+c.future, Options{})
			require.ErrorAs(t, err, &version)

			after, err := OS{}.Names(dir)
			require.NoError(t, err)
			require.Equal(t, before, after)
			b, err := os.ReadFile(path + c.future)
			require.NoError(t, err)
			require.Equal(t, want, b)
		}
	}
}

// Which one is the newest is a matter of names, not of clocks.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for n, at := range []int64{snapshottest.Now, snapshottest.Now - 3_600_000, -5, snapshottest.Now + 1, 0} {
		s := numbered(uint64(n + 1))
		s.Header.TakenAt = at
		_, err := Save(path, s.Header, s.Fill, Options{UnixMilli: func() int64 { return at }})
		require.NoError(t, err)
		report, err := Load(path, Options{}, func(*snapshot.Reader) error { return nil })
		require.NoError(t, err)
		require.Equal(t, s.Header, report.Header)
		header, sum, err := Verify(t.Context(), path, Options{})
		require.NoError(t, err)
		require.Equal(t, s.Header, header)
		require.Equal(t, report.Summary, sum)
		if n > 0 {
			before, _, err := Verify(t.Context(), path+".prev", Options{})
			require.NoError(t, err)
			require.EqualValues(t, n, before.Sequence)
		}
	}
}

func TestLoadRemovesTemporaryFilesOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	require.NoError(t, saveNumbered(OS{}, path, 1))
	keep := []string{"state", "state.lock", "state.tmp-", "state.tmp-x", "state.tmp-1.gz", "other.tmp-1", "state2"}
	for _, name := range append(keep[1:], "state.tmp-1", "state.tmp-0098") {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	got, report := loadNumbered(t, OS{}, path)
	require.EqualValues(t, 1, got)
	require.ElementsMatch(t, []string{path + ".tmp-1", path + ".tmp-0098"}, report.Removed)
	left, err := OS{}.Names(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, keep, left)
}

// What is there and cannot be opened is no reason to begin empty and replace it.
func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "sub"), 0o700))
	_, err := Load(path, Options{}, func(*snapshot.Reader) error { panic("not to be applied") })
	require.ErrorContains(t, err, "not a regular file")
	require.Error(t, saveNumbered(OS{}, path, 1))
	require.DirExists(t, filepath.Join(path, "sub"))
}

func TestLoadReturnsTheErrorOfApply(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, saveNumbered(OS{}, path, 1))
	require.NoError(t, saveNumbered(OS{}, path, 2))
	mine, calls := errors.New("mine"), 0
	report, err := Load(path, Options{}, func(*snapshot.Reader) error { calls++; return mine })
	require.ErrorIs(t, err, mine)
	require.Equal(t, 1, calls, "the one before is no better")
	require.Empty(t, report.Damaged)
}

// Damage that is found out when a part has been taken: apply is called again, with the one before.
func TestDamageFoundWhileItIsApplied(t *testing.T) {
	for _, last := range []error{nil, &snapshot.ReadError{Err: errors.New("of the disk")}} {
		path := filepath.Join(t.TempDir(), "state")
		require.NoError(t, saveNumbered(OS{}, path, 1))
		require.NoError(t, saveNumbered(OS{}, path, 2))
		var sequences []uint64
		groups := 0
		report, err := Load(path, Options{}, func(r *snapshot.Reader) error {
			sequences = append(sequences, r.Header().Sequence)
			if len(sequences) == 2 {
				return r.Read(t.Context(), nowhere{})
			}
			if last != nil {
				return last
			}
			flip(t, path, int64(r.Summary().Bytes)-100)
			got := &snapshottest.State{}
			err := r.Read(t.Context(), got)
			groups = len(got.Topics)
			return err
		})
		require.NoError(t, err)
		require.Equal(t, []uint64{2, 1}, sequences)
		require.Equal(t, Previous, report.Source)
		require.EqualValues(t, 1, report.Header.Sequence)
		require.Len(t, report.Damaged, 1)
		if last == nil {
			require.Positive(t, groups, "what came before the damage had been taken")
			var corrupt *snapshot.CorruptError
			require.ErrorAs(t, report.Damaged[0].Err, &corrupt)
		} else {
			require.ErrorIs(t, report.Damaged[0].Err, last)
		}
	}
}

// TestLoadTellsItsProgress holds a load up until it has said twice how far it is.
func TestLoadTellsItsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		require.NoError(t, saveNumbered(m, "state", 1))
		type progress struct{ done, of uint64 }
		var told []progress
		goOn := make(chan struct{})
		begun := time.Now()
		_, err := Load("state", Options{FS: m, Progress: func(done, of uint64) {
			if told = append(told, progress{done, of}); len(told) == 2 {
				close(goOn)
			}
		}}, func(r *snapshot.Reader) error { return r.Read(t.Context(), waiting{goOn}) })
		require.NoError(t, err)
		require.Equal(t, []progress{{1, 3}, {1, 3}}, told)
		require.Equal(t, 2*progressInterval, time.Since(begun))
	})
}

// waiting is a sink that waits for a channel to be closed.
type waiting struct{ goOn chan struct{} }

func (w waiting) WriteTopic(*snapshot.Topic) error { return nil }

func (w waiting) WriteGroup(*snapshot.Group) error {
	<-w.goOn
	return nil
}

func TestVerifyNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	_, _, err := Verify(t.Context(), path, Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 99)), 0o600))
	_, _, err = Verify(t.Context(), path, Options{})
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "magic")
}

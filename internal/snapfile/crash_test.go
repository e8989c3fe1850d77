package snapfile

import (
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshottest"
)

// numbered is a small state that says its number everywhere, of a few blocks.
func numbered(sequence uint64) *snapshottest.State {
	s := &snapshottest.State{Header: snapshot.Header{TakenAt: snapshottest.Now, Intervals: 10, Sequence: sequence}}
	s.Topics = []snapshot.Topic{{Cluster: "c", Name: "t" + strconv.FormatUint(sequence, 10), PartitionCount: 1}}
	for range 3 {
		s.Groups = append(s.Groups, snapshot.Group{
			Cluster: "c", Name: "g", LastCommit: int64(sequence), LastOwner: snapshot.Never,
		})
	}
	return s
}

func saveNumbered(fsys FS, path string, sequence uint64) error {
	s := numbered(sequence)
	_, err := Save(path, s.Header, s.Fill, Options{FS: fsys})
	return err
}

// loadNumbered loads and checks every record. It returns 0 if there was nothing to load.
func loadNumbered(t *testing.T, fsys FS, path string) (uint64, LoadReport) {
	t.Helper()
	got := &snapshottest.State{}
	report, err := Load(path, Options{FS: fsys}, func(r *snapshot.Reader) error {
		*got = snapshottest.State{Header: r.Header()}
		return r.Read(t.Context(), got)
	})
	require.NoError(t, err)
	if report.Source == Empty {
		return 0, report
	}
	require.Equal(t, numbered(got.Header.Sequence), got)
	require.Equal(t, got.Header, report.Header)
	return got.Header.Sequence, report
}

var errCrash = errors.New("crashed")

// A crash before every single operation of a Save, of the process and of the machine, whatever part of the unsynced
// changes the disk has kept: the newest or the one before is there, sound.
func TestCrashBeforeEveryOperationOfSave(t *testing.T) {
	for saved := range uint64(4) { // how many snapshots there are already
		for at, done := 0, false; !done; at++ {
			m := newMemFS()
			for n := range saved {
				require.NoError(t, saveNumbered(m, "state", n+1))
			}
			count, durable := 0, saved
			crashing := hookFS{m, func(op, _ string) error {
				if count++; count > at {
					return errCrash
				}
				return nil
			}}
			err := saveNumbered(crashing, "state", saved+1)
			if done = err == nil; done {
				durable = saved + 1
			} else {
				require.ErrorIs(t, err, errCrash)
			}
			checkAfterCrash(t, m.killed(), true, saved, durable)
			for _, left := range m.powerLosses(t) {
				checkAfterCrash(t, left, false, saved, durable)
			}
		}
	}
}

func checkAfterCrash(t *testing.T, left *memFS, killed bool, saved, durable uint64) {
	t.Helper()
	got, report := loadNumbered(t, left, "state")
	require.GreaterOrEqual(t, got, durable)
	require.LessOrEqual(t, got, saved+1)
	require.Empty(t, report.Damaged, "nothing half-written ever has a name that is loaded")
	require.Empty(t, report.Warnings)
	for name := range left.live {
		require.Contains(t, []string{"state", "state.prev"}, name, "nothing else is left")
	}

	// Should that file be damaged later, there is the one before, unless the crash came between the two renames; of a power loss
	// that has kept step 4 and lost step 3, it is the one before that.
	if report.Source == Newest && got >= 2 {
		again := left.killed()
		again.live[report.File].data[20] ^= 1
		before, damage := loadNumbered(t, again, "state")
		require.Len(t, damage.Damaged, 1)
		if got <= saved || killed {
			require.Equal(t, got-1, before)
		} else if got >= 3 {
			require.GreaterOrEqual(t, before, got-2)
		}
	}

	// And life goes on.
	for n := range uint64(2) {
		require.NoError(t, saveNumbered(left, "state", got+n+1))
		after, report := loadNumbered(t, left, "state")
		require.Equal(t, got+n+1, after)
		require.Equal(t, Newest, report.Source)
	}
	delete(left.live, "state")
	before, report := loadNumbered(t, left, "state")
	require.Equal(t, got+1, before)
	require.Equal(t, Previous, report.Source)
}

// A crash before every single operation of a Load, after a crash of a Save.
func TestCrashBeforeEveryOperationOfLoad(t *testing.T) {
	for saveAt := range 20 {
		for loadAt := range 20 {
			m := newMemFS()
			for n := range uint64(3) {
				require.NoError(t, saveNumbered(m, "state", n+1))
			}
			crashAfter := func(n int) FS {
				return hookFS{m, func(string, string) error {
					if n--; n < 0 {
						return errCrash
					}
					return nil
				}}
			}
			_ = saveNumbered(crashAfter(saveAt), "state", 4)
			_, _ = Load("state", Options{FS: crashAfter(loadAt)}, func(r *snapshot.Reader) error { return r.Read(t.Context(), nowhere{}) })
			got, _ := loadNumbered(t, m.killed(), "state")
			require.GreaterOrEqual(t, got, uint64(3))
		}
	}
}

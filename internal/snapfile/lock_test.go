package snapfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// childLocks says that it has the lock, or what refused it, and lives until its stdin ends.
func childLocks(path string) int {
	lock, err := Lock(path)
	if err != nil {
		fmt.Println(errors.Is(err, ErrLocked), err)
		return 0
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(lock)
	return 0
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	lock, err := Lock(path)
	require.NoError(t, err)

	cmd, out := child(t, "lock", path)
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "true snapshot "+path+" is in use by process "+strconv.Itoa(os.Getpid()))
	require.NoError(t, cmd.Wait())

	_, err = Lock(path)
	require.ErrorIs(t, err, ErrLocked, "nor is this process let in twice")
	require.NoError(t, lock.Unlock())
	require.NoError(t, lock.Unlock())

	// Now the other way round. The lock ends with the process, however it ends.
	cmd, out = child(t, "lock", path)
	line, err = out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)
	_, err = Lock(path)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, LockedError{Path: path, LockPath: path + ".lock", PID: cmd.Process.Pid, Host: host}, *locked)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	lock, err = Lock(path)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock())
}

func TestLockedErrorSaysWhatIsKnown(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"":            "another process",
		"x y":         "another process",
		"12":          "process 12 (",
		"12 host\n":   "process 12 on host (",
		"\x00\xff 12": "another process",
	} {
		name := filepath.Join(dir, "lock")
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		pid, host := readHolder(name)
		require.ErrorContains(t, &LockedError{Path: "p", LockPath: name, PID: pid, Host: host}, want)
	}
	pid, host := readHolder(filepath.Join(dir, "not there"))
	require.Zero(t, pid)
	require.Empty(t, host)
}

func TestLockOfADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.Mkdir(path+".lock", 0o700))
	_, err := Lock(path)
	require.ErrorContains(t, err, "lock snapshot "+path)
	require.NotErrorIs(t, err, ErrLocked)
}

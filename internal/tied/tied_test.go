package tied

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// The name of a variable that makes the test binary a process that is killed while a program runs that is tied to it.
const victim = "TIED_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) != "" {
		beVictim()
	}
	os.Exit(m.Run())
}

func beVictim() {
	command := Command(context.Background(), "sh", "-c", "echo started; exec sleep 1000")
	command.Stdout = os.Stdout
	if _, err := Start(command); err != nil {
		panic(err)
	}
	_ = command.Wait()
}

func TestTiedProgramDiesWithAKilledProcess(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	command := exec.Command(self)
	command.Env = append(os.Environ(), victim+"=1")
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewReader(output)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "started\n", line)
	require.NoError(t, command.Process.Kill())
	// The program has the other end of this pipe too, so it ends when both have.
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Error(t, command.Wait())
}

func TestTiedProgramEndsByItself(t *testing.T) {
	command := Command(t.Context(), "sh", "-c", "exit 3")
	release, err := Start(command)
	require.NoError(t, err)
	require.ErrorContains(t, command.Wait(), "exit status 3")
	release()
}

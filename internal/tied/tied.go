// Package tied runs programs that do not outlive the test process that started them.
package tied

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// tied runs a program that does not outlive the test process, however that ends: the shell beside it waits at a pipe whose
// other end only the test process has. A line releases the shell, an end without one kills the program. A parent-death signal
// would depend on the thread that started the program.
const tied = `(read -r line <&3 || kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"`

// Command returns a command for Start. Its process is the program's, so signals reach that.
func Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", append([]string{"-c", tied, "sh", program}, args...)...)
}

// Start starts a command that Command returned. After its Wait, release has to be called.
func Start(command *exec.Cmd) (release func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command.ExtraFiles = []*os.File{read}
	err = errors.Join(command.Start(), read.Close())
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return func() {
		_, _ = write.WriteString("\n") // the shell may have been killed
		_ = write.Close()
	}, nil
}

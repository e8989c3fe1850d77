// Package servertest is what tests share that run real servers on loopback: processes that end with the test, ports, and certificates.
package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/lagkeeper/storage/internal/tied"
)

// Process is a server that can be killed and started again. The zero value has not been started. It does not outlive the test
// process.
type Process struct {
	mu      sync.Mutex
	command *exec.Cmd     // guarded by mu; nil while it does not run
	ended   chan struct{} // guarded by mu; closed when command has ended
}

// Start starts a program, which must not run yet. Its output goes to output, which is closed when it ends; nil discards it.
func (p *Process) Start(output io.WriteCloser, program string, args ...string) error {
	command := tied.Command(context.Background(), program, args...)
	if output != nil {
		command.Stdout, command.Stderr = output, output
	}
	release, err := tied.Start(command)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // it is killed in the end
		release()
		if output != nil {
			_ = output.Close()
		}
		close(ended)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command, p.ended = command, ended
	return nil
}

// Kill kills the program and returns when it has ended. If it does not run, Kill does nothing.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill() // it may have ended by itself
	<-p.ended
	p.command = nil
}

// Signal sends a signal to the program.
func (p *Process) Signal(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return errors.New("signal server: not running")
	}
	return p.command.Process.Signal(signal)
}

// Running reports whether the program was started and not killed since.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.command != nil
}

// Pid returns the id of the process, 0 if it does not run.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return 0
	}
	return p.command.Process.Pid
}

// Ended reports whether the program that was started last has ended, by itself or by Kill.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// FreePorts returns TCP ports of 127.0.0.1 on which nobody listens, and keeps other tests, of this process or another, from getting
// them until the test ends: it holds the UDP ports of the same numbers. They are below those that the system gives to outgoing
// connections, so that a server that is started again finds its own free.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range 10_000 {
		port := 10_000 + rand.IntN(20_000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		held, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = held.Close() })
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = listener.Close() // nothing was written
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("found %d free ports of %d", len(ports), n)
	return nil
}

// Missing skips a test whose server is not installed, and fails it with CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

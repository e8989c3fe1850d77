// Lagmonitor shows how far the consumer groups of Kafka clusters are behind.
//
// It is an example of a program that embeds github.com/lagkeeper/storage: package kafkafeed fills the store, package status judges its
// answers, and packages inspector and prometheus serve them. The program adds only its configuration and its screen. Started without
// flags it runs its own Kafka with a workload, so that there is something to see:
//
//	go run ./examples/lagmonitor
//	go run ./examples/lagmonitor --brokers kafka1:9092,kafka2:9092
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPartial = 3 // --once has printed a table, but some of it is missing
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal has begun the shutdown, a second one has the default effect: it kills the process.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It returns the exit code once ctx is done or, with --once, once the table is printed. It leaves nothing
// running.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parseOptions(args, os.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, helpText())
		return exitOK
	case err == nil && opts.version:
		fmt.Fprintln(stdout, version())
		return exitOK
	case err == nil:
		err = monitor(ctx, opts, stdout, stderr)
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		// The only failure is that the program was interrupted. With --once the user then has no table.
		if !opts.once {
			return exitOK
		}
		err = errors.New("interrupted before there was a table to print")
	}
	if err == nil {
		return exitOK
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(stderr, "lagmonitor: %s\n", line)
	}
	var wrong faults
	var partial missing
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, "lagmonitor: see lagmonitor --help")
		return exitUsage
	case errors.As(err, &partial):
		return exitPartial
	}
	return exitFailed
}

// version returns the version that the program was built from, as far as it is known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "lagmonitor (unknown version)"
	}
	return fmt.Sprintf("lagmonitor %s %s", info.Main.Version, info.GoVersion)
}

// faults are the faults of the command line and the configuration, one per line. The user can correct them.
type faults []string

func (f faults) Error() string { return strings.Join(f, "\n") }

// add adds an error; each of its lines becomes a fault.
func (f *faults) add(format string, args ...any) {
	for _, line := range strings.Split(fmt.Sprintf(format, args...), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			*f = append(*f, line)
		}
	}
}

// err returns nil if there is none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// missing lists what a table lacks, one item per line.
type missing []string

func (m missing) Error() string { return "incomplete: " + strings.Join(m, "\nincomplete: ") }

// Lagmonitor shows how far the consumer groups of a Kafka cluster are behind.
//
// It is an example of a program that embeds github.com/lagkeeper/storage: it polls Kafka, hands what it sees to the store
// over the StorageChannel, and builds its table from nothing but the store's answers. Started without flags it brings its
// own Kafka and a workload, so that there is something to see:
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
	"syscall"
)

// The exit codes, as such tools have them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Once the first signal has begun the shutdown, a second one finds the default behaviour again and kills.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it returns the exit code once ctx is done or, with --once, the table is printed, and leaves
// nothing running.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parseOptions(args, os.Getenv, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "lagmonitor: %v\n", err)
		fmt.Fprintln(stderr, "lagmonitor: see lagmonitor --help")
		return exitUsage
	}

	err = monitor(ctx, opts, stdout, stderr)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		// Nothing failed but that it was told to end. With --once that leaves the user without a table.
		if !opts.once {
			return exitOK
		}
		err = errors.New("interrupted before there was a table to print")
	}
	var bad *configError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &bad):
		fmt.Fprintf(stderr, "lagmonitor: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "lagmonitor: %v\n", err)
		return exitFailed
	}
}

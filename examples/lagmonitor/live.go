package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// redrawEvery is how often a display that redraws in place is brought up to date between two polls: ages go on, and
// the terminal may have been resized.
const redrawEvery = time.Second

// live polls and shows tables until ctx is done. It returns nil then, and an error where nothing can be shown any more.
func (s *session) live(ctx context.Context, out display) error {
	var running sync.WaitGroup
	// The goroutines below end when the context does, which is when live returns at the latest.
	ctx, cancel := context.WithCancel(ctx)
	defer running.Wait()
	defer cancel()
	// The screen is given back before anything else, so that a second Ctrl-C finds it in order.
	defer func() { _ = out.close() }() // the terminal is gone, so nobody would see the error

	polled := make(chan struct{}, 1) // a poll ended since the last table
	var delay time.Duration
	if s.demo != nil {
		delay = liveStep / 2 // between two steps of the workload, most of the time
		running.Add(1)
		go func() {
			defer running.Done()
			s.demo.workload.loop(ctx, s.events)
		}()
	}
	running.Add(1)
	go func() {
		defer running.Done()
		s.pollLoop(ctx, delay, polled)
	}()

	redraw := make(<-chan time.Time) // never, unless the display redraws
	if out.redraws() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		redraw = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-polled:
		case <-redraw:
		}
		t, err := s.table(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.show(t, s.events); err != nil {
			return fmt.Errorf("print table: %w", err)
		}
	}
}

// pollLoop polls after a delay and then at every interval. A poll that fails is told to the user and changes nothing; the
// next one tries again.
func (s *session) pollLoop(ctx context.Context, delay time.Duration, polled chan<- struct{}) {
	first := time.NewTimer(delay)
	defer first.Stop()
	select {
	case <-first.C:
	case <-ctx.Done():
		return
	}
	ticker := time.NewTicker(s.cfg.interval)
	defer ticker.Stop()
	for {
		pollCtx, cancel := context.WithTimeout(ctx, max(s.cfg.interval, connectTimeout))
		err := s.poller.poll(pollCtx)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				err = errors.New("no answer from Kafka")
			}
			s.events.problems(time.Now(), []error{fmt.Errorf("poll failed, showing what was known before: %w", err)})
		}
		select {
		case polled <- struct{}{}:
		default: // the last one has not been shown yet
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

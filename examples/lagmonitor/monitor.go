package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// session is a running monitor: a store, a Kafka client and what carries data from one to the other.
type session struct {
	cfg    config
	demo   *demo // nil where the Kafka is the user's own
	events *eventLog
	poller *poller
	view   view
}

// monitor runs until ctx is done or, with --once, the table is printed. It releases everything before it returns.
func monitor(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	cfg, err := loadConfig(opts)
	if err != nil {
		return err
	}
	if err := cfg.shareCluster(cfg.kafka.brokers); err != nil {
		return badConfig("configure cluster %s: %w", cfg.cluster, err)
	}
	s := &session{cfg: cfg, events: new(eventLog)}

	coordinator, err := openStore(cfg.viper, s.events.logger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, coordinator.Stop()) }()

	brokers := cfg.kafka
	if cfg.embedded {
		fmt.Fprintln(stderr, "lagmonitor: embedded demo; --brokers host:port,... monitors your own Kafka")
		if s.demo, err = startDemo(ctx); err != nil {
			return fmt.Errorf("start the embedded Kafka: %w", err)
		}
		defer s.demo.close()
		brokers.brokers = s.demo.brokers()
	}
	client, err := openKafka(ctx, brokers)
	if err != nil {
		return err
	}
	defer client.Close()

	interval := cfg.interval
	if opts.once {
		interval = onceInterval
	}
	store := storeClient{requests: coordinator.App.StorageChannel, cluster: cfg.cluster}
	s.poller = newPoller(newGatherer(client), store, s.events, cfg.expiry)
	s.poller.restart = newRestart(coordinator, cfg.cluster)
	s.poller.restart.tell(s.events, time.Now())
	s.view = view{store: store, pace: paceFor(interval), now: time.Now}

	if opts.metrics != "" {
		metrics, err := serveMetrics(opts.metrics, coordinator, &s.poller.mu)
		if err != nil {
			return err
		}
		defer metrics.close()
		fmt.Fprintf(stderr, "lagmonitor: metrics at %s\n", metrics.url())
	}

	out := newDisplay(opts, stdout, cfg)
	if opts.once {
		return s.once(ctx, out)
	}
	return s.live(ctx, out)
}

// table asks the store, with no poll half carried over.
func (s *session) table(ctx context.Context) (table, error) {
	s.poller.mu.Lock()
	defer s.poller.mu.Unlock()
	return s.view.table(ctx)
}

// How --once comes to a table that has settled: it needs a few polls to tell a lag that grows from one that does not.
const (
	onceInterval = 400 * time.Millisecond
	oncePolls    = 5
)

// once shows one table. An error of Kafka ends it: there is no later poll that could do better.
func (s *session) once(ctx context.Context, out display) error {
	ticker := time.NewTicker(onceInterval)
	defer ticker.Stop()
	polls := oncePolls
	if s.demo != nil {
		polls = s.demo.workload.settled()
		ticker.Reset(demoStep)
	}
	for i := range polls {
		if i > 0 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if s.demo != nil {
			if err := s.demo.workload.step(ctx); err != nil {
				return fmt.Errorf("run the demo's workload: %w", err)
			}
		}
		if err := s.poller.poll(ctx); err != nil {
			return fmt.Errorf("poll Kafka: %w", err)
		}
	}
	t, err := s.table(ctx)
	if err != nil {
		return err
	}
	if err := out.show(t, s.events); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	return out.close()
}

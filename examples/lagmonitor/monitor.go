package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
)

// monitorState is a running monitor: a store, and a feed for each cluster.
type monitorState struct {
	cfg         config
	coordinator *storage.Coordinator
	store       storage.Store
	sources     []*source
	polled      chan struct{} // holds one token if a poll of any cluster ended since it was last taken
	demo        *demo         // nil if the Kafka belongs to the user
	events      *eventLog
	reader      reader
	running     sync.WaitGroup // the feeds and the watcher of the store
}

// monitor runs until ctx is done or, with --once, the table is printed. It releases everything before it returns.
func monitor(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	m := &monitorState{events: new(eventLog), polled: make(chan struct{}, 1)}
	cfg, wrong := loadConfig(opts)
	var more faults
	m.cfg = cfg
	m.coordinator, more = newStore(cfg.viper, m.events.logger())
	if wrong = append(wrong, more...); len(wrong) > 0 {
		return wrong
	}
	if err := m.coordinator.Start(); err != nil {
		return fmt.Errorf("start store: %w", err)
	}
	defer func() { err = errors.Join(err, m.coordinator.Stop()) }()
	m.store = m.coordinator.Store()
	if text := restored(m.coordinator); text != "" {
		m.events.add(time.Now(), "%s", text)
	}
	if cfg.embedded {
		if m.demo, err = startDemo(ctx); err != nil {
			return fmt.Errorf("start the embedded Kafka: %w", err)
		}
		fmt.Fprintf(stderr, "lagmonitor: demo on an embedded Kafka at %s; --brokers host:port,... monitors your own\n",
			strings.Join(m.demo.brokers(), ","))
		defer m.demo.close()
		cluster := &m.cfg.clusters[0]
		cluster.kafka.brokers = m.demo.brokers()
		if cluster.client, err = cluster.kafka.clientOptions(); err != nil {
			return err
		}
	}
	log := feedLog{m.events, kgo.LogLevelWarn}
	if opts.once {
		log.level = kgo.LogLevelError // the table is followed by a list of what failed
	}
	m.reader = reader{source: m.store, states: m.states, now: time.Now}
	for _, cluster := range m.cfg.clusters {
		m.reader.clusters = append(m.reader.clusters, cluster.name)
		if cluster.mode == modeRead {
			continue
		}
		s, err := newSource(m.store, cluster, m.cfg.interval, window(cfg.viper), log, m.polled)
		if err != nil {
			return faults{err.Error()}
		}
		m.sources = append(m.sources, s)
	}

	served, endPages, err := m.handlers(opts)
	if err != nil {
		return err
	}
	defer endPages()
	for address, handler := range served {
		s, err := serve(address, handler)
		if err != nil {
			return err
		}
		defer s.close()
		fmt.Fprintf(stderr, "lagmonitor: serving at %s\n", s.url())
	}

	ctx, cancel := context.WithCancel(ctx)
	defer m.running.Wait()
	defer cancel()
	if err := m.start(ctx, opts.once); err != nil {
		return err
	}
	columns, capable := terminal(stdout, opts.getenv)
	p := &printer{out: stdout, color: colored(opts, capable), columns: columns, seen: widths{}}
	switch {
	case opts.once:
		return m.once(ctx, opts, p)
	case opts.json || !capable:
		return m.printAll(ctx, opts, p)
	}
	return m.live(ctx, p.color, stdout)
}

// start starts the feeds, the watcher of the store and, in a demo, the workload. They end with ctx.
func (m *monitorState) start(ctx context.Context, once bool) error {
	changes, err := watch(ctx, m.store)
	if err != nil {
		return err
	}
	m.running.Go(func() { m.events.tell(changes, m.sources, once) })
	for _, s := range m.sources {
		m.running.Go(func() {
			if err := s.feed.Run(ctx); err != nil && ctx.Err() == nil {
				m.events.add(time.Now(), "%v", err)
			}
		})
	}
	return nil
}

// once prints one table, and returns what it lacks.
func (m *monitorState) once(ctx context.Context, opts options, p *printer) error {
	if m.demo != nil {
		if err := m.demo.workload.settle(ctx); err != nil {
			return fmt.Errorf("run the demo's workload: %w", err)
		}
	}
	known := len(m.sources) < len(m.cfg.clusters)
	for _, s := range m.sources {
		if err := s.settle(ctx); err != nil {
			return err
		}
		known = known || s.known()
	}
	r, err := m.show(ctx, opts, p, known)
	if err != nil {
		return err
	}
	lacks := r.missing()
	switch {
	case !known:
		return fmt.Errorf("no cluster can be read\n%s", strings.Join(lacks, "\n"))
	case len(lacks) > 0:
		return lacks
	}
	return nil
}

// show reads the store and prints it if it is to be visible.
func (m *monitorState) show(ctx context.Context, opts options, p *printer, visible bool) (reading, error) {
	r, err := m.read(ctx)
	if err != nil || !visible {
		return r, err
	}
	r.events = m.events.take()
	if opts.json {
		groups, err := m.reader.details(ctx)
		if err != nil {
			return r, err
		}
		err = printJSON(p.out, r, groups)
		return r, err
	}
	return r, p.print(r)
}

// read reads the store, and records the changes of groups since the previous reading.
func (m *monitorState) read(ctx context.Context) (reading, error) {
	before := m.reader.before
	r, err := m.reader.read(ctx)
	if err == nil {
		m.events.compare(before, r.groups, r.at)
	}
	return r, err
}

// states returns how each cluster is currently read.
func (m *monitorState) states() (states []clusterState) {
	for _, s := range m.sources {
		states = append(states, s.state())
	}
	for _, cluster := range m.cfg.clusters {
		if cluster.mode == modeRead {
			states = append(states, clusterState{Cluster: cluster.name, Mode: modeRead, Ready: true, Missing: []string{}})
		}
	}
	return states
}

// printAll prints a table or a document each interval, for a pipe, a file or a dumb terminal.
func (m *monitorState) printAll(ctx context.Context, opts options, p *printer) error {
	m.goOn(ctx)
	ticker := time.NewTicker(m.cfg.interval)
	defer ticker.Stop()
	for _, s := range m.sources {
		select {
		case <-s.polled:
		case <-ctx.Done():
			return nil
		}
	}
	for {
		if _, err := m.show(ctx, opts, p, true); err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// goOn continues the demo's workload, if there is one.
func (m *monitorState) goOn(ctx context.Context) {
	if m.demo != nil {
		m.running.Go(func() { m.demo.workload.loop(ctx, m.events) })
	}
}

// redrawEvery is how often the live view is redrawn between two polls, because ages grow.
const redrawEvery = time.Second

// live shows the live view until ctx is done or the user quits.
func (m *monitorState) live(ctx context.Context, color bool, stdout io.Writer) error {
	m.goOn(ctx)
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	load := func(key groupKey) tea.Cmd {
		return func() tea.Msg {
			detail, err := m.reader.detail(ctx, key)
			if err != nil {
				return nil
			}
			return detailMsg{key, detail}
		}
	}
	program := tea.NewProgram(newModel(color, load), tea.WithContext(ctx), tea.WithOutput(stdout), tea.WithoutSignalHandler())
	reading.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			r, err := m.read(ctx)
			if err != nil {
				cancel() // the store has stopped
				return
			}
			r.events = m.events.all()
			program.Send(readingMsg(r))
			select {
			case <-m.polled:
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	_, err := program.Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

package lagredis

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/clock"
	"github.com/lagkeeper/storage/internal/config"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// DB is a store whose state is in Redis. It is safe for any number of goroutines. Open makes one; after Close every call
// returns storage.ErrStopped.
type DB struct {
	options Options
	log     *zap.Logger
	client  rueidis.Client
	clock   *clock.Clock
	// engine holds the copies of groups and topics, and changes them by its rules.
	engine *engine.Engine
	groups groupCache
	topics topicCache
	// clusters admit calls that concern a cluster.
	clusters clusterDoors
	counts   counts
	// replicas is nil unless replicas answer reads; marks is nil unless this DB is the one that reads from replicas.
	replicas *replicas
	marks    *marks
	// holder is the name of this process in leases; buckets is what it knows of each bucket.
	holder  string
	buckets []bucketState

	collector collector
	watching  watching
	sharing   sharing

	room     chan struct{} // holds one token for each call under way
	life     sync.RWMutex
	closed   bool           // guarded by life
	underWay sync.WaitGroup // calls
	leaders  sync.WaitGroup // goroutines that carry out calls
	timers   sync.WaitGroup // goroutines that run at intervals

	ctx    context.Context // done when Close has waited for the calls
	cancel context.CancelFunc
	quit   chan struct{} // closed by Close
}

// Open connects to a server or cluster, and checks that its state was written by the same rules, or that it can hold a new one. The
// error names every fault of the options at once, or is the one of the server.
func Open(ctx context.Context, options Options) (*DB, error) {
	db := newDB()
	if err := db.open(ctx, options); err != nil {
		return nil, err
	}
	return db, nil
}

// newDB returns a closed store.
func newDB() *DB {
	return &DB{room: make(chan struct{}, mostUnderWay), sharing: sharing{busy: make(chan struct{}, 1)}, closed: true}
}

// open opens a closed store.
func (db *DB) open(ctx context.Context, options Options) error {
	if err := options.Validate(); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	db.life.Lock()
	defer db.life.Unlock()
	db.options = options.withDefaults()
	db.log = db.options.Store.Logger
	db.counts.reset()
	db.holder, db.buckets = hex.EncodeToString([]byte(newVersion())), make([]bucketState, db.options.Buckets)
	if err := db.persist(ctx, db.connect); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	db.quit = make(chan struct{})
	db.clock = clock.Start()
	db.groups.reset()
	db.topics.reset()
	db.collector.events = make(map[collected]*[]protocol.Event)
	hub := new(feed.Hub[protocol.Event])
	hub.Watch(1, db.collector.take, nil)
	db.engine = engine.New(db.options.engine(db.clock, hub))
	db.watching.begin()
	if err := db.openReplicas(); err != nil {
		db.cancel()
		db.clock.Stop()
		db.client.Close()
		return fmt.Errorf("open store: %w", err)
	}
	db.closed = false
	db.timers.Go(db.sweepByTheClock)
	return nil
}

// connect makes a client, and keeps it if its server passes all checks.
func (db *DB) connect(ctx context.Context) error {
	client, err := rueidis.NewClient(db.clientOptions())
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) {
		err = cmp.Or(db.options.refusal(ctx), err)
	}
	switch {
	case distrust(err):
		return unfit{err}
	case err != nil:
		return err
	}
	db.client = client
	if err := errors.Join(db.checkServers(ctx), db.checkSettings(ctx)); err != nil {
		client.Close()
		return err
	}
	return nil
}

// Close ends the store: calls under way take effect, later ones return storage.ErrStopped, and the loops over Watch end. The state
// stays in Redis. Close does nothing if the store is closed.
func (db *DB) Close() error {
	db.life.Lock()
	was := db.closed
	db.closed = true
	db.life.Unlock()
	if was {
		db.watching.end()
		return nil
	}
	// 1. Wait for the calls under way, including those that were left to their leaders because their context was done.
	close(db.quit)
	db.underWay.Wait()
	db.leaders.Wait()
	if db.replicas != nil {
		db.replicas.reader.leaders.Wait()
	}
	// 2. End the goroutines that run at intervals, and the loops of the watchers.
	db.cancel()
	db.timers.Wait()
	db.watching.end()
	db.clock.Stop()
	db.closeReplicas()
	db.client.Close()
	return nil
}

func (db *DB) clientOptions() rueidis.ClientOption {
	o := &db.options
	return rueidis.ClientOption{
		InitAddress: o.Addresses, Username: o.Username, Password: o.Password, TLSConfig: o.TLS, DialCtxFn: db.dial,
		// Otherwise a request that is alone waits for its answer although its context is done.
		AlwaysPipelining: true,
		DisableCache:     true, DisableRetry: true, ClientSetInfo: rueidis.DisableClientSetInfo, ConnWriteTimeout: o.Timeout,
	}
}

// refusal returns the server's objection to the certificate of this side, nil if there is none. With TLS 1.3 a server reports it after
// the handshake and closes the connection, so a client that writes first may never read it.
func (o *Options) refusal(ctx context.Context) error {
	if o.TLS == nil || o.Dial != nil {
		return nil
	}
	connection, err := (&tls.Dialer{Config: o.TLS}).DialContext(ctx, "tcp", o.Addresses[0])
	if err == nil {
		_ = connection.SetReadDeadline(time.Now().Add(time.Second)) // a server without an objection sends nothing
		_, err = connection.Read(make([]byte, 1))
		_ = connection.Close()
	}
	if distrust(err) {
		return err
	}
	return nil
}

// engine returns the configuration of the engine.
func (o *Options) engine(clock engine.Clock, hub *feed.Hub[protocol.Event]) engine.Config {
	s := &o.Store
	accept := func(group string) bool {
		return (s.GroupAllow == nil || s.GroupAllow.MatchString(group)) && (s.GroupDeny == nil || !s.GroupDeny.MatchString(group))
	}
	if s.GroupAllow == nil && s.GroupDeny == nil {
		accept = nil
	}
	return engine.Config{
		Clusters: s.Clusters, Shards: config.DefaultShards, Intervals: s.Intervals, Accept: accept,
		ExpireGroup: milliseconds(s.ExpireGroup), ExpireTopic: milliseconds(s.ExpireTopic), MinDistance: milliseconds(s.MinDistance),
		CurveSegments: max(s.CurveSegments, 0), Clock: clock, Hub: hub, GroupsElsewhere: true,
	}
}

// milliseconds converts a duration for the engine. The longest duration stands for ever.
func milliseconds(d time.Duration) int64 {
	if d == 1<<63-1 {
		return 1 << 60
	}
	return d.Milliseconds()
}

// checkServers returns an error if a server evicts keys when its memory is full.
func (db *DB) checkServers(ctx context.Context) error {
	for address, node := range db.client.Nodes() {
		memory, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
		if err != nil {
			return fmt.Errorf("ask %s for its memory: %w", address, err)
		}
		for line := range strings.Lines(memory) {
			policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
			if ok && strings.HasPrefix(policy, "allkeys-") {
				return unfit{fmt.Errorf("server %s: invalid maxmemory-policy %s: it drops keys; must be noeviction or volatile-*", address, policy)}
			}
		}
	}
	return nil
}

// formatVersion is the version of the format that this release writes.
const formatVersion = "2"

// settings are the values that all processes sharing a state must have in common, in pairs.
func (db *DB) settings() []string {
	s := &db.options.Store
	return []string{
		"format", formatVersion, "buckets", strconv.Itoa(db.options.Buckets), "intervals", strconv.Itoa(s.Intervals),
		"min-distance", s.MinDistance.String(), "expire-group", s.ExpireGroup.String(), "expire-topic", s.ExpireTopic.String(),
		"curve-segments", strconv.Itoa(max(s.CurveSegments, 0)),
	}
}

// checkSettings writes the settings if there are none, and returns an error that names each setting that differs.
func (db *DB) checkSettings(ctx context.Context) error {
	want := db.settings()
	var x change
	x.expect(db.settingsKey(), "format", "")
	x.run("HSET", db.settingsKey(), want...)
	failed, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
	if err != nil || failed == 0 {
		return err
	}
	got, err := db.do(ctx, db.client.B().Hgetall().Key(db.settingsKey()).Build()).AsStrMap()
	if err != nil {
		return err
	}
	var faults []error
	for pair := range slices.Chunk(want, 2) {
		if got[pair[0]] != pair[1] {
			faults = append(faults, unfit{fmt.Errorf("invalid %s %s: the state under %q was written with %s", pair[0], pair[1],
				db.options.KeyPrefix, got[pair[0]])})
		}
	}
	return errors.Join(faults...)
}

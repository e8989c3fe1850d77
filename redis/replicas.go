package lagredis

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// A replica cannot say how far behind it will be at the next read. So a process that reads from replicas writes the time into each
// bucket several times a second, and every read from a replica reads these marks first, on the same connection. A replica holds a
// prefix of its master's history, so what it answers after a mark is at least as new as that mark. Each process has its own marks, so
// the clocks of others do not matter.

// replicas reads from replicas.
type replicas struct {
	// reader has its own copies, of what replicas hold. It writes nothing. Its client is nil until replicas have been reached.
	reader *DB
	// near reports for each bucket of groups, and after them for each bucket of topics, whether its replica was near at the last look.
	near []atomic.Bool
	// far reports whether the last look found a bucket whose replica is not near. It is owned by the goroutine that looks.
	far bool
}

// marks are the times with which the reads from replicas are compared.
type marks struct {
	oldest time.Duration
}

const (
	// replicaTimeout is how long a read waits for a replica before it goes to the master.
	replicaTimeout = time.Second
	// replicasLookedUp is the interval at which a cluster's list of replicas is read: the list has a replica only once it has its
	// data.
	replicasLookedUp = 5 * time.Second
	// markInterval is the longest interval between two marks; the interval is a quarter of the allowed age if that is less.
	markInterval = time.Second
)

// errBehind is returned for a read from a replica that is too far behind, or may be.
var errBehind = errors.New("replica is too far behind")

func (db *DB) markKey(tag string) string { return tag + "mark:" + db.holder }

// openReplicas starts reading from replicas.
func (db *DB) openReplicas() error {
	o := db.options
	db.replicas = nil
	if o.ReplicaMaxAge == 0 {
		return nil
	}
	if o.ReplicaAddress == "" && db.client.Mode() != rueidis.ClientModeCluster {
		return errors.New("invalid ReplicaAddress: must be given for servers without cluster mode")
	}
	db.options.CacheBytes /= 2
	o.CacheBytes, o.Timeout = db.options.CacheBytes, min(o.Timeout, replicaTimeout)
	reader := &DB{
		options: o, log: db.log, holder: db.holder, clock: db.clock, ctx: db.ctx, buckets: make([]bucketState, o.Buckets),
		marks: &marks{oldest: o.ReplicaMaxAge},
	}
	reader.groups.reset()
	reader.topics.reset()
	reader.collector.events = make(map[collected]*[]protocol.Event)
	reader.engine = engine.New(o.engine(db.clock, new(feed.Hub[protocol.Event])))
	db.replicas = &replicas{reader: reader, near: make([]atomic.Bool, 2*o.Buckets)}
	db.timers.Go(db.lookAtReplicas)
	return nil
}

// closeReplicas must be called after the last read.
func (db *DB) closeReplicas() {
	if r := db.replicas; r != nil && r.reader.client != nil {
		r.reader.client.Close()
	}
}

// lookAtReplicas writes marks and reads them from replicas, at intervals.
func (db *DB) lookAtReplicas() {
	ticker := time.NewTicker(min(db.options.ReplicaMaxAge/4, markInterval))
	defer ticker.Stop()
	for {
		db.lookOnce()
		select {
		case <-ticker.C:
		case <-db.quit:
			return
		}
	}
}

func (db *DB) lookOnce() {
	ctx, cancel := context.WithTimeout(db.ctx, replicaTimeout)
	defer cancel()
	tags := make([]string, 0, 2*db.options.Buckets)
	for bucket := range db.options.Buckets {
		tags = append(tags, db.groupTag(bucket))
	}
	for bucket := range db.options.Buckets {
		tags = append(tags, db.topicTag(bucket))
	}
	// If a master cannot be reached its mark stays as it is, and the age of the answers grows.
	db.mark(ctx, tags)
	r := db.replicas
	err := r.connect(db)
	far := 0
	if err == nil {
		far = r.look(ctx, tags)
	} else {
		far = len(tags)
	}
	switch {
	case far > 0 && !r.far:
		db.log.Warn("replicas too far behind: masters are read", zap.Int("buckets", far), zap.Int("of", len(tags)), zap.Error(err))
	case far == 0 && r.far:
		db.log.Info("replicas are near again")
	}
	r.far = far > 0
}

// mark writes the time into buckets. The marks of a process that has ended expire.
func (db *DB) mark(ctx context.Context, tags []string) {
	now := strconv.FormatInt(db.clock.Now(), 10)
	kept := strconv.FormatInt(max(10*db.options.ReplicaMaxAge, time.Minute).Milliseconds(), 10)
	commands := make(rueidis.Commands, len(tags))
	for i, tag := range tags {
		commands[i] = db.client.B().Arbitrary("SET").Keys(db.markKey(tag)).Args(now, "PX", kept).Build()
	}
	db.doMulti(ctx, commands...)
}

// connect makes the client of the replicas, if there is none yet.
func (r *replicas) connect(db *DB) error {
	if r.reader.client != nil {
		return nil
	}
	o := db.clientOptions()
	o.Dialer.Timeout, o.ConnWriteTimeout = replicaTimeout, replicaTimeout
	if db.client.Mode() == rueidis.ClientModeCluster {
		o.ReplicaOnly = true
		o.ClusterOption.ShardsRefreshInterval = replicasLookedUp
	} else {
		o.InitAddress, o.ForceSingleClient = []string{db.options.ReplicaAddress}, true
	}
	client, err := rueidis.NewClient(o)
	if err == nil {
		r.reader.client = client
	}
	return err
}

// look records which buckets have a replica that is near, and returns the number of the others.
func (r *replicas) look(ctx context.Context, tags []string) (far int) {
	commands := make(rueidis.Commands, len(tags))
	for i, tag := range tags {
		commands[i] = r.reader.client.B().Get().Key(r.reader.markKey(tag)).Build()
	}
	for i, result := range r.reader.doMulti(ctx, commands...) {
		_, err := r.reader.dated(result)
		r.near[i].Store(err == nil)
		if err != nil {
			far++
		}
	}
	return far
}

// dated returns the time in a mark, in Unix milliseconds.
func (db *DB) dated(mark rueidis.RedisResult) (int64, error) {
	text, err := textOf(mark)
	if err != nil {
		return 0, err
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil || db.clock.Now()-at > db.marks.oldest.Milliseconds() {
		return 0, errBehind
	}
	return at, nil
}

// look sends commands that only read, all at once. If replicas are to answer, it reads the marks of the buckets with the given tags
// first, and asOf is the earliest of them, in Unix milliseconds: the answers are at least as new. Otherwise asOf is 0.
func (db *DB) look(ctx context.Context, tags []string, commands []rueidis.Completed) (results []rueidis.RedisResult, asOf int64, err error) {
	if db.marks == nil {
		return db.doMulti(ctx, commands...), 0, nil
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	all := make(rueidis.Commands, 0, len(tags)+len(commands))
	for _, tag := range tags {
		all = append(all, db.client.B().Get().Key(db.markKey(tag)).Build())
	}
	results = db.doMulti(ctx, append(all, commands...)...)
	asOf = math.MaxInt64
	for _, mark := range results[:len(tags)] {
		at, err := db.dated(mark)
		if err != nil {
			return nil, 0, err
		}
		asOf = min(asOf, at)
	}
	return results[len(tags):], asOf, nil
}

// fromReplicas has replicas answer a read of a number of buckets, starting at first, which counts as in near. done is false if masters
// must answer.
func (db *DB) fromReplicas(ctx context.Context, first, number int, read func(reader *DB) error) (done bool, err error) {
	r := db.replicas
	if r == nil {
		return false, nil
	}
	for i := first; i < first+number; i++ {
		if !r.near[i].Load() {
			db.counts.replicaMisses.Add(1)
			return false, nil
		}
	}
	switch err := read(r.reader); {
	case err == nil:
		db.counts.replicaReads.Add(1)
		return true, nil
	case ctx.Err() != nil:
		return true, ctx.Err()
	}
	db.counts.replicaMisses.Add(1)
	return false, nil
}

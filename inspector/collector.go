package inspector

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// reading is the store as it was read once. But for its orders it never changes.
type reading struct {
	at       time.Time
	took     time.Duration
	sequence uint64
	groups   []GroupRow // by cluster and name
	byGroup  map[groupKey]int
	topics   []TopicRow // by cluster and name
	byTopic  map[groupKey]int
	readers  map[groupKey][]reader // of a topic
	err      error                 // why it is not complete

	mu     sync.Mutex
	orders map[order][]int32 // guarded by mu: the groups as lists were asked for
}

// reader is a group on a topic.
type reader struct {
	group   int // index in reading.groups
	verdict status.Verdict
	lag     Lag
}

// groupKey names a group or a topic of a cluster.
type groupKey struct{ cluster, name string }

// sparkLength is the number of readings that a sparkline shows.
const sparkLength = 30

// collector reads the store for everybody.
type collector struct {
	source  Source
	options Options

	wake chan struct{} // holds one token if somebody waits for a reading

	mu      sync.Mutex
	current *reading // guarded by mu, as all below; nil before the first
	history *history
	// ended has the number of readings, and is closed and replaced with each.
	ended    chan struct{}
	readings uint64
	// wanted is when somebody last looked.
	wanted time.Time

	// topicEnds are the sums of end offsets at the reading before. Only the collector's goroutine uses them.
	topicEnds map[groupKey]endSum
}

type endSum struct {
	sum int64
	at  time.Time
}

func newCollector(source Source, options Options) *collector {
	return &collector{
		source: source, options: options, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		history: newHistory(options.History, options.Interval, options.HistoryBytes),
	}
}

// restAfter is for how many intervals the collector goes on when nobody looks and no history is kept.
const restAfter = 3

// run reads the store at each interval until quit is closed; it rests while nobody looks and no history is kept.
func (c *collector) run(quit <-chan struct{}) {
	ctx := storage.Uncounted(untilClosed{context.Background(), quit})
	ticker := time.NewTicker(c.options.Interval)
	defer ticker.Stop()
	always := c.history.length > 0
	if always {
		c.read(ctx)
	}
	for {
		if !always && !c.isWanted() {
			ticker.Stop()
			select {
			case <-c.wake:
			case <-quit:
				return
			}
			ticker.Reset(c.options.Interval)
			c.read(ctx)
			continue
		}
		select {
		case <-ticker.C:
			c.read(ctx)
		case <-c.wake:
			if c.latest() == nil {
				c.read(ctx)
			}
		case <-quit:
			return
		}
	}
}

// untilClosed is a context that is done when a channel is closed.
type untilClosed struct {
	context.Context
	quit <-chan struct{}
}

func (u untilClosed) Done() <-chan struct{} { return u.quit }

func (u untilClosed) Err() error {
	select {
	case <-u.quit:
		return context.Canceled
	default:
		return nil
	}
}

func (c *collector) isWanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.wanted.IsZero() && c.options.Now().Sub(c.wanted) < restAfter*c.options.Interval
}

// latest returns the newest reading, nil if there is none.
func (c *collector) latest() *reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// want notes that somebody looks and returns the newest reading with a channel that is closed at the next. A reading that
// is older than a collector at work would leave it counts as none.
func (c *collector) want() (current *reading, next <-chan struct{}) {
	c.mu.Lock()
	now := c.options.Now()
	c.wanted = now
	current, next = c.current, c.ended
	if current != nil && c.history.length == 0 && now.Sub(current.at) > (restAfter+1)*c.options.Interval {
		current = nil
	}
	c.mu.Unlock()
	if current == nil {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return current, next
}

// wait returns a reading, and waits for one if there is none.
func (c *collector) wait(ctx context.Context, quit <-chan struct{}) (*reading, error) {
	for {
		current, next := c.want()
		if current != nil {
			return current, nil
		}
		select {
		case <-next:
			if current = c.latest(); current != nil {
				return current, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-quit:
			return nil, errors.New("inspector closed")
		}
	}
}

// read reads the whole store.
func (c *collector) read(ctx context.Context) {
	begun := c.options.Now()
	r := &reading{at: begun, byGroup: make(map[groupKey]int), byTopic: make(map[groupKey]int), readers: make(map[groupKey][]reader)}
	lags, before := make(map[seriesKey]Lag), c.topicEnds
	c.topicEnds = make(map[groupKey]endSum, len(before))
	r.err = c.readClusters(ctx, r, lags, before)
	r.took = c.options.Now().Sub(begun)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(r, lags)
	c.publish(r)
}

// publish makes a reading the newest. The lock is held.
func (c *collector) publish(r *reading) {
	c.readings++
	r.sequence = c.readings
	c.current = r
	close(c.ended)
	c.ended = make(chan struct{})
}

// keep adds a reading to the history.
func (c *collector) keep(r *reading, lags map[seriesKey]Lag) {
	h := c.history
	h.begin(r.at)
	used := h.bytes()
	for i := range r.groups {
		g := &r.groups[i]
		for _, topic := range g.topics {
			key := seriesKey{g.Cluster, g.Group, topic}
			lag := lags[key]
			// The lag of a group is a lower bound if that of a topic is not known.
			lag.AtLeast = lag.AtLeast || lag.Messages == nil && g.Lag.AtLeast
			used = h.add(key, lag, used)
		}
	}
	h.end()
}

// hasAny reports whether a reading, which may be nil, holds one of some series.
func (r *reading) hasAny(keys []seriesKey) bool {
	return r != nil && slices.ContainsFunc(keys, func(k seriesKey) bool {
		i, ok := r.byGroup[groupKey{k.cluster, k.group}]
		return ok && slices.Contains(r.groups[i].topics, k.topic)
	})
}

// sparklines draws the rows of a page: those of all groups would cost more than reading them does.
func (c *collector) sparklines(rows []GroupRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range rows {
		rows[i].Spark = c.history.sum(rows[i].seriesKeys(), sparkLength).Messages
	}
}

func (g *GroupRow) seriesKeys() []seriesKey {
	keys := make([]seriesKey, len(g.topics))
	for i, topic := range g.topics {
		keys[i] = seriesKey{g.Cluster, g.Group, topic}
	}
	return keys
}

func (c *collector) readClusters(ctx context.Context, r *reading, lags map[seriesKey]Lag, before map[groupKey]endSum) error {
	clusters, err := c.source.Clusters(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, cluster := range clusters {
		for _, err := range [...]error{c.readTopics(ctx, r, cluster, before), c.readGroups(ctx, r, cluster, lags)} {
			if !errors.Is(err, storage.ErrUnknownCluster) { // it was removed since it was listed
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

func (c *collector) readGroups(ctx context.Context, r *reading, cluster string, lags map[seriesKey]Lag) error {
	names, err := c.source.Groups(ctx, cluster)
	if err != nil {
		return err
	}
	sorted := slices.Sorted(names)
	var group protocol.Group
	for _, name := range sorted {
		err := c.source.Group(ctx, cluster, name, &group)
		if errors.Is(err, storage.ErrUnknownGroup) {
			continue // it has gone since it was listed
		}
		if err != nil {
			return err
		}
		at := len(r.groups)
		r.byGroup[groupKey{cluster, name}] = at
		var worst status.Verdict
		var total status.Lag
		for i := range group.Topics {
			t := &group.Topics[i]
			total = status.LagOfTopic(t)
			verdict, lag := status.OfTopic(t, group.TakenAt, c.options.Status), lagOf(total)
			worst = worst.Join(verdict)
			lags[seriesKey{cluster, name, t.Name}] = lag
			key := groupKey{cluster, t.Name}
			r.readers[key] = append(r.readers[key], reader{at, verdict, lag})
		}
		if len(group.Topics) > 1 {
			total = status.LagOfGroup(&group)
		}
		r.groups = append(r.groups, rowOf(cluster, name, &group, worst, total))
	}
	return nil
}

// RowOf sums a group up as of the moment at which it was taken, as a row of api/v1/groups has it, less the history.
func RowOf(cluster, name string, group *protocol.Group, options status.Options) GroupRow {
	return rowOf(cluster, name, group, status.OfGroup(group, options), status.LagOfGroup(group))
}

func rowOf(cluster, name string, group *protocol.Group, verdict status.Verdict, lag status.Lag) GroupRow {
	row := GroupRow{
		Cluster: cluster, Group: name, Status: verdict.Status, Why: verdict.Why,
		WhyTopic: verdict.Topic, WhyPartition: verdict.Partition, WhyPartitions: verdict.Partitions, Topics: len(group.Topics),
		Lag: lagOf(lag), topics: make([]string, 0, len(group.Topics)), folded: strings.ToLower(name),
	}
	type member struct{ owner, client string }
	members, before := make(map[member]struct{}), member{}
	var flow flowSum
	last := int64(-1)
	for i := range group.Topics {
		t := &group.Topics[i]
		row.topics = append(row.topics, t.Name)
		for p := range t.Partitions {
			partition := &t.Partitions[p]
			row.Partitions++
			// Most members own partitions that follow each other.
			if m := (member{partition.Owner, partition.ClientID}); m != before && m != (member{}) {
				members[m], before = struct{}{}, m
			}
			if n := len(partition.Commits); n > 0 {
				last = max(last, partition.Commits[n-1].Timestamp)
				flow.add(partition, group.TakenAt)
			}
		}
	}
	slices.Sort(row.topics)
	row.Members = len(members)
	row.Flow = flow.flow()
	// One that keeps up is now a little faster than its producers, now a little slower: nothing follows from that.
	if row.Status != status.CatchingUp && row.Status != status.Rewound {
		row.Flow.CatchUpMs = nil
	}
	if last >= 0 {
		row.LastCommit = &last
	}
	return row
}

func (c *collector) readTopics(ctx context.Context, r *reading, cluster string, before map[groupKey]endSum) error {
	names, err := c.source.Topics(ctx, cluster)
	if err != nil {
		return err
	}
	var ends []int64
	for _, name := range slices.SortedFunc(names, cmp.Compare[string]) {
		ends, err = c.source.EndOffsets(ctx, cluster, name, ends[:0])
		if errors.Is(err, storage.ErrUnknownTopic) {
			continue
		}
		if err != nil {
			return err
		}
		row := TopicRow{Cluster: cluster, Topic: name, Partitions: len(ends)}
		sum := endSum{at: r.at}
		for _, end := range ends {
			sum.sum += max(end, 0)
		}
		key := groupKey{cluster, name}
		row.InPerSecond = production(before[key], sum)
		c.topicEnds[key] = sum
		r.byTopic[key] = len(r.topics)
		r.topics = append(r.topics, row)
	}
	return nil
}

// production returns how fast a topic grew since the reading before, nil if that is not known.
func production(before, now endSum) *float64 {
	elapsed := now.at.Sub(before.at).Seconds()
	if before.at.IsZero() || elapsed <= 0 || now.sum < before.sum {
		return nil
	}
	rate := float64(now.sum-before.sum) / elapsed
	return &rate
}

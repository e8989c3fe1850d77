package lagredis

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage"
)

// bucketState is what this process knows of a bucket of groups.
//
// A failover may return the bucket to an earlier state, and the server notifies no client of that. It would do no harm if the feed
// went back too, to the position that the bucket holds. So a process that feeds a bucket counts its changes, one at a time, and the
// bucket counts them in the same scripts. A change that finds another count than its own is refused, and so is everything that is fed
// into the bucket until the feed has been notified and has asked for the positions again. If the feed went on before that, commits
// would get wrong lags, because earlier ones would arrive later.
type bucketState struct {
	mu sync.Mutex // held while a counted change is under way; guards all below
	// writer is the name under which the changes are counted, applied is their number.
	writer  string
	applied int64
	// turns counts how often the bucket turned out to be possibly in an earlier state, and how often a feed was notified of that:
	// whatever began before is refused. Read without mu by new calls.
	turns atomic.Int64
	// asked counts how often a feed asked for the positions: it then reads again what is known of a group. Read without mu.
	asked atomic.Int64
	// feeds are the clusters that are fed.
	feeds map[string]*feedState
	// fenced is set once this process has held the lease; epoch is the epoch of the lease while it is held, "" otherwise.
	fenced bool
	epoch  string
	// holds reports whether epoch is set; read without mu.
	holds atomic.Bool
}

// setEpoch records the epoch of the lease, "" if it is not held any more.
func (b *bucketState) setEpoch(epoch string) {
	b.epoch = epoch
	b.holds.Store(epoch != "")
}

// feedState is what the feed of a cluster knows of a bucket.
type feedState struct {
	// astray is set while the position of the feed may differ from that of the bucket, told once the feed was notified of that.
	astray, told bool
}

const fieldEpoch = "e"

var (
	errTurned = fmt.Errorf("%w: the bucket is in an earlier state: its feed must continue from the positions", storage.ErrUnavailable)
	errFenced = fmt.Errorf("%w: another process feeds the bucket", storage.ErrUnavailable)
)

// turn starts a new count, and marks all feeds as astray.
func (b *bucketState) turn() {
	b.writer, b.applied = newVersion(), 0
	b.turns.Add(1)
	for _, feed := range b.feeds {
		*feed = feedState{astray: true}
	}
}

// feed returns the state of the feed of a cluster, and creates it if there is none.
func (b *bucketState) feed(cluster string) *feedState {
	if b.feeds[cluster] == nil {
		if b.feeds == nil {
			b.feeds = make(map[string]*feedState)
		}
		b.feeds[cluster] = new(feedState)
	}
	return b.feeds[cluster]
}

// asks records that the feed of a cluster asks for the positions, before it gets them. A feed that is astray and was not notified
// stays so, because another feed of the cluster may be asking.
func (b *bucketState) asks(cluster string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked.Add(1)
	if feed := b.feed(cluster); feed.told {
		*feed = feedState{}
	}
}

// fedBy is the origin of a position.
func (b *bucketState) fedBy(cluster string) origin {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feed(cluster)
	return origin{cluster: cluster, turns: b.turns.Load(), fed: true}
}

// origin is the origin of a change.
type origin struct {
	cluster string
	// turns is that of the bucket when the change began.
	turns int64
	// fed is set for a commit, a deletion or a position whose sender has the positions.
	fed bool
}

// checkLocked returns an error if a change must not happen.
func (b *bucketState) checkLocked(from origin) error {
	if feed := b.feeds[from.cluster]; feed != nil && (feed.astray || from.turns != b.turns.Load()) {
		if from.fed && feed.astray && !feed.told {
			feed.told = true
			b.turns.Add(1)
		}
		return errTurned
	}
	if b.fenced && b.epoch == "" {
		return errFenced
	}
	return nil
}

// guarded makes a change of a bucket depend on two conditions: the bucket is as this process left it, and the lease, if this process
// ever had it, is still its own. send sends the change and returns the number of the check that failed, like outcome. The checks of
// the change itself come first.
func (db *DB) guarded(bucket int, from origin, x *change, send func() (failed int, err error)) (failed int, err error) {
	b := &db.buckets[bucket]
	b.mu.Lock()
	if !b.fenced && len(b.feeds) == 0 {
		b.mu.Unlock()
		return send()
	}
	defer b.mu.Unlock()
	if err := b.checkLocked(from); err != nil {
		return 0, err
	}
	own := len(x.checks) / 3
	db.count(bucket, b, x)
	if b.fenced {
		x.expect(db.leaseKey(bucket), fieldEpoch, b.epoch)
	}
	failed, err = send()
	switch {
	case err != nil:
		if mayHaveHappened(err) {
			b.turn()
		}
	case failed == 0:
		b.applied++
	case failed == own+1:
		db.counts.turns.Add(1)
		b.turn()
		if err := b.checkLocked(from); err != nil {
			return 0, err
		}
		return 0, errConflict // no feed is affected: retry with a new count
	case failed == own+2:
		b.setEpoch("")
		return 0, errFenced
	}
	return failed, err
}

// count makes a change depend on all earlier changes of this process to the bucket.
func (db *DB) count(bucket int, b *bucketState, x *change) {
	if b.writer == "" {
		b.writer = newVersion()
	}
	before := ""
	if b.applied > 0 {
		before = strconv.FormatInt(b.applied, 10)
	}
	x.expect(db.writersKey(bucket), b.writer, before)
	x.run("HSET", db.writersKey(bucket), b.writer, strconv.FormatInt(b.applied+1, 10))
}

// mayHaveHappened reports whether a change may have happened although it returned an error: the server has not answered.
func mayHaveHappened(err error) bool {
	_, answered := rueidis.IsRedisErr(err)
	return !answered
}

// isForFeed reports whether only the feed can do something about an error.
func isForFeed(err error) bool { return errors.Is(err, errTurned) || errors.Is(err, errFenced) }

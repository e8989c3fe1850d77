package simulation_test

import (
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// truth is everything that was ever written to one incarnation of a partition: the end offset was ends[i] from written[i] on,
// in Unix milliseconds.
type truth struct{ written, ends []int64 }

func (w *truth) end() int64 {
	if len(w.ends) == 0 {
		return 0
	}
	return w.ends[len(w.ends)-1]
}

func (w *truth) write(now, messages int64) {
	if messages > 0 {
		w.written, w.ends = append(w.written, now), append(w.ends, w.end()+messages)
	}
}

// truncate removes everything from the nth write on.
func (w *truth) truncate(n int) { w.written, w.ends = w.written[:n], w.ends[:n] }

// lag returns how long ago the message at an offset was the newest; 0 if it is not written yet.
func (w *truth) lag(offset, now int64) int64 {
	i := sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > offset })
	if i == len(w.ends) {
		return 0
	}
	return now - w.written[i]
}

// life is a way in which a partition lives.
type life struct {
	name string
	// messages is the number of messages in a second of the life.
	messages func(chance *rand.Rand, second int64) int64
	// disturb is called after each poll and may truncate the log.
	disturb func(chance *rand.Rand, w *truth)
}

var lives = []life{
	{name: "steady", messages: func(*rand.Rand, int64) int64 { return 100 }},
	{name: "idle", messages: func(_ *rand.Rand, second int64) int64 {
		if second%5400 < 900 {
			return 20
		}
		return 0
	}},
	{name: "bursty", messages: func(chance *rand.Rand, _ int64) int64 {
		if chance.IntN(200) == 0 {
			return 1 + chance.Int64N(50_000)
		}
		return 0
	}},
	{name: "recreated",
		messages: func(chance *rand.Rand, _ int64) int64 { return chance.Int64N(50) },
		disturb: func(chance *rand.Rand, w *truth) {
			if chance.IntN(50) == 0 {
				w.truncate(0)
			}
		}},
	{name: "truncated",
		messages: func(chance *rand.Rand, second int64) int64 { return second / 600 % 3 * 30 },
		disturb: func(chance *rand.Rand, w *truth) {
			if n := len(w.ends); n > 0 && chance.IntN(50) == 0 {
				w.truncate(n - 1 - chance.IntN(min(n, 500)))
			}
		}},
}

// clocks are those of the clients of the store.
var clocks = []struct {
	name string
	// poller and broker return what to add to the store's time.
	poller, broker func(chance *rand.Rand, second int64) int64
	// slack is by how many milliseconds the poller's times may be too early, which the store cannot know: they look like polls
	// that were long on their way.
	slack int64
}{
	{name: "right", poller: right, broker: right},
	{name: "broker skewed", poller: right, broker: func(chance *rand.Rand, _ int64) int64 {
		return chance.Int64N(7_200_000) - 3_600_000
	}},
	{name: "poller ahead", poller: func(*rand.Rand, int64) int64 { return 20_000 }, broker: right},
	{name: "poller behind", slack: 20_000, poller: func(*rand.Rand, int64) int64 { return -20_000 }, broker: right},
	{name: "poller steps", broker: right, poller: func(_ *rand.Rand, second int64) int64 {
		return second / 2000 % 3 * 120_000 % 240_000 // right, ahead and right again
	}},
	{name: "poller steps back", slack: 120_000, broker: right, poller: func(_ *rand.Rand, second int64) int64 {
		return -(second / 2000 % 2 * 120_000)
	}},
	{name: "poller jitters", slack: 5_000, broker: right, poller: func(chance *rand.Rand, _ int64) int64 {
		return chance.Int64N(10_000) - 5_000
	}},
}

func right(*rand.Rand, int64) int64 { return 0 }

// TestTimeLagSimulation runs a partition whose every write is known for hours, polls it every 30 s over the channel, lets a
// group commit all over it, and checks that the truth lies within the bounds of every time lag. A single life is random; all
// of them together get every kind of time lag.
func TestTimeLagSimulation(t *testing.T) {
	t.Parallel()
	base := testkit.Seed(t)
	seen := make(map[protocol.TimeLagKind]int64) // guarded by counting
	var counting sync.Mutex
	t.Cleanup(func() { // when all lives are over
		for _, kind := range []protocol.TimeLagKind{protocol.TimeLagExact, protocol.TimeLagInterpolated, protocol.TimeLagAtLeast} {
			assert.NotZero(t, seen[kind], "nothing was ever answered as %v", kind)
		}
	})
	for c, clock := range clocks {
		for l, life := range lives {
			if c > 0 && l%len(clocks) != c%len(lives) && l != 0 {
				continue // every clock with a steady producer and one other
			}
			t.Run(clock.name+"/"+life.name, func(t *testing.T) {
				t.Parallel()
				chance := rand.New(rand.NewPCG(base, uint64(c*100+l)))
				synctest.Test(t, func(t *testing.T) {
					s := simulated{
						Service: testkit.Started(t, testkit.Config("curve-segments", 4+chance.IntN(40), "expire-group", 100_000_000)),
						chance:  chance, life: life, broker: clock.broker, poller: clock.poller, slack: clock.slack,
						seen: make(map[protocol.TimeLagKind]int64),
					}
					s.run(testkit.Length(t, 6000))
					counting.Lock()
					defer counting.Unlock()
					for kind, n := range s.seen {
						seen[kind] += n
					}
				})
			})
		}
	}
}

// simulated is one run.
type simulated struct {
	*testkit.Service
	chance         *rand.Rand
	life           life
	broker, poller func(chance *rand.Rand, second int64) int64
	slack          int64

	truth  truth
	polled int64 // the newest end offset that was polled, -1 before the first
	// dipFrom is the end offset before it went back, until the second dipUntil.
	dipFrom, dipUntil int64
	seen              map[protocol.TimeLagKind]int64
}

const pollEvery = 30

func (s *simulated) run(seconds int) {
	s.polled = -1
	begin := s.chance.Int64N(2000) // the monitor starts when the partition has lived for a while
	for second := range int64(seconds) {
		time.Sleep(time.Second)
		now := time.Now().UnixMilli()
		messages := s.life.messages(s.chance, second)
		if second > s.dipUntil {
			s.dipFrom = 0
		}
		for _, before := range []int64{s.polled, s.dipFrom} {
			if lost := before - s.truth.end(); lost > 0 {
				// A log that has grown again by the next poll, or by the one after it, looks as if it had never gone back.
				messages = min(messages, lost/2)
			}
		}
		s.truth.write(now, messages)
		switch {
		case second < begin:
			continue
		case (second-begin)%pollEvery == 0:
			r := testkit.EndOf("topic", 0, 1, s.truth.end())
			r.Timestamp = now + s.poller(s.chance, second)
			s.Send(r)
			if s.truth.end() < s.polled {
				s.dipFrom, s.dipUntil = s.polled, second+2*pollEvery
			}
			s.polled = s.truth.end()
			if s.life.disturb != nil {
				s.life.disturb(s.chance, &s.truth)
			}
		}
		if s.chance.IntN(25) == 0 && s.truth.end() >= s.polled {
			s.question(second, now)
		}
	}
}

// question lets the group commit somewhere, now or dated as a broker remembers it, and checks the lag in time.
func (s *simulated) question(second, now int64) {
	end := s.truth.end()
	near := s.chance.Int64N(1 + min(end, 1+s.chance.Int64N(1+end)))
	for _, commit := range []int64{s.chance.Int64N(end + 1), end - near, end - 1, end, end + 3, s.polled, s.polled - 1, 0} {
		r := testkit.CommitOf("group", "topic", 0, commit, 0, now+s.broker(s.chance, second))
		s.Send(r)
		p := s.Look("group")
		if p.TimeLag == nil {
			s.seen[protocol.TimeLagUnknown]++
			require.True(s.T, commit < 0 || p.State == protocol.PartitionReset ||
				p.State == protocol.PartitionBeyondEnd && commit > s.polled, "no time lag for commit %d, %v", commit, p.State)
			continue
		}
		s.seen[p.TimeLag.Kind]++
		truth, told := s.truth.lag(commit, now), *p.TimeLag
		if told.Kind == protocol.TimeLagAtLeast {
			require.LessOrEqual(s.T, told.Lag.Milliseconds(), truth+s.slack, "second %d, commit %d of %d: %+v", second, commit, end, told)
			continue
		}
		require.InDelta(s.T, truth, told.Lag.Milliseconds(), float64(told.Margin.Milliseconds()+s.slack), "second %d, commit %d of %d: %+v", second, commit, end, told)
	}
}

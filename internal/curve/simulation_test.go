package curve

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// clock is what a poller's clock shows at a true time, and which errors of lags it allows.
type clock struct {
	name string
	// new makes the clock of one run; reading is called with times that do not decrease.
	new func(r *rand.Rand) func(t int64) int64
	// onClock is set if the truth is measured on the clock itself, which never goes back, and not in true time.
	onClock bool
	// slack is how much the readings may add to the error, in ms.
	slack int64
}

const jitter = 5 * second

var clocks = []clock{
	{name: "right", new: func(*rand.Rand) func(int64) int64 { return func(t int64) int64 { return t } }},
	{name: "skewed", onClock: true, new: func(r *rand.Rand) func(int64) int64 {
		by, drift := r.Int64N(20*hour)-10*hour, 1000-r.Int64N(3)
		return func(t int64) int64 { return by + t*drift/1000 }
	}},
	{name: "jumps forward", onClock: true, new: func(r *rand.Rand) func(int64) int64 {
		first, every, by := r.Int64N(hour), hour+r.Int64N(hour), r.Int64N(3*hour)
		return func(t int64) int64 { return t + (t+first)/every*by }
	}},
	// each step is more than twice the time between two polls: a smaller one cannot be told from a poll that came early
	{name: "steps back", new: func(r *rand.Rand) func(int64) int64 {
		first, every, by := r.Int64N(hour), hour+r.Int64N(hour), 2*maxPoll+r.Int64N(2*hour)
		return func(t int64) int64 { return t - (t+first)/every*by }
	}},
	// wrong by up to jitter at every reading, so that it goes back all the time if polls are frequent
	{name: "jitters", slack: 2 * jitter, new: func(r *rand.Rand) func(int64) int64 {
		return func(t int64) int64 { return t + r.Int64N(2*jitter+1) - jitter }
	}},
}

// maxPoll is the longest time between two polls in the simulation, in ms.
const maxPoll = 5 * minute

// TestSimulation produces, polls and queries in a world whose truth is known. The truth must be within the bound of every answer, or
// above the lower bound of an AtLeast. SEED=n runs one seed again.
func TestSimulation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	runs := 12
	if testing.Short() || raceEnabled {
		runs = 2
	}
	for _, clk := range clocks {
		t.Run(clk.name, func(t *testing.T) {
			var seen [AtLeast + 1]int
			for run := range runs * len(producers) {
				s := simulation{
					T: t, r: rand.New(rand.NewPCG(seed, uint64(run))), clock: clk,
					producer: producers[run%len(producers)], seen: &seen,
				}
				s.run()
			}
			for kind, n := range seen {
				if n == 0 {
					t.Errorf("nothing was ever answered as %s", Kind(kind))
				}
			}
			t.Logf("unknown %d, exact %d, interpolated %d, at least %d", seen[0], seen[1], seen[2], seen[3])
		})
	}
}

// simulation is one run: one partition, its polls, and queries for positions everywhere.
type simulation struct {
	*testing.T
	r        *rand.Rand
	clock    clock
	producer producer
	seen     *[AtLeast + 1]int

	world world
	curve Curve
	read  func(t int64) int64
	// onClock is what the clock showed at each write of world.
	onClock []int64
	max     int
}

func (s *simulation) run() {
	s.max = 2 + s.r.IntN(DefaultSegments)
	s.read = s.clock.new(s.r)
	interval := second + s.r.Int64N(maxPoll/2)
	duration := min(24*hour, interval*int64(20+s.r.IntN(600)))
	wait := s.r.Int64N(2 * maxPoll) // the monitor starts when the producer has run for a while
	next := wait

	for now := int64(0); now < wait+duration; now += second {
		reading := s.read(now)
		s.write(now, reading)
		if now >= next {
			next = now + max(second, min(maxPoll, interval/2+s.r.Int64N(interval)))
			s.disturb(now)
			s.poll(reading)
		}
		if s.r.IntN(10) == 0 {
			s.ask(now, reading)
		}
	}
}

// write writes the messages of this second, at its beginning.
func (s *simulation) write(now, reading int64) {
	s.world.produce(now, s.producer.rate(s.r, now/second))
	if len(s.world.writes) > len(s.onClock) {
		s.onClock = append(s.onClock, reading)
	}
}

// disturb recreates or truncates the partition now and then, or deletes its oldest messages.
func (s *simulation) disturb(now int64) {
	newest, _ := s.curve.Newest()
	switch s.r.IntN(400) {
	case 0: // recreated
		s.world, s.onClock = world{}, nil
	case 1: // truncated in the middle of what was written
		if n := len(s.world.writes); n > 0 {
			n = s.r.IntN(n)
			s.world.writes, s.onClock = s.world.writes[:n], s.onClock[:n]
		}
	}
	// if the end offset went back since the last poll and is not below what was seen, no poll can notice
	if s.curve.Len() > 0 && s.world.end() < newest.Offset {
		s.world.produce(now, s.r.Int64N(newest.Offset-s.world.end()))
		if len(s.world.writes) > len(s.onClock) {
			s.onClock = append(s.onClock, s.read(now))
		}
	}
}

func (s *simulation) poll(reading int64) {
	before, known := s.curve.Newest()
	end := s.world.end()
	if reset := s.curve.Observe(end, reading, s.max); reset != (known && end < before.Offset) {
		s.Fatalf("Observe(%d) = %t after %d", end, reset, before.Offset)
	}
	checkInvariants(s.T, &s.curve, s.max)
	copied, rest, err := Decode(s.curve.AppendBinary(nil))
	if err != nil || len(rest) > 0 {
		s.Fatalf("decode: %v, %d bytes left", err, len(rest))
	}
	if s.r.IntN(50) == 0 { // a restart
		s.curve = copied
	}
}

// ask checks the answers for a few positions.
func (s *simulation) ask(now, reading int64) {
	newest, known := s.curve.Newest()
	if known && s.world.end() < newest.Offset {
		return // the partition went back, and no poll has seen it yet
	}
	ago := int64(math.Pow(float64(now+2), s.r.Float64()))
	for _, commit := range []int64{
		s.world.endAt(now - ago), s.world.endAt(now-ago) - 1, s.r.Int64N(s.world.end() + 1), newest.Offset - 1, newest.Offset,
		newest.Offset + 1, s.curve.oldest().Offset - 1, -1,
	} {
		e := s.curve.Lag(commit, reading)
		s.seen[e.Kind]++
		if e.Millis < 0 || e.ErrorMillis < 0 {
			s.Fatalf("commit %d at %d: negative %+v", commit, now, e)
		}
		truth := s.truth(commit, now, reading)
		var wrong bool
		switch e.Kind {
		case Unknown:
			wrong = known && commit >= 0
		case AtLeast:
			wrong = truth < e.Millis-s.clock.slack
		default:
			wrong = max(truth-e.Millis, e.Millis-truth) > e.ErrorMillis+s.clock.slack
		}
		if wrong {
			s.Fatalf("%s, commit %d of %d at %d (clock %d): truth %d, answer %+v (%s), curve %v, %d doubtful, max %d",
				s.producer.name, commit, s.world.end(), now, reading, truth, e, e.Kind, s.curve.AppendSegments(nil),
				s.curve.doubtful, s.max)
		}
	}
}

// truth is the true lag in the time of the clock.
func (s *simulation) truth(commit, now, reading int64) int64 {
	if !s.clock.onClock {
		return s.world.lag(commit, now)
	}
	i, ok := s.world.index(commit)
	if !ok {
		return 0
	}
	return reading - s.onClock[i]
}

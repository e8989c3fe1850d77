package curve

import (
	"math"
	"testing"
)

// minute and second are ms.
const (
	second = 1000
	minute = 60 * second
	hour   = 60 * minute
)

// observations polls a new curve with pairs of a time and an end offset.
func observations(t *testing.T, pairs ...int64) *Curve {
	t.Helper()
	var c Curve
	for i := 0; i < len(pairs); i += 2 {
		if c.Observe(pairs[i+1], pairs[i], DefaultSegments) {
			t.Fatalf("end offset %d was taken for a new incarnation", pairs[i+1])
		}
	}
	return &c
}

func expect(t *testing.T, what string, got, want Estimate) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %+v (%s), want %+v (%s)", what, got, got.Kind, want, want.Kind)
	}
}

// expectAbout checks an interpolated lag: it must be within tolerance of want, and its bound at most bound.
func expectAbout(t *testing.T, what string, got Estimate, want, tolerance, bound int64) {
	t.Helper()
	if got.Kind != Interpolated || max(got.Millis-want, want-got.Millis) > tolerance || got.ErrorMillis > bound {
		t.Errorf("%s: %+v (%s), want %d ± %d with a bound of %d or less", what, got, got.Kind, want, tolerance, bound)
	}
}

func TestSteadyProducer(t *testing.T) {
	// 1,000 messages/s for an hour; a group 300 s behind, queried at each poll and between polls
	var c Curve
	for now := int64(0); now <= hour; now += second {
		if now%poll == 0 {
			c.Observe(now, now, DefaultSegments)
		}
		if now < 10*minute {
			continue
		}
		expectAbout(t, "300 s behind", c.Lag(now-300*second, now), 300*second, 0, poll)
		expectAbout(t, "half an hour behind", c.Lag(max(0, now-hour/2), now), min(now, hour/2), 0, poll)
	}
}

func TestIdleProducer(t *testing.T) {
	// one batch of 1,000 between the polls at 0 and at 30 s, then nothing; queried an hour after the poll before the batch
	var c Curve
	c.Observe(5000, 0, DefaultSegments)
	for now := int64(poll); now <= hour; now += poll {
		c.Observe(6000, now, DefaultSegments)
	}
	if c.Len() != 2 {
		t.Errorf("an idle producer took %d segments, want 2", c.Len())
	}
	expect(t, "middle of the last batch", c.Lag(5500, hour), Estimate{Interpolated, 3585 * second, poll, Measured})
	expect(t, "one record from the end", c.Lag(5999, hour), Estimate{Interpolated, 3570*second + 30, poll, Measured})
	expect(t, "before the batch", c.Lag(5000, hour), Estimate{Interpolated, 3600 * second, poll, Measured})
	expect(t, "at the end", c.Lag(6000, hour), Estimate{Exact, 0, 0, Measured})
	expect(t, "at the end, 20 s after the poll", c.Lag(6000, hour+20*second), Estimate{Exact, 0, 20 * second, Measured})
	expect(t, "before the curve", c.Lag(4999, hour), Estimate{AtLeast, hour, 0, Measured})

	// the producer writes again: both edges of the idle time are there
	c.Observe(7000, hour+poll, DefaultSegments)
	expect(t, "middle of the batch before the idle hour", c.Lag(5500, hour+poll), Estimate{Interpolated, 3615 * second, poll, Measured})
	expect(t, "first message after the idle hour", c.Lag(6000, hour+poll), Estimate{Interpolated, poll, poll, Measured})
	expect(t, "middle of the batch after it", c.Lag(6500, hour+poll), Estimate{Interpolated, poll / 2, poll, Measured})
}

func TestGroupStartedWhileProducerIdle(t *testing.T) {
	var c Curve
	expect(t, "nothing seen", c.Lag(10, hour), Estimate{})
	for now := int64(0); now <= hour; now += poll {
		c.Observe(6000, now, DefaultSegments)
	}
	expect(t, "behind", c.Lag(10, hour), Estimate{AtLeast, hour, 0, Measured})
	expect(t, "at 0", c.Lag(0, hour), Estimate{AtLeast, hour, 0, Measured})
	expect(t, "at the end", c.Lag(6000, hour), Estimate{Exact, 0, 0, Measured})
	expect(t, "no position", c.Lag(-1, hour), Estimate{})
}

func TestReplayFromBeforeTheCurve(t *testing.T) {
	var c Curve
	for now := int64(0); now <= 10*hour; now += poll {
		c.Observe(1_000_000+now, now, DefaultSegments)
	}
	expect(t, "start of the log", c.Lag(3, 10*hour), Estimate{AtLeast, 10 * hour, 0, Measured})
	expect(t, "just before the curve", c.Lag(999_999, 10*hour), Estimate{AtLeast, 10 * hour, 0, Measured})
	expectAbout(t, "where the curve starts", c.Lag(1_000_000, 10*hour), 10*hour, 0, poll)
}

func TestIncarnations(t *testing.T) {
	c := observations(t, 0, 1000, poll, 2000)
	if !c.Observe(500, 2*poll, DefaultSegments) {
		t.Fatal("a truncation went unnoticed")
	}
	expect(t, "before the new curve", c.Lag(400, 3*poll), Estimate{AtLeast, poll, 0, Measured})
	expect(t, "at its end", c.Lag(500, 2*poll), Estimate{Exact, 0, 0, Measured})
	if c.Observe(600, 3*poll, DefaultSegments) {
		t.Fatal("growth was taken for a truncation")
	}
	expect(t, "in the new curve", c.Lag(550, 3*poll), Estimate{Interpolated, poll / 2, poll, Measured})

	c.Reset()
	expect(t, "after a reset", c.Lag(550, 3*poll), Estimate{})
	if c.Observe(0, 4*poll, DefaultSegments) {
		t.Fatal("the first end offset after a reset was taken for a truncation")
	}
	expect(t, "empty partition", c.Lag(0, 4*poll), Estimate{Exact, 0, 0, Measured})
}

func TestBurst(t *testing.T) {
	c := observations(t, 0, 100, poll, 101, 2*poll, 10_000_101, 3*poll, 10_000_102)
	expect(t, "before the burst", c.Lag(100, 3*poll), Estimate{Interpolated, 3 * poll, poll, Measured})
	expect(t, "start of the burst", c.Lag(101, 3*poll), Estimate{Interpolated, 2 * poll, poll, Measured})
	expect(t, "quarter of the burst", c.Lag(2_500_101, 3*poll), Estimate{Interpolated, 2*poll - poll/4, poll, Measured})
	expect(t, "after the burst", c.Lag(10_000_101, 3*poll), Estimate{Interpolated, poll, poll, Measured})
}

func TestClockBack(t *testing.T) {
	c := observations(t, 0, 100, hour, 200, hour+poll, 300, hour+2*poll, 400)
	expect(t, "asked before the newest poll", c.Lag(350, hour+poll), Estimate{Interpolated, poll / 2, 2 * poll, Measured})
	expect(t, "at the end, asked before the newest poll", c.Lag(400, hour+poll), Estimate{Exact, 0, poll, Measured})

	// half an hour back: what was dated later than that is later than now, and its true age is unknown
	at := int64(hour / 2)
	if c.Observe(500, at, DefaultSegments) {
		t.Fatal("a clock that went back is not a new incarnation")
	}
	for _, commit := range []int64{100, 199, 200, 300, 499} {
		expect(t, "old clock, at once", c.Lag(commit, at), Estimate{AtLeast, 0, 0, Measured})
		expect(t, "old clock, later", c.Lag(commit, at+minute), Estimate{AtLeast, minute, 0, Measured})
	}
	expect(t, "before the curve", c.Lag(99, at), Estimate{AtLeast, hour / 2, 0, Measured})
	c.Observe(600, at+poll, DefaultSegments)
	expect(t, "new clock", c.Lag(550, at+poll), Estimate{Interpolated, poll / 2, poll, Measured})
	expect(t, "old clock", c.Lag(499, at+poll), Estimate{AtLeast, poll, 0, Measured})

	// a little back while idle: the old edge stays a lower bound
	c = observations(t, 0, 100, poll, 200, hour, 200)
	c.Observe(200, hour-5, DefaultSegments)
	expect(t, "idle, clock back 5 ms", c.Lag(150, hour-5), Estimate{AtLeast, hour - 5 - poll, 0, Measured})
	expect(t, "at the end", c.Lag(200, hour-5), Estimate{Exact, 0, 0, Measured})

	// back before everything
	c = observations(t, hour, 100, hour+poll, 200)
	c.Observe(300, -hour, DefaultSegments)
	if s := c.AppendSegments(nil); len(s) != 1 || s[0] != (Segment{300, -hour, -hour}) {
		t.Errorf("segments %v, want the newest alone", s)
	}
	expect(t, "older than the clock", c.Lag(100, -hour+5), Estimate{AtLeast, 5, 0, Measured})
}

func TestForwardJumpThatIsTakenBack(t *testing.T) {
	// one poll is dated an hour ahead: the earlier ones have the right date
	c := observations(t, 0, 100, poll, 200, hour+2*poll, 300, 3*poll, 400, 4*poll, 500)
	expect(t, "before the jump", c.Lag(150, 4*poll), Estimate{AtLeast, 3 * poll, 0, Measured})
	expect(t, "across it", c.Lag(250, 4*poll), Estimate{AtLeast, poll, 0, Measured})
	expect(t, "after it", c.Lag(450, 4*poll), Estimate{Interpolated, poll / 2, poll, Measured})
}

func TestSeveralOffsetsInOneMillisecond(t *testing.T) {
	c := observations(t, 7, 1, 7, 2, 7, 3)
	expect(t, "same ms", c.Lag(1, 7), Estimate{Interpolated, 0, 0, Measured})
	expect(t, "a second later", c.Lag(2, 1007), Estimate{Interpolated, 1000, 0, Measured})
}

func TestExtremes(t *testing.T) {
	const most, least = math.MaxInt64, math.MinInt64
	c := observations(t, least, 0, most, most)
	expect(t, "oldest", c.Lag(0, most), Estimate{Interpolated, most, most, Measured})
	expect(t, "middle", c.Lag(most/2, most), Estimate{Interpolated, most, most, Measured})
	expect(t, "last message", c.Lag(most-1, most), Estimate{Interpolated, 3, most, Measured})
	expect(t, "end", c.Lag(most, least), Estimate{Exact, 0, most, Measured})
	expect(t, "asked at the beginning of time", c.Lag(most-1, least), Estimate{Interpolated, 3, most, Measured})

	c = observations(t, least, 5)
	expect(t, "at least everything", c.Lag(4, most), Estimate{AtLeast, most, 0, Measured})
	c.Observe(6, most, 1)
	if c.Len() != 1 {
		t.Errorf("%d segments, want 1", c.Len())
	}
	expect(t, "room for one", c.Lag(5, most), Estimate{AtLeast, 0, 0, Measured})
}

func TestOffAndNonsense(t *testing.T) {
	c := observations(t, 0, 10, poll, 20)
	if c.Observe(-1, 2*poll, DefaultSegments) || c.Len() != 2 {
		t.Error("a negative end offset was taken in")
	}
	if c.Observe(30, 2*poll, 0) || c.Len() != 0 || c.steps != nil {
		t.Error("a curve that is turned off still holds something")
	}
	expect(t, "off", c.Lag(15, 2*poll), Estimate{})
}

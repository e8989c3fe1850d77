package clock

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// bubble runs a test with a clock in a bubble. Its clock starts at a whole second.
func bubble(t *testing.T, test func(t *testing.T, c *Clock)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := Start()
		defer c.Stop()
		test(t, c)
	})
}

// asleep reports whether the clock's goroutine waits for a reader.
func (c *Clock) asleep() bool {
	synctest.Wait()
	return c.milliseconds.Load() == 0
}

// TestCoarse reads at every millisecond of some seconds: the time is never in the future, never far in the past, and never of
// another second.
func TestCoarse(t *testing.T) {
	bubble(t, func(t *testing.T, c *Clock) {
		late := int64(0)
		for range 3500 {
			now, coarse := c.Now(), c.Coarse()
			require.LessOrEqual(t, coarse, now)
			require.LessOrEqual(t, now-coarse, int64(tick/time.Millisecond))
			require.Equal(t, now/1000, coarse/1000)
			late = max(late, now-coarse)
			time.Sleep(time.Millisecond)
		}
		require.Positive(t, late, "the coarse time was always exact, so it came from the system")
	})
}

// TestCoarseAtRandomPauses reads now and then, so that the clock falls asleep and wakes at every possible moment.
func TestCoarseAtRandomPauses(t *testing.T) {
	bubble(t, func(t *testing.T, c *Clock) {
		for i := range 500 {
			now, coarse := c.Now(), c.Coarse()
			require.LessOrEqual(t, coarse, now)
			require.Equal(t, now/1000, coarse/1000)
			time.Sleep(time.Duration(i*i%1311) * time.Millisecond)
		}
	})
}

func TestParksWhenNobodyAsks(t *testing.T) {
	bubble(t, func(t *testing.T, c *Clock) {
		require.True(t, c.asleep(), "nobody has read the clock yet")
		require.Equal(t, c.Now(), c.Coarse())
		require.True(t, c.asleep(), "one reading does not start the ticker")
		require.Equal(t, c.Now(), c.Coarse())
		require.False(t, c.asleep())
		for range 5 {
			time.Sleep(idleTicks * tick / 2)
			require.False(t, c.asleep())
			c.Coarse()
		}
		time.Sleep((idleTicks + 2) * tick)
		require.True(t, c.asleep())
		// After an hour of sleep it does not return the old time.
		time.Sleep(time.Hour + 7*time.Millisecond)
		require.Equal(t, c.Now(), c.Coarse())
		require.True(t, c.asleep())
		c.Coarse()
		require.False(t, c.asleep())
		time.Sleep(2*idleTicks*tick - time.Millisecond)
		require.True(t, c.asleep(), "the ticker stops within moments")
		// If it is read less than once a tick, it never wakes.
		for range 1000 {
			require.Equal(t, c.Now(), c.Coarse())
			require.True(t, c.asleep())
			time.Sleep(tick)
		}
	})
}

func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T, c *Clock) {
		c.Coarse()
		c.Coarse()
		synctest.Wait()
		time.Sleep(15 * time.Millisecond)
		c.Stop()
		c.Stop()
		for range 5 {
			require.Equal(t, c.Now(), c.Coarse())
			time.Sleep(33 * time.Millisecond)
		}
		asleep := Start()
		synctest.Wait()
		asleep.Stop()
		at := time.Now()
		Start().Stop()
		require.Equal(t, at, time.Now(), "Stop waited")
	})
}

func TestAskedFromManySides(t *testing.T) {
	t.Parallel()
	c := Start()
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			last := int64(0)
			for range 20_000 {
				coarse := c.Coarse()
				if coarse < last-nearSecond {
					t.Errorf("%d after %d", coarse, last)
					return
				}
				last = coarse
			}
		}()
	}
	all.Add(1)
	go func() {
		defer all.Done()
		c.Stop()
		c.Stop()
	}()
	all.Wait()
}

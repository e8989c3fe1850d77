package channel

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStopWaitsForAcceptedAnswers stops builders between Begin and what follows it: an answer that comes then is built, and one
// that is withdrawn does not hold Stop up. Neither counts as given up.
func TestStopWaitsForAcceptedAnswers(t *testing.T) {
	for name, follow := range map[string]func(b *Builders, a *Answer){
		"added":  func(b *Builders, a *Answer) { require.True(t, b.Add(a)) },
		"forgot": (*Builders).Forget,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				built := 0
				b := StartBuilders(3, 1, func(a *Answer) { a.Build() })
				a := &Answer{Build: func() any { built++; return nil }}
				require.True(t, b.Begin(a))
				stopped := make(chan []*Answer)
				begun := time.Now()
				go func() { stopped <- b.Stop(time.Minute) }()
				synctest.Wait()
				follow(b, a)
				require.Empty(t, <-stopped)
				require.Zero(t, time.Since(begun))
				require.Equal(t, name == "added", built == 1)
			})
		})
	}
}

// TestStopWaitsForThoseWhoEntered is the same between Enter and Leave, with and without an answer.
func TestStopWaitsForThoseWhoEntered(t *testing.T) {
	for _, adds := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			built := false
			b := StartBuilders(2, 1, func(a *Answer) { a.Build() })
			require.True(t, b.Enter())
			stopped := make(chan []*Answer)
			begun := time.Now()
			go func() { stopped <- b.Stop(time.Minute) }()
			synctest.Wait()
			require.False(t, b.Enter())
			if adds {
				require.True(t, b.Add(&Answer{Build: func() any { built = true; return nil }}))
			}
			b.Leave()
			require.Empty(t, <-stopped)
			require.Zero(t, time.Since(begun))
			require.Equal(t, adds, built)
		})
	}
}

// TestAddAfterStopGaveUp adds answers when Stop has given up: one that Stop did not know of is refused, so that its Reply is
// closed.
func TestAddAfterStopGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := StartBuilders(2, 1, func(a *Answer) { a.Build() })
		known := &Answer{}
		require.True(t, b.Enter())
		require.True(t, b.Begin(known))
		require.Equal(t, []*Answer{known}, b.Stop(time.Minute))
		require.True(t, b.Add(known))
		require.False(t, b.Add(&Answer{}))
		b.Leave()
	})
}

// TestStopGivesUpAnswers stops builders one of which never returns: the other goroutines end with Stop, and the one that is
// stuck ends when its build returns.
func TestStopGivesUpAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := StartBuilders(3, 1, func(a *Answer) { a.Build() })
		a := &Answer{Build: func() any { <-release; return nil }}
		require.True(t, b.Begin(a))
		require.True(t, b.Add(a))
		synctest.Wait()
		require.Equal(t, []*Answer{a}, b.Stop(time.Minute))
		synctest.Wait()
		b.mu.Lock()
		require.Equal(t, 1, b.alive)
		b.mu.Unlock()
		close(release)
		synctest.Wait()
		require.Zero(t, b.alive)
	})
}

// TestBusyMachineRefusesNothing holds all builds up again and again, each time long enough for there to be as many goroutines as there
// may be, as if the one that holds a lock got no processor: each answer is built.
func TestBusyMachineRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, answers = 20, 10 * maxExtraBuilders
		held := make(chan struct{})
		var mu sync.Mutex // guards held
		var built atomic.Int64
		b := StartBuilders(workers, 1, func(a *Answer) { a.Build() })
		added := make(chan struct{})
		go func() {
			defer close(added)
			for range answers {
				a := &Answer{Build: func() any {
					mu.Lock()
					wait := held
					mu.Unlock()
					<-wait
					built.Add(1)
					return nil
				}}
				assert.True(t, b.Begin(a))
				assert.True(t, b.Add(a))
			}
		}()
		for done := false; !done; {
			<-time.After((hopelessAfter - 1) * stallAfter)
			synctest.Wait()
			b.mu.Lock()
			require.True(t, b.full() || b.waiting() == 0)
			b.mu.Unlock()
			mu.Lock()
			close(held)
			held = make(chan struct{})
			mu.Unlock()
			synctest.Wait()
			select {
			case <-added:
				done = true
				mu.Lock()
				close(held)
				mu.Unlock()
			default:
			}
		}
		require.Empty(t, b.Stop(time.Minute))
		require.EqualValues(t, answers, built.Load())
	})
}

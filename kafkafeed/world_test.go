package kafkafeed

import (
	"context"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) {
	if variable := os.Getenv(monitorVariable); variable != "" {
		runMonitor(variable)
	}
	leaktest.Main(m)
}

// running is a feed that runs until the test, or stop, ends it.
type running struct {
	*Feed
	stop func()
}

func runFeed(t *testing.T, store storage.Store, opts ...Opt) *running {
	feed, err := New(store, "prod", opts...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	stopped := false
	stop := func() {
		cancel()
		if !stopped {
			stopped = true
			require.ErrorIs(t, <-ended, context.Canceled)
		}
	}
	t.Cleanup(stop)
	return &running{feed, stop}
}

func openStore(t *testing.T, path string) *storage.DB {
	store, err := storage.Open(storage.Options{Clusters: []string{"prod"}, SnapshotPath: path})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// patience is the longest wait for a condition. It measures nothing: on a busy machine brokers need minutes to start.
const patience = 5 * time.Minute

// eventually waits until a condition holds. It gives up long after everything else would have, and reports what does not hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("never held: " + what)
		}
		<-pause.C
	}
}

// agree waits until the store has what is wanted, and returns it.
func agree(t *testing.T, store storage.Store, want lags) lags {
	t.Helper()
	var have lags
	defer func() {
		if t.Failed() {
			require.Equal(t, want, have)
		}
	}()
	eventually(t, "the store agrees", func() bool {
		have = storedLags(t, store)
		return maps.Equal(want, have)
	})
	return have
}

// lags are the lags of groups as a tool prints them: "group topic partition" to "commit end lag".
type lags map[string]string

func storedLags(t *testing.T, store storage.Store) lags {
	found := lags{}
	groups, err := store.Groups(t.Context(), "prod")
	require.NoError(t, err)
	for name := range groups {
		var group protocol.Group
		if store.Group(t.Context(), "prod", name, &group) != nil {
			continue
		}
		for _, topic := range group.Topics {
			for partition, p := range topic.Partitions {
				if n, m := len(p.Commits), len(p.EndOffsets); n > 0 && m > 0 {
					found[fmt.Sprint(name, " ", topic.Name, " ", partition)] = fmt.Sprint(p.Commits[n-1].Offset, " ", p.EndOffsets[m-1], " ", p.CurrentLag)
				}
			}
		}
	}
	return found
}

package relay_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// overlapping is a store that takes commits in runs, and panics at some of them. It may be broken in other ways.
type overlapping struct {
	*storage.DB
	stored  *[]int64
	longest *atomic.Int64
	// forgets drops the outcomes, invents adds some.
	forgets, invents bool
}

func (o overlapping) Commit(_ context.Context, _, group string, commit protocol.Commit) error {
	if strings.HasPrefix(group, "broken") {
		panic(group)
	}
	*o.stored = append(*o.stored, commit.Offset)
	if group == "refused" {
		return storage.ErrFiltered
	}
	return nil
}

func (o overlapping) CommitEach(ctx context.Context, requests []protocol.StorageRequest, outcomes *[]error) {
	o.longest.Store(max(o.longest.Load(), int64(len(requests))))
	for i := range requests {
		r := &requests[i]
		err := o.Commit(ctx, r.Cluster, r.Group, protocol.Commit{Offset: r.Offset})
		if !o.forgets {
			*outcomes = append(*outcomes, err)
		}
		if o.invents {
			*outcomes = append(*outcomes, err, err)
		}
	}
}

// send sends n commits, of groups that group names, or more if there has been no run of commits until then, and returns when they have
// been carried out.
func (o overlapping) send(t *testing.T, log *zap.Logger, n int64, group func(i int64) string) *storage.Relay {
	t.Helper()
	o.DB = testkit.Open(t, nil)
	// The capacity lets requests wait, so that one sender is enough for runs.
	r := storage.NewRelay(o, log, storage.RelayOptions{QueueDepth: 1})
	r.Start()
	for i := int64(0); i < n || o.longest.Load() < 2; i++ {
		r.GetCommunicationChannel() <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOffset, Cluster: testkit.Cluster, Group: group(i), Offset: i,
		}
	}
	r.Stop()
	return r
}

// A panic of one commit of a run loses only that one: the others are stored in their order, each has its line in the log, and
// the panic that of its request.
func TestPanicInARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		var want, stored, refused, panicked []int64
		store := overlapping{stored: &stored, longest: new(atomic.Int64)}
		r := store.send(t, zap.New(core), 5000, func(i int64) string {
			if i%50 == 49 {
				panicked = append(panicked, i)
				return fmt.Sprint("broken", i)
			}
			want = append(want, i)
			if i%30 == 11 {
				refused = append(refused, i)
				return "refused"
			}
			return fmt.Sprint("group", i%7)
		})
		require.Equal(t, want, stored)
		require.EqualValues(t, len(panicked), r.Stats().Panics)
		byMessage := map[string][]int64{}
		for _, line := range logs.All() {
			fields := line.ContextMap()
			if line.Message == "panic" {
				require.Equal(t, fields["consumer"], fields["panic"])
			}
			byMessage[line.Message] = append(byMessage[line.Message], fields["offset"].(int64))
		}
		require.Equal(t, panicked, byMessage["panic"])
		require.Equal(t, refused, byMessage["dropped"])
		require.Len(t, byMessage["ok"], len(want)-len(refused))
		require.IsIncreasing(t, byMessage["ok"])
	})
}

// A store that appends too few or too many outcomes gets each commit once all the same.
func TestWrongOutcomesOfARun(t *testing.T) {
	t.Parallel()
	for _, store := range []overlapping{{forgets: true}, {invents: true}} {
		synctest.Test(t, func(t *testing.T) {
			var stored, want []int64
			store.stored, store.longest = &stored, new(atomic.Int64)
			r := store.send(t, nil, 2000, func(i int64) string {
				want = append(want, i)
				return "group"
			})
			require.Equal(t, want, stored)
			require.Zero(t, r.Stats().Panics)
		})
	}
}

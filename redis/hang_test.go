package lagredis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// Every call ends with its context while the server hangs: it keeps its connections and answers nothing.
func TestCallsEndWhileTheServerHangs(t *testing.T) {
	servers := redistest.Single(t)
	for name, call := range map[string]func(context.Context, *lagredis.DB) error{
		"commit": func(ctx context.Context, db *lagredis.DB) error {
			return db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2))
		},
		"ends": func(ctx context.Context, db *lagredis.DB) error {
			return db.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Offset: 200})
		},
		"position": func(ctx context.Context, db *lagredis.DB) error {
			return db.SetPosition(ctx, "local", protocol.Position{Offset: 1})
		},
		"takeover": func(ctx context.Context, db *lagredis.DB) error { return db.TakeOver(ctx, 0) },
		"sweep":    func(ctx context.Context, db *lagredis.DB) error { return db.Sweep(ctx) },
		"group": func(ctx context.Context, db *lagredis.DB) error {
			return db.Group(ctx, "local", "group", new(protocol.Group))
		},
		"groups": func(ctx context.Context, db *lagredis.DB) error {
			_, err := db.Groups(ctx, "local")
			return err
		},
		"positions": func(ctx context.Context, db *lagredis.DB) error {
			_, err := db.Positions(ctx, "local")
			return err
		},
		"share": func(ctx context.Context, db *lagredis.DB) error { return db.Share(ctx, func([]int32) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			// The server continues only at the end, so nothing ends because the time for a call is over.
			db := open(t, servers, freshPrefix(), func(o *lagredis.Options) { o.Timeout = time.Hour })
			setEnd(t, db, "topic", 0, 100)
			require.NoError(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 10, 1)))
			servers.Pause(0)
			defer servers.Continue(0)
			before := statsOf(t, db).Remote.RoundTrips
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- call(ctx, db) }()
			until(t, func() bool { return statsOf(t, db).Remote.RoundTrips > before })
			cancel()
			require.ErrorIs(t, <-ended, context.Canceled)
		})
	}
}

// A process that holds leases stops sharing while the server hangs. It frees them when the server continues.
func TestShareEndsWhileTheServerHangs(t *testing.T) {
	servers, prefix := redistest.Single(t), freshPrefix()
	db := open(t, servers, prefix, func(o *lagredis.Options) { o.Timeout = time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	held, ended := make(chan []int32, 10), make(chan error, 1)
	go func() { ended <- db.Share(ctx, func(buckets []int32) { held <- buckets }) }()
	require.Equal(t, []int32{0, 1, 2, 3}, <-held)
	servers.Pause(0)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Empty(t, <-held, "nothing is fed any more")
	servers.Continue(0)
	until(t, func() bool { return servers.Do(0, "HGET", prefix+"{g0}:lease", "h") == "" })
	require.NoError(t, shareOnce(t.Context(), db), "it can share again")
}

package lagredis_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// TestMain waits for what the client of Redis does after it was closed: a pending refresh of the topology ends a second later, and a
// connection to a node that has left is closed after five.
//
// Tests spend more time waiting for servers than computing, so more of them run in parallel than there are cores.
func TestMain(m *testing.M) {
	flag.Parse()
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", "4"); err != nil {
			panic(err)
		}
	}
	leaktest.Main(m)
}

// given reports whether a flag is on the command line.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// prefixes counts the states that tests have created; each has its own keys.
var prefixes atomic.Int64

func freshPrefix() string { return fmt.Sprintf("own-%d:", prefixes.Add(1)) }

// patience is how long a store waits for servers in a test. It measures nothing.
const patience = 5 * time.Minute

// open opens a store that is closed when the test ends.
func open(t testing.TB, servers *redistest.Servers, prefix string, change ...func(*lagredis.Options)) *lagredis.DB {
	t.Helper()
	options := lagredis.Options{
		Store: storage.Options{Clusters: []string{"local"}, Intervals: 3}, Addresses: servers.Addresses(), KeyPrefix: prefix, Buckets: 4,
		Timeout: patience,
	}
	for _, c := range change {
		c(&options)
	}
	db, err := lagredis.Open(context.Background(), options)
	for errors.Is(err, storage.ErrUnavailable) { // the timeout of the test is short
		db, err = lagredis.Open(context.Background(), options)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func setEnd(t testing.TB, db *lagredis.DB, topic string, partition int32, offset int64) {
	t.Helper()
	require.NoError(t, db.SetEndOffset(context.Background(), "local", topic, protocol.EndOffset{Partition: partition, Offset: offset}))
}

func commit(topic string, partition int32, offset, order int64) protocol.Commit {
	return protocol.Commit{Topic: topic, Partition: partition, Offset: offset, Order: order, Timestamp: time.Now().UnixMilli()}
}

// groupOf returns a group, nil if there is none.
func groupOf(t testing.TB, db *lagredis.DB, name string) *protocol.Group {
	t.Helper()
	group := new(protocol.Group)
	err := db.Group(context.Background(), "local", name, group)
	if errors.Is(err, storage.ErrUnknownGroup) {
		return nil
	}
	require.NoError(t, err)
	return group
}

// lags returns the lags of a window.
func lags(commits []protocol.StoredCommit) (lags []uint64) {
	for _, c := range commits {
		lags = append(lags, c.Lag)
	}
	return lags
}

package lagredis_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// lost stands for an answer that is lost with its connection, after the server has carried out the request.
const lost = "lost"

// trouble is a connection to a server in trouble.
type trouble struct {
	prefix string // of the keys of the store

	mu sync.Mutex
	// answers are those to the next writes, one after the other, guarded by mu: an error instead of carrying the write out, or lost.
	answers []string
}

func (x *trouble) expect(answers ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answers = answers
}

func (x *trouble) left() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.answers)
}

func (x *trouble) next() (answer string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.answers) > 0 {
		answer, x.answers = x.answers[0], x.answers[1:]
	}
	return answer
}

func (x *trouble) dial(ctx context.Context, address string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
	inner, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &troubled{Conn: inner, trouble: x}, nil
}

// following matches the beginning of a request that follows another one.
var following = regexp.MustCompile(`\r\n\*[0-9]+\r\n\$`)

// troubled is one connection.
type troubled struct {
	net.Conn
	trouble *trouble
	loses   atomic.Bool // whether the next answer is lost
}

func (c *troubled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.loses.Load() {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *troubled) Write(b []byte) (int, error) {
	if !bytes.Contains(b, []byte("EVALSHA")) {
		return c.Conn.Write(b)
	}
	switch answer := c.trouble.next(); answer {
	case "":
		return c.Conn.Write(b)
	case lost:
		c.loses.Store(true)
		return c.Conn.Write(b)
	default:
		// The server itself gives the answer, one for each of the requests that were sent together, so that all answers keep their order.
		script := "return redis.error_reply('" + answer + "')"
		refused := fmt.Sprintf("*3\r\n$4\r\nEVAL\r\n$%d\r\n%s\r\n$1\r\n0\r\n", len(script), script)
		if _, err := c.Conn.Write(bytes.Repeat([]byte(refused), 1+len(following.FindAll(b, -1)))); err != nil {
			return 0, err
		}
		return len(b), nil
	}
}

// troubledGroup returns a store with an end offset and a commit, whose feed has asked for its positions if fed is set.
func troubledGroup(t *testing.T, servers *redistest.Servers, fed bool) (*lagredis.DB, *trouble) {
	x := &trouble{prefix: freshPrefix()}
	db := open(t, servers, x.prefix, func(o *lagredis.Options) { o.Dial = x.dial })
	setEnd(t, db, "topic", 0, 100)
	if fed {
		_, err := db.Positions(t.Context(), "local")
		require.NoError(t, err)
	}
	require.NoError(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 10, 1)))
	return db, x
}

// hasty opens a store that gives up soon, in the same trouble as another one.
func hasty(t *testing.T, servers *redistest.Servers, x *trouble) *lagredis.DB {
	return open(t, servers, x.prefix, func(o *lagredis.Options) { o.Dial, o.Timeout = x.dial, 100*time.Millisecond })
}

// stores makes a store that gives up soon commit, be it in a call that it has given up.
func stores(t *testing.T, db *lagredis.DB, c protocol.Commit) {
	t.Helper()
	until(t, func() bool {
		err := db.Commit(t.Context(), "local", "group", c)
		return err == nil || errors.Is(err, storage.ErrDuplicate)
	})
}

func offsetsOf(t *testing.T, db *lagredis.DB) (offsets []int64) {
	t.Helper()
	for _, c := range groupOf(t, db, "group").Topics[0].Partitions[0].Commits {
		offsets = append(offsets, c.Offset)
	}
	return offsets
}

// What a server answers during a failover, while a slot moves, or while it loads its data is tried again until
// it has happened, once. The feed is not sent back, because the server says that nothing happened.
func TestErrorsOfAServerInTrouble(t *testing.T) {
	servers := redistest.Single(t)
	for _, answer := range []string{
		"READONLY It is not allowed to write against a read only replica.", "LOADING Redis is loading the dataset in memory",
		"CLUSTERDOWN The cluster is down", "CLUSTERDOWN Hash slot not served", "TRYAGAIN Multiple keys request during rehashing of slot",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to no.", "MOVED 1 127.0.0.1:1", "ASK 1 127.0.0.1:1",
		"BUSY Redis is busy running a script", "NOREPLICAS Not enough good replicas to write.",
	} {
		for name, fed := range map[string]bool{"/fed": true, "": false} {
			t.Run(strings.Fields(answer)[0]+name, func(t *testing.T) {
				db, x := troubledGroup(t, servers, fed)
				ctx := t.Context()
				x.expect(answer, answer, answer)
				require.NoError(t, db.Commit(ctx, "local", "group", commit("topic", 0, 20, 2)))
				require.NoError(t, db.CommitBatch(ctx, "local", "group", []protocol.Commit{commit("topic", 0, 30, 3)}))
				require.NoError(t, db.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Offset: 200}))
				require.NoError(t, db.SetPosition(ctx, "local", protocol.Position{Offset: 4}))
				require.NoError(t, db.TakeOver(ctx, 0))
				require.Zero(t, x.left(), "all came")
				require.Equal(t, []int64{10, 20, 30}, offsetsOf(t, db))
				require.Zero(t, statsOf(t, db).Remote.EarlierStates)
			})
		}
	}
}

// A change whose answer was lost has happened, and is not made a second time.
func TestAnswerIsLost(t *testing.T) {
	servers := redistest.Single(t)
	t.Run("commit", func(t *testing.T) {
		db, x := troubledGroup(t, servers, false)
		x.expect(lost, "LOADING", lost)
		require.NoError(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 20, 2)))
		require.Equal(t, []int64{10, 20}, offsetsOf(t, db))
		x.expect(lost)
		require.NoError(t, db.DeleteGroup(t.Context(), "local", "group"))
		require.Nil(t, groupOf(t, db, "group"))
	})
	// Whether the bucket is as the feed believes is not known, so the feed reads again from the position.
	t.Run("commit of a feed", func(t *testing.T) {
		db, x := troubledGroup(t, servers, true)
		x.expect(lost)
		require.NoError(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 20, 2)))
		require.ErrorIs(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 30, 3)), storage.ErrUnavailable)
		_, err := db.Positions(t.Context(), "local")
		require.NoError(t, err)
		require.ErrorIs(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 20, 2)), storage.ErrDuplicate)
		require.NoError(t, db.Commit(t.Context(), "local", "group", commit("topic", 0, 30, 3)))
		require.Equal(t, []int64{10, 20, 30}, offsetsOf(t, db))
	})
	// A later change is not taken for the one that was given up.
	t.Run("and the call gives up", func(t *testing.T) {
		patient, x := troubledGroup(t, servers, false)
		db := hasty(t, servers, x)
		many := []string{lost}
		for range 1000 {
			many = append(many, "LOADING")
		}
		x.expect(many...)
		var err error
		until(t, func() bool { // a call that ends before it has sent anything changes nothing
			err = db.Commit(t.Context(), "local", "group", commit("topic", 0, 20, 2))
			return x.left() < len(many)
		})
		x.expect()
		if err != nil { // otherwise the copy was read again before the first LOADING
			require.ErrorIs(t, err, storage.ErrUnavailable)
		}
		stores(t, db, commit("topic", 0, 30, 3))
		require.Equal(t, []int64{10, 20, 30}, offsetsOf(t, patient))
	})
}

// A batch that the store could not take is an error of the whole batch, although some of its commits would have been refused.
func TestBatchThatCannotBeStored(t *testing.T) {
	servers := redistest.Single(t)
	patient, x := troubledGroup(t, servers, false)
	db := hasty(t, servers, x)
	many := make([]string, 1000)
	for i := range many {
		many[i] = "LOADING"
	}
	x.expect(many...)
	err := db.CommitBatch(t.Context(), "local", "group", []protocol.Commit{commit("topic", 0, 20, 2), commit("unknown", 0, 1, 3)})
	require.ErrorIs(t, err, storage.ErrUnavailable)
	var batch *storage.BatchError
	require.NotErrorAs(t, err, &batch)
	x.expect()
	stores(t, db, commit("topic", 0, 20, 2))
	require.Equal(t, []int64{10, 20}, offsetsOf(t, patient))
}

package bounds_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// longest is the longest name in Kafka's protocol, in bytes.
const longest = 32_767

// dump returns the store as JSON lines, without the header, which has the time.
func dump(t testing.TB, db *storage.DB) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, db.Export(t.Context(), &b))
	_, lines, _ := strings.Cut(b.String(), "\n")
	return lines
}

func TestLongNames(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lag")
	db := testkit.OpenWith(t, storage.Options{SnapshotPath: path, SnapshotInterval: -1})
	ctx, now := t.Context(), time.Now().UnixMilli()
	fits := strings.Repeat("n", longest)
	end, commit := protocol.EndOffset{Offset: 9}, protocol.Commit{Topic: fits, Offset: 5, Timestamp: now}
	require.NoError(t, db.SetEndOffset(ctx, "local", fits, end))
	require.NoError(t, db.Commit(ctx, "local", fits, commit))
	require.NoError(t, db.SetOwner(ctx, "local", fits, protocol.PartitionOwner{Topic: fits, Owner: fits, ClientID: fits}))
	before := dump(t, db)

	for _, long := range []string{fits + "n", strings.Repeat("n", 16<<20)} {
		longTopic := protocol.Commit{Topic: long, Offset: 5, Timestamp: now}
		for name, err := range map[string]error{
			"end offset":             db.SetEndOffset(ctx, "local", long, end),
			"batch of end offsets":   db.SetEndOffsetBatch(ctx, "local", long, []protocol.EndOffset{end, end}),
			"group of a commit":      db.Commit(ctx, "local", long, commit),
			"topic of a commit":      db.Commit(ctx, "local", fits, longTopic),
			"group of a batch":       db.CommitBatch(ctx, "local", long, []protocol.Commit{commit}),
			"topic within a batch":   db.CommitBatch(ctx, "local", fits, []protocol.Commit{longTopic}),
			"group of an owner":      db.SetOwner(ctx, "local", long, protocol.PartitionOwner{Topic: fits, Owner: "o"}),
			"topic of an owner":      db.SetOwner(ctx, "local", fits, protocol.PartitionOwner{Topic: long, Owner: "o"}),
			"owner":                  db.SetOwner(ctx, "local", fits, protocol.PartitionOwner{Topic: fits, Owner: long}),
			"client id of the owner": db.SetOwner(ctx, "local", fits, protocol.PartitionOwner{Topic: fits, ClientID: long}),
		} {
			require.ErrorIs(t, err, storage.ErrInvalid, name)
		}
	}
	require.Equal(t, before, dump(t, db))
	stats, err := db.Stats()
	require.NoError(t, err)
	require.EqualValues(t, 6, stats.Requests.SetEndOffset.Dropped[storage.ReasonInvalid])
	require.EqualValues(t, 8, stats.Requests.Commit.Dropped[storage.ReasonInvalid])
	require.EqualValues(t, 8, stats.Requests.SetOwner.Dropped[storage.ReasonInvalid])
	require.NoError(t, db.Snapshot(ctx))
}

// A refused commit of a batch does not affect the others.
func TestLongNameWithinBatch(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{})
	now := time.Now().UnixMilli()
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "t", protocol.EndOffset{Offset: 9}))
	err := db.CommitBatch(t.Context(), "local", "g", []protocol.Commit{
		{Topic: "t", Offset: 1, Order: 1, Timestamp: now}, {Topic: strings.Repeat("t", longest+1), Offset: 2, Order: 2, Timestamp: now},
		{Topic: "t", Offset: 3, Order: 3, Timestamp: now},
	})
	var batch *storage.BatchError
	require.ErrorAs(t, err, &batch)
	require.Equal(t, []storage.Refusal{{Index: 1, Err: storage.ErrInvalid}}, batch.Refused)
}

func TestLongNamesOverChannel(t *testing.T) {
	t.Parallel()
	v := viper.New()
	v.Set("cluster.local.class-name", "kafka")
	app := &protocol.ApplicationContext{}
	c := &storage.Coordinator{App: app, Viper: v}
	c.Configure()
	require.NoError(t, c.Start())
	defer func() { require.NoError(t, c.Stop()) }()
	long, now := strings.Repeat("n", longest+1), time.Now().UnixMilli()
	for _, request := range []protocol.StorageRequest{
		{RequestType: protocol.StorageSetBrokerOffset, Topic: "t", TopicPartitionCount: 1, Offset: 9, Timestamp: now},
		{RequestType: protocol.StorageSetBrokerOffset, Topic: long, TopicPartitionCount: 1, Offset: 9, Timestamp: now},
		{RequestType: protocol.StorageSetConsumerOffset, Group: long, Topic: "t", Offset: 9, Timestamp: now},
		{RequestType: protocol.StorageSetConsumerOwner, Group: "g", Topic: "t", Owner: long},
		{RequestType: protocol.StorageSetDeleteTopic, Topic: long},
		{RequestType: protocol.StorageSetDeleteGroup, Group: long},
	} {
		request.Cluster = "local"
		app.StorageChannel <- &request
	}
	reply := make(chan any)
	app.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchTopics, Cluster: "local", Reply: reply}
	require.Equal(t, []string{"t"}, <-reply)
	stats, err := c.Stats()
	require.NoError(t, err)
	for name, count := range map[string]storage.RequestCount{
		"end offset": stats.Requests.SetEndOffset, "commit": stats.Requests.Commit, "owner": stats.Requests.SetOwner,
	} {
		require.EqualValues(t, 1, count.Dropped[storage.ReasonInvalid], name)
	}
	require.Zero(t, stats.Groups)
}

func TestLongClusterName(t *testing.T) {
	t.Parallel()
	_, err := storage.Open(storage.Options{Clusters: []string{strings.Repeat("c", longest+1)}})
	require.EqualError(t, err, "open store: invalid Clusters: a name of 32768 bytes: must be at most 32767")
}

package kafkafeed

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// fake is a Kafka in the process, without a __consumer_offsets of its own.
type fake struct {
	t       *testing.T
	cluster *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
}

func newFake(t *testing.T, opts ...kfake.Opt) *fake {
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(3, "orders")}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	f := &fake{t, cluster, client, kadm.NewClient(client)}
	return f
}

// withLog returns a fake with a log of two partitions that tests write to.
func withLog(t *testing.T, opts ...kfake.Opt) *fake {
	f := newFake(t, opts...)
	require.NoError(t, f.cluster.CreateTopic(logTopic, 2, map[string]string{"cleanup.policy": "compact", "delete.retention.ms": "0",
		"min.cleanable.dirty.ratio": "0", "segment.ms": "1"}))
	f.produce("orders", 100)
	return f
}

func (f *fake) produce(topic string, n int) {
	for partition := range int32(3) {
		for range n {
			f.write(f.client, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v")})
		}
	}
	require.NoError(f.t, f.client.Flush(f.t.Context()))
}

func (f *fake) write(client *kgo.Client, record *kgo.Record) {
	client.Produce(f.t.Context(), record, func(_ *kgo.Record, err error) {
		if err != nil {
			f.t.Error(err)
		}
	})
}

func logCommit(partition int32, group string, of int32, offset int64) *kgo.Record {
	return &kgo.Record{Topic: logTopic, Partition: partition, Key: commitKeyBytes(1, group, "orders", of),
		Value: commitValueBytes(3, offset, time.Now().UnixMilli())}
}

// log writes records to the log, one after the other.
func (f *fake) log(records ...*kgo.Record) {
	require.NoError(f.t, f.client.ProduceSync(f.t.Context(), records...).FirstErr())
}

// inTransaction writes records to the log in a transaction, and returns the function that ends it.
func (f *fake) inTransaction(id string, records ...*kgo.Record) (end func(kgo.TransactionEndTry)) {
	end, client := f.beginTransaction(id)
	require.NoError(f.t, client.ProduceSync(f.t.Context(), records...).FirstErr())
	return end
}

func (f *fake) commit(group string, partition int32, offset int64) {
	var to kadm.Offsets
	to.AddOffset("orders", partition, offset, -1)
	require.NoError(f.t, f.admin.CommitAllOffsets(f.t.Context(), group, to))
}

const often = 50 * time.Millisecond

// opts are the options of a feed that polls once, unless more overrides that: the fake lists no group of its log, so a second poll
// would delete them.
func (f *fake) opts(more ...Opt) []Opt {
	return append([]Opt{ClientOpts(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.RequestTimeoutOverhead(patience)), Interval(time.Hour),
		Topics(func(topic string) bool { return topic != logTopic })}, more...)
}

func TestPollModeWhereTheLogIsHidden(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 100)
	for i := range 5 {
		f.commit(fmt.Sprint("group-", i), 0, int64(i))
		f.commit(fmt.Sprint("group-", i), 2, int64(10*i))
	}
	f.commit("other", 0, 1)
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often), Groups(func(group string) bool { return group != "other" }))...)
	<-feed.Ready()
	want := lags{}
	for i := range 5 {
		want[fmt.Sprintf("group-%d orders 0", i)] = fmt.Sprint(i, " ", 100, " ", 100-i)
		want[fmt.Sprintf("group-%d orders 2", i)] = fmt.Sprint(10*i, " ", 100, " ", 100-10*i)
	}
	require.Equal(t, want, storedLags(t, store))
	status := feed.Status()
	require.Equal(t, ModePoll, status.Mode)
	require.Contains(t, status.Reason, "does not exist")
	require.True(t, status.Ready)

	f.commit("group-1", 0, 50)
	f.produce("orders", 1)
	_, err := f.admin.DeleteGroup(t.Context(), "group-4")
	require.NoError(t, err)
	for i := range 4 {
		want[fmt.Sprintf("group-%d orders 0", i)] = fmt.Sprint(i, " ", 101, " ", 101-i)
		want[fmt.Sprintf("group-%d orders 2", i)] = fmt.Sprint(10*i, " ", 101, " ", 101-10*i)
	}
	want["group-1 orders 0"] = "50 101 51"
	delete(want, "group-4 orders 0")
	delete(want, "group-4 orders 2")
	agree(t, store, want)
	// An unchanged commit is not stored again: the window holds the time at which it changed.
	var group protocol.Group
	require.NoError(t, store.Group(t.Context(), "prod", "group-1", &group))
	require.Len(t, group.Topics[0].Partitions[0].Commits, 2)
	require.Len(t, group.Topics[0].Partitions[2].Commits, 1)
}

func TestLogModeResolvesTransactions(t *testing.T) {
	f := withLog(t)
	f.log(logCommit(0, "g", 0, 10), logCommit(0, "g", 1, 10))
	commit := f.inTransaction("commit", logCommit(0, "g", 0, 20), logCommit(0, "tx", 0, 5))
	abort := f.inTransaction("abort", logCommit(0, "g", 1, 99), logCommit(0, "never", 0, 99))
	f.inTransaction("hang", logCommit(0, "g", 2, 99))
	f.log(logCommit(0, "g", 0, 15))
	commit(kgo.TryCommit)
	abort(kgo.TryAbort)

	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(WithMode(ModeLog))...)
	<-feed.Ready()
	require.Equal(t, lags{"g orders 0": "15 100 85", "g orders 1": "10 100 90", "tx orders 0": "5 100 95"}, storedLags(t, store),
		"a commit before a newer one does not count when its transaction ends after it")
	status := feed.Status()
	require.Equal(t, 1, status.Logs[0].OpenTransactions)
	require.Equal(t, status.Logs[0].End, status.Logs[0].Next)
	require.Less(t, status.Logs[0].Position, status.Logs[0].Next)
	require.Equal(t, uint64(1), status.Records[KindAbortMarker])
	require.Equal(t, uint64(1), status.Records[KindCommitMarker])

	f.log(logCommit(0, "g", 0, 30))
	agree(t, store, lags{"g orders 0": "30 100 70", "g orders 1": "10 100 90", "tx orders 0": "5 100 95"})
}

func TestLogModeCatchesUpWithEveryEnd(t *testing.T) {
	for name, fill := range map[string]func(*fake){
		"empty":  func(*fake) {},
		"one":    func(f *fake) { f.log(logCommit(1, "g", 0, 1)) },
		"two":    func(f *fake) { f.log(logCommit(1, "g", 0, 1), logCommit(1, "g", 0, 2)) },
		"marker": func(f *fake) { f.inTransaction(askMissing, logCommit(1, "g", 0, 2))(kgo.TryCommit) },
		"aborted": func(f *fake) {
			f.log(logCommit(1, "g", 0, 2))
			f.inTransaction(askMissing, logCommit(1, "g", 0, 3))(kgo.TryAbort)
		},
		"truncated": func(f *fake) {
			f.log(logCommit(1, "g", 0, 2), logCommit(0, "h", 0, 2))
			require.NoError(f.t, f.cluster.DeleteRecords(logTopic, 0, 1))
		},
		"compacted": func(f *fake) {
			f.log(logCommit(1, "g", 0, 2), logCommit(0, "h", 0, 2), &kgo.Record{Topic: logTopic, Key: commitKeyBytes(1, "h", "orders", 0)})
			f.cluster.Compact()
		},
		"foreign": func(f *fake) {
			f.log(&kgo.Record{Topic: logTopic, Partition: 0, Key: versionKey(3)}, &kgo.Record{Topic: logTopic, Partition: 1, Key: []byte{0}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := withLog(t)
			fill(f)
			store := openStore(t, "")
			feed := runFeed(t, store, f.opts()...)
			<-feed.Ready()
			require.Equal(t, ModeLog, feed.Status().Mode)
			found := storedLags(t, store)
			switch name {
			case "empty", "foreign":
				require.Empty(t, found)
			case "one":
				require.Equal(t, lags{"g orders 0": "1 100 99"}, found)
			default:
				require.Equal(t, lags{"g orders 0": "2 100 98"}, found)
			}
			f.log(logCommit(0, "later", 1, 4))
			eventually(t, "it reads on", func() bool { return storedLags(t, store)["later orders 1"] == "4 100 96" })
		})
	}
}

func TestGroupTombstoneDeletesNothing(t *testing.T) {
	f := withLog(t)
	f.commit("g", 0, 3) // Kafka knows the group
	f.log(logCommit(0, "g", 0, 3), &kgo.Record{Topic: logTopic, Key: groupKeyBytes("g")}, logCommit(0, "gone", 0, 3))
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	require.Equal(t, "3 100 97", storedLags(t, store)["g orders 0"])
	agree(t, store, lags{"g orders 0": "3 100 97"}) // Kafka lists no other
}

// A broker that has just started answers without an error that it has no groups, until it leads log partitions again.
func TestGroupThatNoBrokerListsIsKeptWhileItHasCommits(t *testing.T) {
	for _, mode := range []Mode{ModePoll, ModeLog} {
		t.Run(string(mode), func(t *testing.T) {
			f := withLog(t)
			f.commit("g", 0, 3)
			f.commit("deleted", 0, 3)
			f.log(logCommit(0, "g", 0, 3))
			var hidden atomic.Bool
			var answers atomic.Int64
			f.cluster.ControlKey(int16(kmsg.ListGroups), hideGroups(f.cluster, &hidden, &answers))
			store := openStore(t, "")
			feed := runFeed(t, store, f.opts(Interval(often), WithMode(mode))...)
			<-feed.Ready()
			both := lags{"g orders 0": "3 100 97", "deleted orders 0": "3 100 97"}
			agree(t, store, both)

			hidden.Store(true)
			before := answers.Load()
			eventually(t, "the groups were missing from many lists", func() bool { return answers.Load() > before+30 })
			require.Equal(t, both, storedLags(t, store))
			require.Zero(t, feed.Status().Errors[askMissing], feed.Status().LastError)
			_, err := f.admin.DeleteGroup(t.Context(), "deleted")
			require.NoError(t, err)
			agree(t, store, lags{"g orders 0": "3 100 97"})
		})
	}
}

// polls counts polls and errors.
type polls struct{ polls, errors, records atomic.Int64 }

func (p *polls) OnPoll(time.Duration, error)       { p.polls.Add(1) }
func (p *polls) OnRequestError(string, error)      { p.errors.Add(1) }
func (p *polls) OnRecords(_ int32, n map[Kind]int) { p.records.Add(int64(n[KindCommit])) }

func TestWithoutTheRightToReadTheLogIsPolled(t *testing.T) {
	f := withLog(t)
	f.commit("g", 0, 3)
	f.cluster.ControlKey(1, refuseFetch(f.cluster))
	store := openStore(t, "")
	hook := &polls{}
	feed := runFeed(t, store, f.opts(Interval(often), WithHooks(hook))...)
	<-feed.Ready()
	status := feed.Status()
	require.Equal(t, ModePoll, status.Mode)
	require.Contains(t, status.Reason, "TOPIC_AUTHORIZATION_FAILED")
	require.Equal(t, []string{askLog}, status.Refused)
	require.Equal(t, lags{"g orders 0": "3 100 97"}, storedLags(t, store))
	require.Positive(t, hook.errors.Load())
	eventually(t, "it polls on", func() bool { return hook.polls.Load() > 3 })

}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(nil, "prod", Interval(0), WithMode("magic"), Window(0), MaxPending(0))
	require.ErrorContains(t, err, "invalid interval 0s: must be above 0")
	require.ErrorContains(t, err, `invalid mode "magic": must be auto, log or poll`)
	require.ErrorContains(t, err, "invalid window 0: must be between 1 and 1000")
	require.ErrorContains(t, err, "invalid limit of pending commits 0: must be above 0")
	_, err = New(openStore(t, ""), "prod", ClientOpts(kgo.ConsumerGroup("g"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset()}})))
	require.ErrorContains(t, err, `make feed of cluster "prod"`)
}

func TestRunEndsWithTheStore(t *testing.T) {
	f := withLog(t)
	store := openStore(t, "")
	feed, err := New(store, "prod", f.opts(Interval(often))...)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(t.Context()) }()
	<-feed.Ready()
	require.NoError(t, store.Close())
	require.ErrorContains(t, <-ended, "stopped")
	require.ErrorContains(t, feed.Run(t.Context()), "already run")
}

func TestOwnersAreThoseOfTheMembers(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	owned := map[string]*kgo.Client{}
	for name, opts := range map[string][]kgo.Opt{"classic-1": nil, "classic-2": nil} {
		reader, err := kgo.NewClient(append(opts, kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.ConsumerGroup(name),
			kgo.ClientID("reader-of-"+name), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.DisableAutoCommit())...)
		require.NoError(t, err)
		t.Cleanup(reader.Close)
		owned[name] = reader
		for read := 0; read < 30; {
			fetches := reader.PollFetches(t.Context())
			require.NoError(t, fetches.Err())
			read += fetches.NumRecords()
		}
		require.NoError(t, reader.CommitUncommittedOffsets(t.Context()))
	}
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	for name, reader := range owned {
		owners := func() (n int) {
			var group protocol.Group
			if store.Group(t.Context(), "prod", name, &group) != nil {
				return -1
			}
			for _, p := range group.Topics[0].Partitions {
				if p.ClientID == "reader-of-"+name {
					n++
				}
			}
			return n
		}
		eventually(t, name+" has owners", func() bool { return owners() == 3 })
		reader.Close()
		eventually(t, name+" has no owners", func() bool { return owners() == 0 })
	}
	require.Empty(t, feed.Status().Errors[askMembers], feed.Status().LastError)
}

func TestWhatFailsTheSameWayIsLoggedOnce(t *testing.T) {
	f := newFake(t)
	lines := &lines{}
	hook := &polls{}
	feed := runFeed(t, openStore(t, ""), f.opts(Interval(often), WithHooks(hook), WithLogger(lines))...)
	<-feed.Ready()
	eventually(t, "it has looked for the log again", func() bool { return hook.errors.Load() > 3 })
	require.Equal(t, int64(1), lines.warnings.Load())
}

// Topics of which a broker lists only an error are one failure of a poll, whatever their number, and are logged once.
func TestTopicsThatCannotBeDescribedAreLoggedOnce(t *testing.T) {
	f := newFake(t)
	lines := &lines{}
	brokers := f.brokers()
	f.cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		if r.(*kmsg.MetadataRequest).Topics != nil {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		response.Brokers = brokers
		for i := range 5 {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.ErrorCode = kmsg.StringPtr(fmt.Sprint("topic-", i)), kerr.LeaderNotAvailable.Code
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	polled := make(chan struct{})
	feed := runFeed(t, openStore(t, ""), f.opts(Interval(often), WithMode(ModePoll), WithLogger(lines), WithHooks(pollHook(func() {
		select {
		case polled <- struct{}{}:
		case <-t.Context().Done():
		}
	})))...)
	for range 3 {
		<-polled
	}
	require.LessOrEqual(t, feed.Status().Errors[askMetadata], uint64(4), "one for each poll, of which one may have begun")
	require.Equal(t, int64(1), lines.warnings.Load())
}

// lines counts what is logged.
type lines struct{ warnings atomic.Int64 }

func (l *lines) Level() kgo.LogLevel { return kgo.LogLevelInfo }

func (l *lines) Log(level kgo.LogLevel, _ string, _ ...any) {
	if level == kgo.LogLevelWarn {
		l.warnings.Add(1)
	}
}

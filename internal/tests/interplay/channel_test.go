package interplay_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestOverTheChannel goes through a restart and a change of the topic id over the channel, where no error is returned.
func TestOverTheChannel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snapshot")
	synctest.Test(t, func(t *testing.T) {
		c := testkit.NewCoordinator(testkit.Config("snapshot-path", path))
		var s *testkit.Service
		start := func() {
			c.Configure()
			require.NoError(t, c.Start())
			s = &testkit.Service{Module: testkit.AsModule{Coordinator: c}, T: t, Store: c.Store, Channel: c.App.StorageChannel}
		}
		start()
		now := func() int64 { return time.Now().UnixMilli() }
		end := func(partition, count int32, offset int64, id protocol.TopicID) {
			r := testkit.EndOf("a.b.c-é", partition, count, offset)
			r.Timestamp, r.TopicID = now(), id
			s.Send(r)
		}
		look := func() *protocol.ConsumerPartition {
			t.Helper()
			answer, ok := s.Ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: "LOCAL", Group: "группа"})
			if !ok {
				return nil
			}
			return answer.(protocol.ConsumerTopics)["a.b.c-é"][0]
		}
		commit := func(offset, order int64) {
			s.Send(testkit.CommitOf("группа", "a.b.c-é", 0, offset, order, now()))
		}
		end(0, 2, 1000, protocol.TopicID{1})
		commit(10, 0)
		commit(500, 1)
		commit(900, 2)
		commit(-1, 3)
		end(0, 2, -1, protocol.TopicID{1})
		require.EqualValues(t, 100, look().CurrentLag)
		require.NoError(t, c.Stop())
		start()
		require.Equal(t, protocol.PartitionRestored, look().State)
		commit(10, 0)
		commit(500, 1)
		commit(900, 2)
		end(0, 2, 1000, protocol.TopicID{1})
		require.Equal(t, protocol.PartitionBehind, look().State)
		require.EqualValues(t, 100, look().CurrentLag)
		n := 0
		for _, o := range look().Offsets {
			if o != nil {
				n++
			}
		}
		require.Equal(t, 3, n)
		end(0, 1, 7, protocol.TopicID{2})
		require.Nil(t, look())
		answer, ok := s.Ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchTopic, Cluster: "local", Topic: "a.b.c-é"})
		require.True(t, ok)
		require.Equal(t, []int64{7}, answer)
		s.Send(testkit.CommitOf(strings.Repeat("g", 32_768), "a.b.c-é", 0, 1, 1, now()))
		s.Send(testkit.CommitOf(strings.Repeat("g", 32_767), "a.b.c-é", 0, 1, 1, now()))
		groups, ok := s.Ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumers, Cluster: "local"})
		require.True(t, ok)
		require.Equal(t, []string{strings.Repeat("g", 32_767)}, groups)
		require.NoError(t, c.Stop())
	})
}

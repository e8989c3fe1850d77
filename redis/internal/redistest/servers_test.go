package redistest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestSingle(t *testing.T) {
	s := Single(t, "maxmemory", "100mb")
	require.Len(t, s.Addresses(), 1)
	require.Equal(t, "maxmemory\n104857600\n", s.Do(0, "CONFIG", "GET", "maxmemory"))
	s.Do(0, "SET", "key", "value")
	s.Kill(0)
	s.Restart(0)
	s.Await()
	require.Equal(t, "value", s.Do(0, "GET", "key"), "acknowledged writes survive")
	s.Kill(0)
	s.RestartEmpty(0)
	s.Await()
	require.Equal(t, "0", s.Do(0, "EXISTS", "key"))
}

func TestCluster(t *testing.T) {
	s := Cluster(t, 3, 1)
	require.Equal(t, []int{0, 1, 2}, s.Masters())
	// "{a}" hashes to slot 15495, which is in the last third.
	require.Equal(t, "15495", s.Do(0, "CLUSTER", "KEYSLOT", "{a}"))
	require.Equal(t, 2, s.Master(15495))
	for i := range 25 {
		s.Do(2, "SET", fmt.Sprintf("{a}%d", i), "value")
	}

	s.MoveSlot(15495, 0)
	require.Equal(t, "25", s.Do(0, "CLUSTER", "COUNTKEYSINSLOT", "15495"))

	s.Failover(0)
	masters := s.Masters()
	require.NotContains(t, masters, 0)
	require.Len(t, masters, 3)
	s.Await()

	victim := s.Master(15495)
	script := strings.TrimSpace(s.Do(victim, "SCRIPT", "LOAD", "return 1"))
	require.Equal(t, "1", s.Do(victim, "EVALSHA", script, "0"))
	s.FlushScripts()
	_, err := s.try(victim, "EVALSHA", script, "0")
	require.ErrorContains(t, err, "NOSCRIPT")

	s.Pause(victim)
	s.AwaitFailover(victim)
	s.Continue(victim)
	s.Await()
	heir := s.Master(15495)
	require.NotEqual(t, victim, heir)
	require.Equal(t, "25", s.Do(heir, "CLUSTER", "COUNTKEYSINSLOT", "15495"))

	s.Kill(heir)
	s.AwaitFailover(heir)
	s.Restart(heir)
	s.Await()
	require.Equal(t, victim, s.Master(15495))
	for i := range s.nodes {
		s.Kill(i)
	}
	for i := range s.nodes {
		s.Restart(i)
	}
	s.Await()
	require.Equal(t, "value", s.Do(s.Master(15495), "GET", "{a}7"))
}

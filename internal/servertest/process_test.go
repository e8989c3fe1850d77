package servertest

import (
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPortsAreNotThoseOfOutgoingConnections(t *testing.T) {
	ports := FreePorts(t, 12)
	require.Less(t, slices.Max(ports), 32_768)
	slices.Sort(ports)
	require.Len(t, slices.Compact(ports), 12)
}

// No other test gets a port that a test has, even while nobody listens on it.
func TestPortsAreHeld(t *testing.T) {
	for _, port := range FreePorts(t, 3) {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		_, err := net.ListenPacket("udp", address)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestProcessIsKilledAndStartedAgain(t *testing.T) {
	var p Process
	require.Error(t, p.Signal(syscall.SIGCONT))
	for range 2 {
		require.NoError(t, p.Start(nil, "sleep", "1000"))
		require.True(t, p.Running())
		require.NotZero(t, p.Pid())
		require.False(t, p.Ended())
		require.NoError(t, p.Signal(syscall.SIGCONT))
		p.Kill()
		p.Kill()
		require.True(t, p.Ended())
		require.False(t, p.Running())
		require.Zero(t, p.Pid())
	}
}

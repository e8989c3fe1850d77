package failover_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The client of Redis closes connections to nodes that have left after five seconds, even if the client is closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("time.Sleep")) }

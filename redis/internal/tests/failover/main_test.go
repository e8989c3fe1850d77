package failover_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The client of Redis closes connections to nodes that have left five seconds later, whatever becomes of the client.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("time.Sleep")) }

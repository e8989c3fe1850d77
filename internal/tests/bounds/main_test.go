// Package bounds tests that what comes from outside is bounded: names, memory and how long anybody waits.
package bounds_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

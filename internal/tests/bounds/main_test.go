// Package bounds tests the limits on input: names, memory and waiting.
package bounds_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

package lifecycle_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must not wait for ever. It measures nothing.
const patience = 15 * time.Second

package lifecycle_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/lagkeeper/storage/internal/tests/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience limits what must not wait for ever. It measures nothing.
const patience = testkit.Patience

package lifecycle_test

import (
	"testing"

	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience limits what must not wait for ever. It measures nothing.
const patience = testkit.Patience

package leaktest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

func TestGoroutineThatIsLeftIsFound(t *testing.T) {
	release := make(chan struct{})
	go waits(release)
	require.ErrorContains(t, wait(0), "leaktest.waits")
	None(t, goleak.IgnoreTopFunction("github.com/lagkeeper/storage/internal/leaktest.waits"))
	close(release)
	None(t)
}

func waits(release chan struct{}) { <-release }

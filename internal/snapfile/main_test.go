package snapfile

import (
	"os"
	"testing"

	"github.com/lagkeeper/storage/internal/leaktest"
)

// TestMain also plays the child that a test starts from this binary.
func TestMain(m *testing.M) {
	switch os.Getenv("SNAPSHOT_CHILD") {
	case "save":
		os.Exit(childSaves(os.Getenv("SNAPSHOT_PATH")))
	case "lock":
		os.Exit(childLocks(os.Getenv("SNAPSHOT_PATH")))
	}
	leaktest.Main(m)
}

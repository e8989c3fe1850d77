package conformance_test

import (
	"testing"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/storagetest"
)

// TestConformance runs the suite of all modules against the one in memory.
func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, testkit.InMemory)
}

// TestConformanceCoordinator runs it against a Coordinator, whose StorageChannel follows the same contract.
func TestConformanceCoordinator(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, coordinated)
}

// TestConformanceForeign runs it against a Coordinator whose module receives requests over its channel only, as a module of
// another Go module may.
func TestConformanceForeign(t *testing.T) {
	t.Parallel()
	storagetest.Exercise(t, foreign)
}

func coordinated(_ *testing.T, config storagetest.Config) storage.Module {
	return testkit.AsModule{Coordinator: testkit.NewCoordinator(config)}
}

func foreign(t *testing.T, config storagetest.Config) storage.Module {
	t.Helper()
	settings := map[string]any{"class-name": testkit.ChannelOnly}
	for key, value := range config.Settings {
		settings[key] = value
	}
	return testkit.AsModule{Coordinator: testkit.NewCoordinator(storagetest.Config{Settings: settings, Clusters: config.Clusters})}
}

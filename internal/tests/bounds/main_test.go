// Package bounds tests the limits on input: names, memory and waiting.
package bounds_test

import (
	"testing"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

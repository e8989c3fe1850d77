package clock_test

import (
	"testing"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

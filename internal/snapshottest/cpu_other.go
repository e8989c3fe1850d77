//go:build !unix

package snapshottest

import "time"

// CPUTime is not known here.
func CPUTime() time.Duration { return 0 }

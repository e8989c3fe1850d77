//go:build !unix

package kafkafeed

import "time"

// usedCPU returns 0: the processor time is not known here.
func usedCPU() time.Duration { return 0 }

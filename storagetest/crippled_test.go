package storagetest_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// crippled names what is missing from the answers of a module that is otherwise right.
var crippled = map[string]func(*protocol.ConsumerPartition){
	"nothing": func(*protocol.ConsumerPartition) {},
	"everything": func(p *protocol.ConsumerPartition) {
		*p = protocol.ConsumerPartition{
			Offsets: p.Offsets, BrokerOffsets: p.BrokerOffsets, Owner: p.Owner, ClientID: p.ClientID, CurrentLag: p.CurrentLag,
		}
	},
	"State":          func(p *protocol.ConsumerPartition) { p.State = protocol.PartitionUnknown },
	"Difference":     func(p *protocol.ConsumerPartition) { p.Difference = nil },
	"EndOffsetAge":   func(p *protocol.ConsumerPartition) { p.EndOffsetAge = nil },
	"LogStartOffset": func(p *protocol.ConsumerPartition) { p.LogStartOffset = nil },
	"TimeLag":        func(p *protocol.ConsumerPartition) { p.TimeLag = nil },
	"TimeLag.Margin": func(p *protocol.ConsumerPartition) {
		if p.TimeLag != nil {
			p.TimeLag.Margin = 0
		}
	},
	"Lost": func(p *protocol.ConsumerPartition) { p.Lost = nil },
}

// crippledVariable tells the process that TestSuiteFailsWhatIsMissing starts what to leave out.
const crippledVariable = "STORAGETEST_CRIPPLED"

// A module that leaves out any part of its judgement fails the suite. Each runs in a process of its own, since a failing
// suite fails the test that calls it.
func TestSuiteFailsWhatIsMissing(t *testing.T) {
	for name := range crippled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(os.Args[0], "-test.run", "^TestCrippledModule$/^judgement$")
			command.Env = append(os.Environ(), crippledVariable+"="+name)
			out, err := command.CombinedOutput()
			if name == "nothing" {
				assert.NoError(t, err, "%s", out)
				return
			}
			var failed *exec.ExitError
			require.ErrorAs(t, err, &failed, "%s", out)
			assert.Contains(t, string(out), "--- FAIL: TestCrippledModule/judgement/")
		})
	}
}

// TestCrippledModule is what TestSuiteFailsWhatIsMissing runs.
func TestCrippledModule(t *testing.T) {
	name := os.Getenv(crippledVariable)
	if name == "" {
		t.Skip("run by TestSuiteFailsWhatIsMissing")
	}
	storagetest.Exercise(t, func(_ *testing.T, config storagetest.Config) storage.Module {
		module := newNaive(config)
		module.cripple = crippled[name]
		return module
	})
}

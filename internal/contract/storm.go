package contract

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// CheckStormAgainstModel lets many senders send at once over the channel of a module of the factory, which configures a cluster for
// each, and compares the answers to their fetches, and in the end everything, with the model. Each sender uses its own cluster, so
// that what the others send has no effect on its answers. It runs in a testing/synctest bubble. next returns the next requests
// of each sender, all carried out at the time that it is given, and how long to wait after them; without senders the storm ends.
// What CheckAgainstModel says of expiry holds here too. meanwhile, if not nil, runs beside each round, and must change nothing that
// is compared.
func CheckStormAgainstModel[C Configuration](
	t *testing.T, factory func(*testing.T, C) storage.Module, config C,
	next func(now int64) (senders [][]*protocol.StorageRequest, wait time.Duration), meanwhile func(storage.Backend),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, factoryOf(factory), Config(config))
		model := NewModel(config, nil)
		for {
			senders, wait := next(time.Now().UnixMilli())
			if len(senders) == 0 {
				break
			}
			s.storm(t, model, senders, meanwhile)
			synctest.Wait()
			time.Sleep(wait)
			synctest.Wait()
			model.Sweep()
		}
		checkSequence(t, s, model, modeNamed("sequential"), everything(model))
	})
}

// storm carries out one round.
func (s *subject) storm(t *testing.T, model *Model, senders [][]*protocol.StorageRequest, meanwhile func(storage.Backend)) {
	want, got := make([][]answer, len(senders)), make([][]answer, len(senders))
	var all sync.WaitGroup
	for i, requests := range senders {
		for _, r := range requests {
			value, err := model.Handle(r)
			want[i] = append(want[i], answer{value: value, replied: isFetch(r) && err == nil})
		}
		all.Go(func() { got[i] = pipelined(t, s, requests) })
	}
	if meanwhile != nil {
		all.Go(func() { meanwhile(s.store) })
	}
	all.Wait()
	for i, requests := range senders {
		for j, r := range requests {
			if wantText, gotText := text(want[i][j], true), text(got[i][j], true); wantText != gotText {
				require.FailNowf(t, "wrong answer", "%s\nsender %d, request %d: %s\n%s",
					history(requests[:j], r), i, j, describe(r), difference(wantText, gotText))
			}
		}
	}
}

package contract

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// Modes are the names of the ways in which CheckAgainstModel can carry out requests; "typed" and those after it need a module
// with a typed API.
func Modes() []string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = m.name
	}
	return names
}

// CheckAgainstModel carries out requests against a module of the factory and against the model, in one of the Modes, and
// fails the test at the first answer that differs. It runs in a testing/synctest bubble, so that both have the same clock,
// which stands still during requests, and returns when the module has been stopped. next returns the next requests, all
// carried out at the time that it is given, and how long to wait after them; without requests the run ends.
//
// If next lets time pass, no group or topic may expire within a second and a half of the times that next is given, unless
// sooner or at once: the sweep runs at an unknown moment of that span.
func CheckAgainstModel[C Configuration](
	t *testing.T, factory func(*testing.T, C) storage.Module, config C, modeName string,
	next func(now int64) (requests []*protocol.StorageRequest, wait time.Duration),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, factoryOf(factory), Config(config))
		how := modeNamed(modeName)
		if how.needsStore && s.store == nil {
			t.Skip("the module has no typed API")
		}
		model := NewModel(config, nil)
		for {
			requests, wait := next(time.Now().UnixMilli())
			if len(requests) == 0 {
				break
			}
			checkSequence(t, s, model, how, requests)
			if wait > 0 {
				synctest.Wait()
				time.Sleep(wait)
				synctest.Wait()
				model.Sweep()
			}
		}
		checkSequence(t, s, model, how, everything(model))
	})
}

// everything returns requests that fetch everything in the model.
func everything(m *Model) []*protocol.StorageRequest {
	all := []*protocol.StorageRequest{{RequestType: protocol.StorageFetchClusters}}
	add := func(kind protocol.StorageRequestConstant, cluster, group, topic string) {
		r := request(kind, cluster, group, topic)
		all = append(all, &r)
	}
	for name, c := range m.clusters {
		add(protocol.StorageFetchTopics, name, "", "")
		add(protocol.StorageFetchConsumers, name, "", "")
		for topic := range c.topics {
			add(protocol.StorageFetchTopic, name, "", topic)
			add(protocol.StorageFetchConsumersForTopic, name, "", topic)
		}
		for group := range c.groups {
			add(protocol.StorageFetchConsumer, name, group, "")
		}
	}
	return all
}

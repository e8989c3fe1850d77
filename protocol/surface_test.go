package protocol_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// This file pins the published API: code written for it must still compile, and what it sends over HTTP must read the same.
// Fields, methods and types may be added; what is pinned here never changes.

// The interfaces that the published types implement. UnmarshalText and UnmarshalJSON are ours, but promised too.
var (
	_ fmt.Stringer             = protocol.StorageRequestConstant(0)
	_ encoding.TextMarshaler   = protocol.StorageRequestConstant(0)
	_ json.Marshaler           = protocol.StorageRequestConstant(0)
	_ fmt.Stringer             = protocol.StatusConstant(0)
	_ encoding.TextMarshaler   = protocol.StatusConstant(0)
	_ json.Marshaler           = protocol.StatusConstant(0)
	_ encoding.TextUnmarshaler = (*protocol.StatusConstant)(nil)
	_ json.Marshaler           = protocol.Lag{}
	_ json.Unmarshaler         = (*protocol.Lag)(nil)
)

// An application may implement these two interfaces: an added method would break it, so they are pinned from both sides.
var (
	_ interface {
		Configure(name, configRoot string)
		Start() error
		Stop() error
	} = protocol.Module(nil)
	_ protocol.Module = interface {
		Configure(name, configRoot string)
		Start() error
		Stop() error
	}(nil)
	_ interface {
		Configure()
		Start() error
		Stop() error
	} = protocol.Coordinator(nil)
	_ protocol.Coordinator = interface {
		Configure()
		Start() error
		Stop() error
	}(nil)
)

// The constants are typed constants, and the kinds below them are fixed.
const (
	_ protocol.StorageRequestConstant = protocol.StorageSetBrokerOffset
	_ protocol.StatusConstant         = protocol.StatusNotFound
)

var (
	_ map[string]protocol.ConsumerPartitions = protocol.ConsumerTopics(nil)
	_ []*protocol.ConsumerPartition          = protocol.ConsumerPartitions(nil)
	_ int                                    = int(protocol.StorageRequestConstant(0))
	_ int                                    = int(protocol.StatusConstant(0))
)

type field struct {
	name string
	typ  reflect.Type
	json string // the whole json tag; "" if there is none
}

func TestSurfaceFields(t *testing.T) {
	var (
		text      = reflect.TypeFor[string]()
		boolean   = reflect.TypeFor[bool]()
		number32  = reflect.TypeFor[int32]()
		number64  = reflect.TypeFor[int64]()
		unsigned  = reflect.TypeFor[uint64]()
		share     = reflect.TypeFor[float32]()
		commit    = reflect.TypeFor[*protocol.ConsumerOffset]()
		partition = reflect.TypeFor[*protocol.PartitionStatus]()
		status    = reflect.TypeFor[protocol.StatusConstant]()
	)
	surface := map[reflect.Type][]field{
		reflect.TypeFor[protocol.ApplicationContext](): {
			{"Logger", reflect.TypeFor[*zap.Logger](), ""},
			{"LogLevel", reflect.TypeFor[*zap.AtomicLevel](), ""},
			{"ConfigurationValid", boolean, ""},
			{"EvaluatorChannel", reflect.TypeFor[chan *protocol.EvaluatorRequest](), ""},
			{"StorageChannel", reflect.TypeFor[chan *protocol.StorageRequest](), ""},
			{"AppReady", boolean, ""},
		},
		reflect.TypeFor[protocol.StorageRequest](): {
			{"RequestType", reflect.TypeFor[protocol.StorageRequestConstant](), ""},
			{"Reply", reflect.TypeFor[chan interface{}](), ""},
			{"Cluster", text, ""},
			{"Group", text, ""},
			{"Topic", text, ""},
			{"Partition", number32, ""},
			{"TopicPartitionCount", number32, ""},
			{"Offset", number64, ""},
			{"Order", number64, ""},
			{"Timestamp", number64, ""},
			{"Owner", text, ""},
			{"ClientID", text, ""},
		},
		reflect.TypeFor[protocol.ConsumerPartition](): {
			{"Offsets", reflect.TypeFor[[]*protocol.ConsumerOffset](), "offsets"},
			{"BrokerOffsets", reflect.TypeFor[[]int64](), "-"},
			{"Owner", text, "owner"},
			{"ClientID", text, "client_id"},
			{"CurrentLag", unsigned, "current-lag"},
		},
		reflect.TypeFor[protocol.ConsumerOffset](): {
			{"Offset", number64, "offset"},
			{"Order", number64, "-"},
			{"Timestamp", number64, "timestamp"},
			{"ObservedTimestamp", number64, "observedAt"},
			{"Lag", reflect.TypeFor[*protocol.Lag](), "lag"},
		},
		reflect.TypeFor[protocol.Lag](): {
			{"Value", unsigned, ""},
		},
		reflect.TypeFor[protocol.EvaluatorRequest](): {
			{"Reply", reflect.TypeFor[chan *protocol.ConsumerGroupStatus](), ""},
			{"Cluster", text, ""},
			{"Group", text, ""},
			{"ShowAll", boolean, ""},
		},
		reflect.TypeFor[protocol.ConsumerGroupStatus](): {
			{"Cluster", text, "cluster"},
			{"Group", text, "group"},
			{"Status", status, "status"},
			{"Complete", share, "complete"},
			{"Partitions", reflect.TypeFor[[]*protocol.PartitionStatus](), "partitions"},
			{"TotalPartitions", reflect.TypeFor[int](), "partition_count"},
			{"Maxlag", partition, "maxlag"},
			{"TotalLag", unsigned, "totallag"},
		},
		reflect.TypeFor[protocol.PartitionStatus](): {
			{"Topic", text, "topic"},
			{"Partition", number32, "partition"},
			{"Owner", text, "owner"},
			{"ClientID", text, "client_id"},
			{"Status", status, "status"},
			{"Start", commit, "start"},
			{"End", commit, "end"},
			{"CurrentLag", unsigned, "current_lag"},
			{"Complete", share, "complete"},
		},
	}
	for structType, fields := range surface {
		t.Run(structType.Name(), func(t *testing.T) {
			for _, want := range fields {
				got, found := structType.FieldByName(want.name)
				if !assert.True(t, found, "%s has no field %s", structType, want.name) {
					continue
				}
				assert.Len(t, got.Index, 1, "%s.%s is promoted: a keyed literal cannot set it", structType, want.name)
				assert.Equal(t, want.typ, got.Type, "type of %s.%s", structType, want.name)
				assert.Equal(t, want.json, got.Tag.Get("json"), "json tag of %s.%s", structType, want.name)
			}
		})
	}
}

func TestSurfaceConstants(t *testing.T) {
	requests := []struct {
		constant protocol.StorageRequestConstant
		text     string
	}{
		{protocol.StorageSetBrokerOffset, "StorageSetBrokerOffset"},
		{protocol.StorageSetConsumerOffset, "StorageSetConsumerOffset"},
		{protocol.StorageSetConsumerOwner, "StorageSetConsumerOwner"},
		{protocol.StorageSetDeleteTopic, "StorageSetDeleteTopic"},
		{protocol.StorageSetDeleteGroup, "StorageSetDeleteGroup"},
		{protocol.StorageFetchClusters, "StorageFetchClusters"},
		{protocol.StorageFetchConsumers, "StorageFetchConsumers"},
		{protocol.StorageFetchTopics, "StorageFetchTopics"},
		{protocol.StorageFetchConsumer, "StorageFetchConsumer"},
		{protocol.StorageFetchTopic, "StorageFetchTopic"},
		{protocol.StorageClearConsumerOwners, "StorageClearConsumerOwners"},
		{protocol.StorageFetchConsumersForTopic, "StorageFetchConsumersForTopic"},
	}
	for value, request := range requests {
		assert.Equal(t, protocol.StorageRequestConstant(value), request.constant, request.text)
		assertTexts(t, request.constant, request.text)
	}

	statuses := []struct {
		constant protocol.StatusConstant
		text     string
	}{
		{protocol.StatusNotFound, "NOTFOUND"},
		{protocol.StatusOK, "OK"},
		{protocol.StatusWarning, "WARN"},
		{protocol.StatusError, "ERR"},
		{protocol.StatusStop, "STOP"},
		{protocol.StatusStall, "STALL"},
		{protocol.StatusRewind, "REWIND"},
	}
	for value, status := range statuses {
		assert.Equal(t, protocol.StatusConstant(value), status.constant, status.text)
		assertTexts(t, status.constant, status.text)

		var back protocol.StatusConstant
		require.NoError(t, json.Unmarshal([]byte(`"`+status.text+`"`), &back))
		assert.Equal(t, status.constant, back)
	}

	// A number that is no constant has a text too: it may come from a newer version or a faulty sender.
	for _, none := range []int{-1, 12, 1 << 30} {
		assertTexts(t, protocol.StorageRequestConstant(none), "UNKNOWN")
	}
	for _, none := range []int{-1, 7, 1 << 30} {
		assertTexts(t, protocol.StatusConstant(none), "UNKNOWN")
	}
}

func assertTexts(t *testing.T, constant interface {
	fmt.Stringer
	encoding.TextMarshaler
	json.Marshaler
}, want string) {
	t.Helper()
	assert.Equal(t, want, constant.String())

	text, err := constant.MarshalText()
	require.NoError(t, err)
	assert.Equal(t, want, string(text))

	document, err := constant.MarshalJSON()
	require.NoError(t, err)
	assert.Equal(t, `"`+want+`"`, string(document))
}

// The documents are compared byte for byte: every client of an application's HTTP API sees a key that is added, renamed or
// moved. A new field that is meant only for Go carries the tag `json:"-"`.
func TestSurfaceJSON(t *testing.T) {
	first := &protocol.ConsumerOffset{
		Offset: 1000, Order: 10, Timestamp: 1700000000123, ObservedTimestamp: 1700000001000, Lag: &protocol.Lag{Value: 3321},
	}
	inserted := &protocol.ConsumerOffset{
		Offset: 1100, Order: 11, Timestamp: 1700000010123, ObservedTimestamp: 1700000011000,
	}
	partition := &protocol.PartitionStatus{
		Topic: "orders", Partition: 3, Owner: "10.0.0.7", ClientID: "billing-1", Status: protocol.StatusStall,
		Start: first, End: inserted, CurrentLag: 3221, Complete: 0.5,
	}
	const (
		firstJSON     = `{"offset":1000,"timestamp":1700000000123,"observedAt":1700000001000,"lag":3321}`
		insertedJSON  = `{"offset":1100,"timestamp":1700000010123,"observedAt":1700000011000,"lag":null}`
		partitionJSON = `{"topic":"orders","partition":3,"owner":"10.0.0.7","client_id":"billing-1","status":"STALL",` +
			`"start":` + firstJSON + `,"end":` + insertedJSON + `,"current_lag":3221,"complete":0.5}`
	)
	for name, document := range map[string]struct {
		value any
		want  string
	}{
		"ConsumerOffset":                  {first, firstJSON},
		"ConsumerOffset of unknown lag":   {inserted, insertedJSON},
		"Lag of no messages":              {protocol.Lag{}, `0`},
		"Lag that no float64 can hold":    {&protocol.Lag{Value: 1<<64 - 1}, `18446744073709551615`},
		"Lag that is not known":           {(*protocol.Lag)(nil), `null`},
		"PartitionStatus":                 {partition, partitionJSON},
		"StorageRequestConstant as a key": {map[protocol.StorageRequestConstant]int{protocol.StorageFetchTopic: 1}, `{"StorageFetchTopic":1}`},
		"PartitionStatus without a commit": {
			&protocol.PartitionStatus{Topic: "orders", Status: protocol.StatusOK},
			`{"topic":"orders","partition":0,"owner":"","client_id":"","status":"OK",` +
				`"start":null,"end":null,"current_lag":0,"complete":0}`,
		},
		"ConsumerPartition": {
			&protocol.ConsumerPartition{
				Offsets: []*protocol.ConsumerOffset{nil, first, inserted}, BrokerOffsets: []int64{4000, 4321},
				Owner: "10.0.0.7", ClientID: "billing-1", CurrentLag: 3221,
			},
			`{"offsets":[null,` + firstJSON + `,` + insertedJSON + `],` +
				`"owner":"10.0.0.7","client_id":"billing-1","current-lag":3221}`,
		},
		"ConsumerTopics with a partition never committed": {
			protocol.ConsumerTopics{"orders": {{Offsets: []*protocol.ConsumerOffset{}}}},
			`{"orders":[{"offsets":[],"owner":"","client_id":"","current-lag":0}]}`,
		},
		"ConsumerGroupStatus": {
			&protocol.ConsumerGroupStatus{
				Cluster: "local", Group: "billing", Status: protocol.StatusError, Complete: 0.75,
				Partitions: []*protocol.PartitionStatus{partition}, TotalPartitions: 4, Maxlag: partition, TotalLag: 3300,
			},
			`{"cluster":"local","group":"billing","status":"ERR","complete":0.75,"partitions":[` + partitionJSON +
				`],"partition_count":4,"maxlag":` + partitionJSON + `,"totallag":3300}`,
		},
		"ConsumerGroupStatus of an unknown group": {
			&protocol.ConsumerGroupStatus{Cluster: "local", Group: "nobody", Partitions: []*protocol.PartitionStatus{}},
			`{"cluster":"local","group":"nobody","status":"NOTFOUND","complete":0,"partitions":[],` +
				`"partition_count":0,"maxlag":null,"totallag":0}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(document.value)
			require.NoError(t, err)
			assert.Equal(t, document.want, string(got))
		})
	}
}

// A client can read what an application's HTTP API wrote into the same types.
func TestSurfaceJSONReadsBack(t *testing.T) {
	want := protocol.ConsumerGroupStatus{
		Cluster: "local", Group: "billing", Status: protocol.StatusWarning, Complete: 1, TotalPartitions: 1, TotalLag: 5,
		Partitions: []*protocol.PartitionStatus{{
			Topic: "orders", Status: protocol.StatusWarning, CurrentLag: 5, Complete: 1,
			Start: &protocol.ConsumerOffset{Offset: 1, Timestamp: 2, ObservedTimestamp: 3, Lag: &protocol.Lag{Value: 1<<64 - 1}},
			End:   &protocol.ConsumerOffset{Offset: 4, Timestamp: 5, ObservedTimestamp: 6},
		}},
	}
	document, err := json.Marshal(want)
	require.NoError(t, err)
	var got protocol.ConsumerGroupStatus
	require.NoError(t, json.Unmarshal(document, &got))
	assert.Equal(t, want, got)

	var status protocol.StatusConstant
	assert.Error(t, json.Unmarshal([]byte(`"FINE"`), &status))
	var lag protocol.Lag
	for _, none := range []string{`"5"`, `-1`, `1.5`, `1e3`, `18446744073709551616`, `[]`} {
		assert.Error(t, json.Unmarshal([]byte(none), &lag), none)
	}
}

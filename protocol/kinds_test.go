package protocol_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestKindsAreTheirText checks that the zero value is no kind, and that in JSON a kind is its text, as a value and as a key.
func TestKindsAreTheirText(t *testing.T) {
	t.Parallel()
	require.Empty(t, protocol.PartitionUnknown)
	require.Empty(t, protocol.TimeLagUnknown)
	for _, c := range []struct {
		kind, back any
		want       string
	}{
		{protocol.PartitionBeyondEnd, new(protocol.PartitionState), `"BEYONDEND"`},
		{protocol.PartitionUnknown, new(protocol.PartitionState), `""`},
		{protocol.EventStoreFull, new(protocol.EventKind), `"store-full"`},
		{protocol.TimeLagAtLeast, new(protocol.TimeLagKind), `"at-least"`},
		{protocol.TimeLagUnknown, new(protocol.TimeLagKind), `""`},
		{map[protocol.PartitionState]int{protocol.PartitionBehind: 3}, new(map[protocol.PartitionState]int), `{"BEHIND":3}`},
		{map[protocol.EventKind]int{protocol.EventMissed: 1}, new(map[protocol.EventKind]int), `{"missed":1}`},
	} {
		text, err := json.Marshal(c.kind)
		require.NoError(t, err)
		require.Equal(t, c.want, string(text))
		require.NoError(t, json.Unmarshal(text, c.back))
		again, err := json.Marshal(c.back)
		require.NoError(t, err)
		require.Equal(t, c.want, string(again))
	}
}

func TestUnknownKindsAreRefused(t *testing.T) {
	t.Parallel()
	state, kind, event := protocol.PartitionBehind, protocol.TimeLagExact, protocol.EventMissed
	require.EqualError(t, state.UnmarshalText([]byte("behind")), `unknown partition state "behind"`)
	require.EqualError(t, kind.UnmarshalText([]byte("EXACT")), `unknown time lag kind "EXACT"`)
	require.EqualError(t, event.UnmarshalText([]byte("x")), `unknown event kind "x"`)
	require.EqualError(t, event.UnmarshalText(nil), `unknown event kind ""`)
	require.Equal(t, protocol.PartitionBehind, state)
	require.Equal(t, protocol.TimeLagExact, kind)
	require.Equal(t, protocol.EventMissed, event)
}

// TestTimesInJSON checks that times and durations are numbers of milliseconds in JSON, under keys that say so, and survive a
// round trip.
func TestTimesInJSON(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_123)
	for _, c := range []struct {
		value, back any
		want        string
	}{
		{
			&protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 4500 * time.Millisecond, Margin: 30 * time.Second}, new(protocol.TimeLag),
			`{"kind":"interpolated","lag_ms":4500,"margin_ms":30000}`,
		},
		{
			&protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: -time.Millisecond}, new(protocol.TimeLag),
			`{"kind":"at-least","lag_ms":-1,"margin_ms":0}`,
		},
		{
			&protocol.Event{Kind: protocol.EventOwnerChanged, Time: at, Cluster: "c", Group: "g", Topic: "t", Partition: 3, Owner: "o", ClientID: "i"},
			new(protocol.Event),
			`{"time_ms":1700000000123,"kind":"owner-changed","cluster":"c","group":"g","topic":"t","partition":3,"owner":"o","client_id":"i"}`,
		},
		{
			&protocol.Event{Kind: protocol.EventMissed, Missed: 7}, new(protocol.Event),
			`{"kind":"missed","partition":0,"missed":7}`,
		},
		{
			&protocol.Event{Kind: protocol.EventTopicExpired, Time: time.UnixMilli(0)}, new(protocol.Event),
			`{"time_ms":0,"kind":"topic-expired","partition":0}`,
		},
		{
			&protocol.ConsumerPartition{
				Offsets: []*protocol.ConsumerOffset{}, State: protocol.PartitionCaughtUp, EndOffsetAge: &protocol.Age{Duration: 3 * time.Second},
				TimeLag: &protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: 3 * time.Second},
			}, new(protocol.ConsumerPartition),
			`{"offsets":[],"owner":"","client_id":"","current-lag":0,"state":"CAUGHTUP","end-offset-age-ms":3000,` +
				`"time-lag":{"kind":"exact","lag_ms":0,"margin_ms":3000}}`,
		},
	} {
		text, err := json.Marshal(c.value)
		require.NoError(t, err)
		require.Equal(t, c.want, string(text))
		require.NoError(t, json.Unmarshal(text, c.back))
		require.Equal(t, c.value, c.back)
	}
}

func TestTimesInJSONRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"kind":"late"}`, `{"lag_ms":1.5}`, `{"lag_ms":"1"}`, `[]`} {
		lag := protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: time.Second}
		require.Error(t, json.Unmarshal([]byte(text), &lag), text)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: time.Second}, lag)
	}
	for _, text := range []string{`{"kind":"changed"}`, `{"time_ms":"now"}`, `[]`} {
		require.Error(t, json.Unmarshal([]byte(text), new(protocol.Event)), text)
	}
	for _, text := range []string{`"5"`, `1.5`, `1e3`, `9223372036854775808`, `[]`} {
		age := protocol.Age{Duration: time.Second}
		require.Error(t, json.Unmarshal([]byte(text), &age), text)
		require.Equal(t, time.Second, age.Duration)
	}
	// What is longer than any time.Duration becomes the longest.
	var age protocol.Age
	require.NoError(t, age.UnmarshalJSON([]byte("null")))
	require.Zero(t, age)
	require.NoError(t, age.UnmarshalJSON([]byte("9223372036854775807")))
	require.Equal(t, time.Duration(math.MaxInt64), age.Duration)
	require.NoError(t, age.UnmarshalJSON([]byte("-9223372036854775808")))
	require.Equal(t, time.Duration(math.MinInt64), age.Duration)
}

package protocol

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTopicIDText compares with texts printed by Kafka's Uuid class.
func TestTopicIDText(t *testing.T) {
	t.Parallel()
	all := TopicID{}
	for i := range all {
		all[i] = 0xff
	}
	for text, id := range map[string]TopicID{
		"AAAAAAAAAAAAAAAAAAAAAA": {},
		"AAAAAAAAAAAAAAAAAAAAAQ": {15: 1},
		"_____________________w": all,
		"-_8AAAAAAAAAAAAAAAAAAA": {0: 0xfb, 1: 0xff},
	} {
		require.Equal(t, text, id.String())
		require.Equal(t, id == TopicID{}, id.IsZero())
		data, err := json.Marshal(id)
		require.NoError(t, err)
		require.Equal(t, `"`+text+`"`, string(data))
		back := TopicID{3: 3}
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, id, back)
	}
}

func TestTopicIDTextRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "A", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAA A",
		"AAAAAAAAAAAAAAAAAAAAAB", // stray bits at the end
		"+/8AAAAAAAAAAAAAAAAAAA", // base64 that is not URL-safe
		"AAAAAAAAAAAAAAAAAAAA\r\n", strings.Repeat("A", 1<<20),
	} {
		id := TopicID{3: 3}
		err := id.UnmarshalText([]byte(text))
		require.ErrorContains(t, err, "invalid topic id", text)
		require.Less(t, len(err.Error()), 300)
		require.Equal(t, TopicID{3: 3}, id)
	}
}

package inspector_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

var update = flag.Bool("update", false, "write the answers that are given into the documents")

// documented matches an address in a document and the JSON below it.
var documented = regexp.MustCompile("(?s)`GET (api/v1/[^`]+)`\n\n```json\n(.*?)```")

// The answers in the documents are those that are given. Of the statistics, which hold sizes in memory, the keys are.
func TestDocumentedAnswers(t *testing.T) {
	document := filepath.Join("..", "docs", "inspector-api.md")
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		h := example(t)
		given := documented.ReplaceAllStringFunc(string(text), func(block string) string {
			parts := documented.FindStringSubmatch(block)
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/"+parts[1], nil))
			require.Equal(t, http.StatusOK, answer.Code, parts[1])
			var given bytes.Buffer
			require.NoError(t, json.Indent(&given, answer.Body.Bytes(), "", "  "))
			if strings.HasSuffix(parts[1], "/store") && !*update {
				assert.Equal(t, keysOf(t, parts[2]), keysOf(t, given.String()))
				return block
			}
			assert.True(t, *update || parts[2] == given.String(), "%s answers\n%s", parts[1], given.String())
			return "`GET " + parts[1] + "`\n\n```json\n" + given.String() + "```"
		})
		require.GreaterOrEqual(t, len(documented.FindAllString(given, -1)), 7)
		if *update {
			require.NoError(t, os.WriteFile(document, []byte(given), 0o644))
		}
	})
}

func keysOf(t *testing.T, text string) []string {
	var object map[string]map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &object))
	var keys []string
	for outer, inner := range object {
		for key := range maps.Keys(inner) {
			keys = append(keys, outer+"."+key)
		}
	}
	slices.Sort(keys)
	return keys
}

// example inspects a store with one group that falls behind and one that keeps up, read three times.
func example(t *testing.T) *inspector.Handler {
	db, err := storage.Open(storage.Options{Clusters: []string{"prod"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	h, err := inspector.New(db, inspector.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	synctest.Wait() // the inspector watches
	for round := range int64(3) {
		now := time.Now().UnixMilli()
		for p := range int32(2) {
			require.NoError(t, db.SetEndOffset(t.Context(), "prod", "orders", protocol.EndOffset{
				Partition: p, TopicPartitionCount: 2, Offset: 1000 * (round + 1), Timestamp: now,
			}))
		}
		require.NoError(t, db.CommitBatch(t.Context(), "prod", "billing", []protocol.Commit{
			{Topic: "orders", Partition: 0, Offset: 400 * (round + 1), Order: 2*round + 10, Timestamp: now},
			{Topic: "orders", Partition: 1, Offset: 1000 * (round + 1), Order: 2*round + 11, Timestamp: now},
		}))
		require.NoError(t, db.Commit(t.Context(), "prod", "mailer", protocol.Commit{
			Topic: "orders", Partition: 0, Offset: 1000 * (round + 1), Order: round + 10, Timestamp: now,
		}))
		time.Sleep(10 * time.Second)
		synctest.Wait()
	}
	require.NoError(t, db.SetOwners(t.Context(), "prod", "billing", []protocol.PartitionOwner{
		{Topic: "orders", Partition: 0, Owner: "/10.0.0.7", ClientID: "billing-1"},
		{Topic: "orders", Partition: 1, Owner: "/10.0.0.8", ClientID: "billing-2"},
	}))
	time.Sleep(10 * time.Second)
	synctest.Wait()
	return h
}

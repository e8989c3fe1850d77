package inspector

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
)

// Everything that a store counts is in the answer, under a name that is all lower case.
func TestStoreIsWhole(t *testing.T) {
	t.Parallel()
	var stats storage.Stats
	next := uint64(1000)
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Interface().(type) {
		case time.Time:
			next++
			v.Set(reflect.ValueOf(time.UnixMilli(int64(next))))
			return
		case time.Duration:
			next++
			v.SetInt(int64(next) * int64(time.Millisecond))
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Int:
			next++
			v.SetInt(int64(next))
		case reflect.Uint64:
			next++
			v.SetUint(next)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Map:
			next++
			v.Set(reflect.ValueOf(map[storage.Reason]uint64{storage.ReasonUnknownTopic: next}))
		default:
			require.Fail(t, "a field of a kind that is new", "%s", v.Type())
		}
	}
	fill(reflect.ValueOf(&stats).Elem())
	text, err := json.Marshal(storeOf(&stats))
	require.NoError(t, err)
	for n := uint64(1001); n <= next; n++ {
		assert.Regexp(t, `[:]`+strconv.FormatUint(n, 10)+`\b`, string(text))
	}
	assert.Contains(t, string(text), `"damaged":true`)
	for _, key := range regexp.MustCompile(`"([^"]+)":`).FindAllStringSubmatch(string(text), -1) {
		assert.Regexp(t, `^[a-z_-]+$`, key[1])
	}
	var dropped uint64
	for _, count := range stats.Requests.ByType() {
		for _, n := range count.Dropped {
			dropped += n
		}
	}
	assert.Equal(t, dropped, storeOf(&stats).Dropped())
}

// The page of a store shows all of it: of one whose state is on servers, of one that is damaged, and of one without statistics.
func TestStorePage(t *testing.T) {
	t.Parallel()
	h := &Handler{}
	last := int64(1000)
	store := &Store{
		Requests:  map[string]StoreRequests{"set_end_offset": {Done: 11, Dropped: map[storage.Reason]uint64{storage.ReasonUnknownTopic: 12}}},
		Snapshots: StoreSnapshots{Saved: 13, LastMs: &last, Bytes: 3 << 20}, Remote: &StoreRemote{Calls: 14, MostCalls: 15}, Damaged: true,
	}
	b, err := h.render(httptest.NewRequest(http.MethodGet, "/store", nil), "store", view{At: 61_000, Store: store, Self: &Self{}})
	require.NoError(t, err)
	for _, want := range []string{"set end offset", "11", "unknown-topic: 12", ">13<", "1 min ago", "3 MiB", "14 of 15", "Damaged", "12 dropped"} {
		assert.Contains(t, string(b.plain), want)
	}
	b, err = h.render(httptest.NewRequest(http.MethodGet, "/store", nil), "store", view{Self: &Self{}})
	require.NoError(t, err)
	assert.Contains(t, string(b.plain), "The store has no statistics.")
}

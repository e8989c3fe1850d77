package contract

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
)

// exerciseWindow covers the place of a commit in its window, and its lag.
func exerciseWindow(t *testing.T, factory Factory) {
	// filled makes a full window of three commits.
	filled := func(w *world) {
		w.end("topic", 0, 1, 100)
		w.commit("group", "topic", 0, 10, 10, 0)
		w.commit("group", "topic", 0, 20, 20, 1000)
		w.commit("group", "topic", 0, 30, 30, 2000)
		w.window("group", "topic", "10/10/90@0 20/20/80@1000 30/30/70@2000")
	}
	one, five := worldConfig.with("intervals", 1), worldConfig.with("intervals", 5)

	behave(t, factory, []behaviour{
		{name: "exactly intervals, nil first", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.window("group", "topic", "nil nil 10/10/90@0")
			w.commit("group", "topic", 0, 20, 20, 1000)
			w.window("group", "topic", "nil 10/10/90@0 20/20/80@1000")
		}},
		{name: "append pushes out the oldest", run: func(w *world) {
			filled(w)
			w.commit("group", "topic", 0, 40, 40, 3000)
			w.window("group", "topic", "20/20/80@1000 30/30/70@2000 40/40/60@3000")
		}},
		{name: "backfill is dropped", run: func(w *world) {
			filled(w)
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 15, 9, 3000))
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 15, 10, 3000))
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 15, 1, 3000))
		}},
		{name: "duplicate is dropped", run: func(w *world) {
			filled(w)
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 15, 20, 3000))
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 15, 30, 3000))
		}},
		{name: "duplicate in a window that is not full", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 15, 10, 3000))
		}},
		{name: "insert into a full window loses the oldest", run: func(w *world) {
			filled(w)
			w.commit("group", "topic", 0, 15, 15, 2500)
			w.window("group", "topic", "15/15/-@2500 20/20/80@1000 30/30/70@2000")
			w.commit("group", "topic", 0, 25, 25, 2600)
			w.window("group", "topic", "20/20/80@1000 25/25/-@2600 30/30/70@2000")
		}},
		{name: "insert into a window that is not full grows it", config: five, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 30, 30, 2000)
			w.commit("group", "topic", 0, 20, 20, 3000)
			w.window("group", "topic", "nil nil 10/10/90@0 20/20/-@3000 30/30/70@2000")
			w.commit("group", "topic", 0, 5, 5, -1000)
			w.window("group", "topic", "nil 5/5/-@-1000 10/10/90@0 20/20/-@3000 30/30/70@2000")
			w.commit("group", "topic", 0, 6, 6, -500)
			w.window("group", "topic", "5/5/-@-1000 6/6/-@-500 10/10/90@0 20/20/-@3000 30/30/70@2000")
			w.commit("group", "topic", 0, 7, 7, -400)
			w.window("group", "topic", "6/6/-@-500 7/7/-@-400 10/10/90@0 20/20/-@3000 30/30/70@2000")
		}},
		{name: "a window of one", config: one, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.window("group", "topic", "10/10/90@0")
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 15, 10, 1000))
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 15, 9, 1000))
			w.commit("group", "topic", 0, 20, 11, 1000)
			w.window("group", "topic", "20/11/80@1000")
			w.end("topic", 0, 1, 200)
			require.Equal(w.t, []int64{200}, w.partition("group", "topic", 0).BrokerOffsets)
		}},
		{name: "windows know nothing of each other", run: func(w *world) {
			filled(w)
			w.end("other", 0, 1, 100)
			w.commit("group", "other", 0, 15, 5, 0)
			w.window("group", "other", "nil nil 15/5/85@0")
			w.commit("neighbour", "topic", 0, 15, 5, 0)
			w.window("neighbour", "topic", "nil nil 15/5/85@0")
			w.window("group", "topic", "10/10/90@0 20/20/80@1000 30/30/70@2000")
		}},

		{name: "no order counts as the newest", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for i, order := range []int64{0, -1, 0, -9} {
				w.commit("group", "topic", 0, int64(10*i+10), order, int64(1000*i))
			}
			w.window("group", "topic", "20/0/80@1000 30/0/70@2000 40/0/60@3000")
			w.commit("group", "topic", 0, 50, 7, 4000)
			w.window("group", "topic", "30/0/70@2000 40/0/60@3000 50/7/50@4000")
			w.commit("group", "topic", 0, 60, -1, 5000)
			w.window("group", "topic", "40/0/60@3000 50/7/50@4000 60/7/40@5000")
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 15, 7, 6000))
			w.commit("group", "topic", 0, 70, 3, 6000)
			w.window("group", "topic", "70/3/-@6000 50/7/50@4000 60/7/40@5000")
		}},

		{name: "order 0 is the first of a log", run: func(w *world) {
			w.end("topic", 0, 1, 1000)
			w.commit("group", "topic", 0, 1000, 2, 2000)
			w.commit("group", "topic", 0, 10, 0, 0)
			w.window("group", "topic", "nil 10/0/-@0 1000/2/0@2000")
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 10, 0, 0))
			w.commit("group", "topic", 0, 500, 1, 1000)
			w.window("group", "topic", "10/0/-@0 500/1/-@1000 1000/2/0@2000")
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 10, 0, 0))
			w.commit("group", "topic", 0, 1000, 3, 3000)
			w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 10, 0, 0))
		}},

		{name: "lag is against the newest end offset", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("topic", 0, 1, 90)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.end("topic", 0, 1, 200)
			w.commit("group", "topic", 0, 10, 2, 1000)
			w.window("group", "topic", "nil 10/1/80@0 10/2/190@1000")
		}},
		{name: "a commit ahead has no lag", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 100, 1, 0)
			w.commit("group", "topic", 0, 101, 2, 1000)
			w.window("group", "topic", "nil 100/1/0@0 101/2/0@1000")
			require.Zero(w.t, w.partition("group", "topic", 0).CurrentLag)
		}},
		{name: "current lag follows both sides", run: func(w *world) {
			filled(w)
			require.Equal(w.t, uint64(70), w.partition("group", "topic", 0).CurrentLag)
			w.end("topic", 0, 1, 500)
			require.Equal(w.t, uint64(470), w.partition("group", "topic", 0).CurrentLag)
			w.commit("group", "topic", 0, 450, 40, 3000)
			require.Equal(w.t, uint64(50), w.partition("group", "topic", 0).CurrentLag)
			// The newest commit is the one of the greatest order, not the one that came last.
			w.commit("group", "topic", 0, 1, 35, 3000)
			require.Equal(w.t, uint64(50), w.partition("group", "topic", 0).CurrentLag)
			w.end("topic", 0, 1, 20)
			require.Zero(w.t, w.partition("group", "topic", 0).CurrentLag)
		}},
		{name: "a rewind is an append", run: func(w *world) {
			filled(w)
			w.commit("group", "topic", 0, 5, 40, 3000)
			w.window("group", "topic", "20/20/80@1000 30/30/70@2000 5/40/95@3000")
		}},

		{name: "as JSON", run: func(w *world) {
			w.end("topic", 0, 2, 100)
			w.commit("group", "topic", 0, 20, 20, 0)
			w.commit("group", "topic", 0, 10, 10, 0)
			p := w.fetch("group")["topic"]
			for _, commit := range p[0].Offsets[1:] {
				commit.Timestamp, commit.ObservedTimestamp = 1, 2
			}
			written, err := json.Marshal(p)
			require.NoError(w.t, err)
			var got []map[string]any
			require.NoError(w.t, json.Unmarshal(written, &got))
			require.Len(w.t, got, 2)
			commit := func(offset, lag any) any {
				return map[string]any{"offset": offset, "timestamp": 1.0, "observedAt": 2.0, "lag": lag}
			}
			for i, want := range []map[string]any{
				{"offsets": []any{nil, commit(10.0, nil), commit(20.0, 80.0)}, "owner": "", "client_id": "", "current-lag": 80.0},
				{"offsets": []any{}, "owner": "", "client_id": "", "current-lag": 0.0},
			} {
				for key, value := range want {
					require.Equal(w.t, value, got[i][key], key)
				}
			}
		}},
	})
}

// exerciseMinDistance covers step 5 of a commit.
func exerciseMinDistance(t *testing.T, factory Factory) {
	ten := worldConfig.with("min-distance", 10)

	behave(t, factory, []behaviour{
		{name: "a commit too near replaces the one before", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 20, 20, 9999)
			w.window("group", "topic", "nil nil 20/20/80@0")
			w.commit("group", "topic", 0, 30, 30, 10_000)
			w.window("group", "topic", "nil 20/20/80@0 30/30/70@10000")
		}},
		{name: "the lag of a replacement is its own", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.end("topic", 0, 1, 500)
			w.commit("group", "topic", 0, 20, 20, 1000)
			w.window("group", "topic", "nil nil 20/20/480@0")
			require.Equal(w.t, uint64(480), w.partition("group", "topic", 0).CurrentLag)
		}},
		{name: "replacements measure from the first", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for i := range int64(7) {
				w.commit("group", "topic", 0, i, i+1, 4000*i)
			}
			w.window("group", "topic", "2/3/98@0 5/6/95@12000 6/7/94@24000")
		}},
		{name: "a full window does not rotate", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for i := range int64(3) {
				w.commit("group", "topic", 0, i, 10*i+10, 10_000*i)
			}
			w.commit("group", "topic", 0, 50, 50, 21_000)
			w.window("group", "topic", "0/10/100@0 1/20/99@10000 50/50/50@20000")
		}},
		{name: "an insert replaces the one before it", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			for i := range int64(3) {
				w.commit("group", "topic", 0, i, 10*i+10, 10_000*i)
			}
			w.commit("group", "topic", 0, 15, 15, 9_000)
			w.window("group", "topic", "15/15/-@0 1/20/99@10000 2/30/98@20000")
			w.commit("group", "topic", 0, 25, 25, 20_000)
			w.window("group", "topic", "1/20/99@10000 25/25/-@20000 2/30/98@20000")
		}},
		{name: "an insert has nothing before it", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 5, 5, 0)
			w.window("group", "topic", "nil 5/5/-@0 10/10/90@0")
		}},
		{name: "the one after does not count", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 30, 30, 20_000)
			w.commit("group", "topic", 0, 20, 20, 19_000)
			w.window("group", "topic", "10/10/90@0 20/20/-@19000 30/30/70@20000")
		}},
		{name: "a duplicate does not replace", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.drops(storage.ErrDuplicate, w.commitOf("group", "topic", 0, 20, 10, 1000))
		}},
		{name: "a window of one", config: ten.with("intervals", 1), run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 20, 20, 5000)
			w.window("group", "topic", "20/20/80@0")
			w.commit("group", "topic", 0, 30, 30, 10_000)
			w.window("group", "topic", "30/30/70@10000")
		}},
		{name: "no order counts as greater", config: ten, run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 0, 0)
			w.commit("group", "topic", 0, 20, 0, 5000)
			w.window("group", "topic", "nil nil 20/0/80@0")
			w.commit("group", "topic", 0, 30, 4, 6000)
			w.window("group", "topic", "nil nil 30/4/70@0")
			w.commit("group", "topic", 0, 40, -1, 7000)
			w.window("group", "topic", "nil nil 40/4/60@0")
			w.commit("group", "topic", 0, 50, -1, 10_000)
			w.window("group", "topic", "nil 40/4/60@0 50/4/50@10000")
		}},
		{name: "0 replaces on a timestamp that goes back", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 20, 20, -1)
			w.window("group", "topic", "nil nil 20/20/80@0")
			w.commit("group", "topic", 0, 30, 30, -1_000_000)
			w.window("group", "topic", "nil nil 30/30/70@0")
		}},
		{name: "0 keeps an equal timestamp", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 10, 0)
			w.commit("group", "topic", 0, 20, 20, 0)
			w.window("group", "topic", "nil 10/10/90@0 20/20/80@0")
		}},
	})
}

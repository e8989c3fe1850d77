package browsertest

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
)

// listeners waits until the inspector has a number of live connections.
func (w *world) listeners(want int) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		give, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for {
			request, err := http.NewRequestWithContext(give, http.MethodGet, w.url("api/v1/store"), nil)
			if err != nil {
				return err
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			var state struct{ Inspector inspector.Self }
			err = json.NewDecoder(answer.Body).Decode(&state)
			_ = answer.Body.Close()
			if err != nil || state.Inspector.Listeners == want {
				return err
			}
		}
	})
}

// A page that nobody sees holds no connection, of which a browser has six for all its tabs, and is up to date once somebody
// looks again.
func TestHiddenPage(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	show := func(hidden string) chromedp.Action {
		return chromedp.Evaluate(`Object.defineProperty(document, "hidden", { value: `+hidden+`, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"))`, nil)
	}
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(w.url("")), until(`document.getElementById("connection").textContent === "live"`), w.listeners(1),
		show("true"), w.listeners(0),
		chromedp.Evaluate(`window.before = document.querySelector(".at").textContent`, nil),
		show("false"), w.listeners(1), until(`document.querySelector(".at").textContent !== window.before`),
	))
}

// The page of a group that is deleted says so, and goes on when the group is back.
func TestGoneGroup(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	is := func(text string) chromedp.Action {
		return until(`document.getElementById("connection").textContent === "` + text + `"`)
	}
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(w.url("group?cluster=prod&name=%3Cb%3Ehostile%3C%2Fb%3E%E2%80%AE")), is("live"),
		chromedp.ActionFunc(func(ctx context.Context) error { return w.db.DeleteGroup(ctx, "prod", hostile) }),
		is("no longer there"),
	))
	require.NoError(t, w.db.Commit(t.Context(), "prod", hostile, protocol.Commit{Topic: "orders", Offset: 1, Order: -1, Timestamp: time.Now().UnixMilli()}))
	require.NoError(t, chromedp.Run(ctx, is("live")))
}

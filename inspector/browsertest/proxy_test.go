package browsertest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestBufferingProxy looks at a page through a proxy that holds streams back until they end: the page polls.
func TestBufferingProxy(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	target, err := url.Parse("http://" + w.address)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	held := make(chan struct{}, 100)
	proxy := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/live") {
			held <- struct{}{}
			<-r.Context().Done()
			return
		}
		forward.ServeHTTP(answer, r)
	}))
	defer proxy.Close()
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(proxy.URL+"/lag/group?cluster=prod&name=warehouse"),
		until(`document.querySelectorAll(".chart .line").length >= 2`),
		chromedp.Evaluate(`window.before = `+linePoints, nil),
		until(linePoints+` !== window.before`),
		until(`document.getElementById("connection").textContent === "live"`),
		chromedp.Navigate("about:blank"), // so that nothing is held when the proxy ends
	))
	require.NotEmpty(t, held)
}

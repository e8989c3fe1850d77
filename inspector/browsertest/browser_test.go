// Package browsertest looks at the pages of the inspector with a real Chromium.
package browsertest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/internal/servertest"
	"github.com/lagkeeper/storage/protocol"
)

// screenshots says where to write pictures; "" for nowhere.
var screenshots = flag.String("screenshots", "", "directory to write screenshots to")

// patience bounds what must not wait for ever. It measures nothing.
const patience = 5 * time.Minute

// browser starts a Chromium; it skips the test if there is none, unless in CI.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no Chromium on this machine; CI requires one")
		}
		t.Skip("no Chromium on this machine: install the package chromium")
	}
	// Processes of the browser may write for a moment after it has ended, so what is left of its profile is no fault.
	profile, err := os.MkdirTemp("", "browsertest")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience),
	)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelBrowser := chromedp.NewContext(allocator, chromedp.WithBrowserOption(chromedp.WithDialTimeout(patience)))
	t.Cleanup(cancelBrowser)
	ctx, cancelTime := context.WithTimeout(ctx, 3*patience)
	t.Cleanup(cancelTime)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser has ended
	require.NoError(t, chromedp.Run(ctx))
	return ctx
}

// complaints gathers what the page writes to its console and what its policy refuses.
type complaints struct {
	mu   sync.Mutex
	text []string // guarded by mu
	// deaf is true while the server is down, which the browser complains of; guarded by mu.
	deaf bool
}

func (c *complaints) add(format string, arguments ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deaf {
		c.text = append(c.text, fmt.Sprintf(format, arguments...))
	}
}

func (c *complaints) listen(ctx context.Context) {
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			c.add("console %s", e.Type)
		case *runtime.EventExceptionThrown:
			c.add("exception %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			c.add("log %s: %s", e.Entry.Source, e.Entry.Text)
		}
	})
}

// world is a store that a workload runs on, and the server that shows it.
type world struct {
	t       *testing.T
	db      *storage.DB
	address string
	server  *http.Server
	handler *inspector.Handler
	served  chan struct{} // closed when the server has ended
}

const hostile = "<b>hostile</b>\u202e"

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := storage.Open(storage.Options{Clusters: []string{"prod"}})
	require.NoError(t, err)
	w := &world{t: t, db: db}
	quit, done := make(chan struct{}), make(chan struct{})
	w.step(0)
	go func() {
		defer close(done)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for round := int64(1); ; round++ {
			select {
			case <-ticker.C:
				w.step(round)
			case <-quit:
				return
			}
		}
	}()
	w.start(fmt.Sprint("127.0.0.1:", servertest.FreePorts(t, 1)[0])) // one that is still free when the server starts again
	t.Cleanup(func() {
		close(quit)
		<-done
		w.stop()
		assert.NoError(t, db.Close())
	})
	return w
}

// step is what producers and groups do in a fifth of a second.
func (w *world) step(round int64) {
	ctx, now := context.Background(), time.Now().UnixMilli()
	must := func(err error) { assert.NoError(w.t, err) }
	for _, topic := range []string{"orders", "payments"} {
		for p := range int32(4) {
			end := 1000 + 40*round
			must(w.db.SetEndOffset(ctx, "prod", topic, protocol.EndOffset{Partition: p, TopicPartitionCount: 4, Offset: end, Timestamp: now}))
			commit := func(group string, offset int64) {
				must(w.db.Commit(ctx, "prod", group, protocol.Commit{Topic: topic, Partition: p, Offset: offset, Order: -1, Timestamp: now}))
				must(w.db.SetOwner(ctx, "prod", group, protocol.PartitionOwner{
					Topic: topic, Partition: p, Owner: fmt.Sprintf("10.0.0.%d", p), ClientID: "consumer-1",
				}))
			}
			commit("billing", end-5)
			commit("warehouse", 1000+20*round)
			if round == 0 {
				commit(hostile, 900)
			}
		}
	}
}

func (w *world) start(address string) {
	w.t.Helper()
	h, err := inspector.New(w.db, inspector.Options{Interval: 200 * time.Millisecond, History: time.Minute})
	require.NoError(w.t, err)
	listener, err := net.Listen("tcp", address)
	require.NoError(w.t, err)
	w.address = listener.Addr().String()
	pages := http.NewServeMux()
	pages.Handle("/lag/", http.StripPrefix("/lag", h))
	pages.HandleFunc("/favicon.ico", func(http.ResponseWriter, *http.Request) {}) // a browser asks for it, sooner or later, beside a picture
	w.handler, w.server, w.served = h, &http.Server{Handler: pages, ReadHeaderTimeout: patience}, make(chan struct{})
	go func() {
		defer close(w.served)
		_ = w.server.Serve(listener) // ends with an error when it is closed
	}()
}

func (w *world) stop() {
	w.t.Helper()
	assert.NoError(w.t, w.server.Close())
	assert.NoError(w.t, w.handler.Close())
	<-w.served
}

func (w *world) url(page string) string { return "http://" + w.address + "/lag/" + page }

// until waits until an expression of the page is true. While a page is left for another there is nothing to ask.
func until(expression string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		give, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for {
			var is bool
			err := chromedp.Evaluate("!!("+expression+")", &is).Do(give)
			if is {
				return nil
			}
			if give.Err() != nil {
				return fmt.Errorf("wait until %s: %w", expression, errors.Join(give.Err(), err))
			}
			if err := chromedp.Sleep(50 * time.Millisecond).Do(give); err != nil {
				return fmt.Errorf("wait until %s: %w", expression, err)
			}
		}
	})
}

// click clicks on what an expression finds, in one step: the page may swap its content between two.
func click(expression string) chromedp.Action {
	return until("(() => { const found = " + expression + "; found?.click(); return found; })()")
}

// head finds the link in the head of a column.
func head(title string) string {
	return `[...document.querySelectorAll("thead a")].find((a) => a.textContent === ` + strconv.Quote(title) + `)`
}

const linePoints = `document.querySelector(".chart .line").getAttribute("points")`

const groupNames = `[...document.querySelectorAll("#groups tbody th a")].map((a) => a.textContent)`

func TestPages(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	var heard complaints
	heard.listen(ctx)
	var names []string
	require.NoError(t, chromedp.Run(ctx,
		log.Enable(), runtime.Enable(),
		chromedp.Navigate(w.url("")),
		until(`document.querySelectorAll("#groups tbody tr").length === 3`),
		until(`document.getElementById("connection").textContent === "live"`),
		// Sort by name: the link in the head of the column.
		click(head("Group")),
		until(`document.querySelector('th[aria-sort="ascending"] a').textContent === "Group"`),
		chromedp.Evaluate(groupNames, &names),
	))
	require.Equal(t, []string{`<b>hostile</b>\u202e`, "billing", "warehouse"}, names, "a hostile name is text")
	require.NoError(t, chromedp.Run(ctx,
		click(head("Group")),
		until(`document.querySelector('th[aria-sort="descending"] a').textContent === "Group"`),
		chromedp.Evaluate(groupNames, &names),
	))
	require.Equal(t, []string{"warehouse", "billing", `<b>hostile</b>\u202e`}, names)

	// Filter, by the keyboard.
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Evaluate(`document.querySelector("input[name=q]").focus()`, nil),
		chromedp.KeyEvent("ware\r"),
		until(`document.querySelectorAll("#groups tbody tr").length === 1`),
		chromedp.Evaluate(groupNames, &names),
	))
	require.Equal(t, []string{"warehouse"}, names)

	// Open the group; its chart moves while the workload runs, and a key shows its values.
	var before, after, readout string
	require.NoError(t, chromedp.Run(ctx,
		click(`[...document.querySelectorAll("#groups tbody th a")].find((a) => a.textContent === "warehouse")`),
		until(`document.querySelectorAll(".chart .line").length >= 2`),
		chromedp.Evaluate(linePoints, &before),
		chromedp.ActionFunc(func(ctx context.Context) error {
			return until(linePoints + " !== " + strconv.Quote(before)).Do(ctx)
		}),
		chromedp.Evaluate(linePoints, &after),
		until(`(() => {
			const chart = document.querySelector(".chart");
			chart.focus();
			chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
			return window.read = document.querySelector(".readout:not([hidden])")?.textContent;
		})()`),
		chromedp.Evaluate(`window.read`, &readout),
	))
	require.NotEqual(t, before, after)
	require.Regexp(t, `^\d\d:\d\d:\d\d UTC  \S`, readout)

	for _, page := range []string{"topics", "topic?cluster=prod&name=orders", "changes", "store"} {
		require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(w.url(page)), until(`document.querySelector("main h2") !== null`)), page)
	}
	require.Empty(t, heard.text, "the page complains")

	// A server that was killed is found again once it is back.
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(w.url("")), until(`document.getElementById("connection").textContent === "live"`)))
	heard.mu.Lock()
	heard.deaf = true
	heard.mu.Unlock()
	address := w.address
	w.stop()
	require.NoError(t, chromedp.Run(ctx, until(`document.getElementById("connection").textContent === "not connected"`)))
	w.start(address)
	require.NoError(t, chromedp.Run(ctx, until(`document.getElementById("connection").textContent === "live"`)))
}

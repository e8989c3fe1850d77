package browsertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// allPages are the pages by the name of their screenshots.
var allPages = map[string]string{
	"groups": "", "group": "group?cluster=prod&name=warehouse", "topics": "topics", "topic": "topic?cluster=prod&name=orders",
	"changes": "changes", "store": "store",
}

// faint lists what is written in a colour too near to that behind it: text needs a contrast of 4.5 to 1
// (https://www.w3.org/TR/WCAG21/#contrast-minimum).
const faint = `(() => {
	const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
	const luminance = ([r, g, b]) => {
		const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
		return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
	};
	const behind = (element) => {
		for (; element; element = element.parentElement) {
			const color = parse(getComputedStyle(element).backgroundColor);
			if (color.length === 3 || color[3] > 0) return color;
		}
		return [255, 255, 255];
	};
	const found = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const element = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !element.getClientRects().length) continue;
		const style = getComputedStyle(element);
		const [a, b] = [luminance(parse(element instanceof SVGElement ? style.fill : style.color)), luminance(behind(element))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) found.add(element.tagName + "." + element.className + " " + contrast.toFixed(1));
	}
	return [...found];
})()`

func scheme(name string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}})
}

// TestSizes looks at the pages at the width of a telephone and of a wall, light and dark: nothing sticks out, and text stands
// out from what is behind it.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	for _, colours := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1280, 2000} {
			for name, page := range allPages {
				var overflows bool
				var unreadable []string
				var small float64 // the height of the smallest text of a chart, in pixels
				var picture []byte
				require.NoError(t, chromedp.Run(ctx,
					scheme(colours), chromedp.EmulateViewport(width, 800), chromedp.Navigate(w.url(page)),
					until(`document.querySelector("main h2") !== null`),
					chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &overflows),
					chromedp.Evaluate(faint, &unreadable),
					chromedp.Evaluate(`Math.min(99, ...[...document.querySelectorAll(".axis")].map((a) => a.getBoundingClientRect().height).filter(Boolean))`, &small),
					chromedp.CaptureScreenshot(&picture),
				))
				assert.False(t, overflows, "%s at %d px", name, width)
				assert.Empty(t, unreadable, "%s at %d px, %s", name, width, colours)
				assert.Greater(t, small, 9.0, "%s at %d px", name, width)
				assert.Less(t, len(picture), 150_000)
				if *screenshots != "" && width == 1280 && (name == "groups" || name == "group") {
					file := filepath.Join(*screenshots, strings.Join([]string{"inspector", name, colours}, "-")+".png")
					require.NoError(t, os.WriteFile(file, picture, 0o600))
				}
			}
		}
	}
}

// TestKeyboard goes by keys alone: past the head of the page, to a column that then sorts, with the focus in sight.
func TestKeyboard(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	var first, outline string
	var headings []string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(w.url("")), until(`document.querySelectorAll("#groups tbody tr").length === 3`),
		chromedp.KeyEvent(kb.Tab),
		chromedp.Evaluate(`document.activeElement.textContent`, &first),
		chromedp.Evaluate(`getComputedStyle(document.activeElement).outlineStyle`, &outline),
		chromedp.Evaluate(`[...document.querySelectorAll("h1, h2, h3")].map((h) => h.tagName)`, &headings),
	))
	assert.Equal(t, "Skip to content", first)
	assert.Equal(t, "solid", outline)
	assert.Equal(t, []string{"H1", "H2"}, headings)
	require.NoError(t, chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		for range 40 {
			var at string
			if err := chromedp.Run(ctx, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.textContent`, &at)); err != nil || at == "Lag" {
				return err
			}
		}
		t.Error("the head of the column is not reached")
		return nil
	}), chromedp.KeyEvent(kb.Enter), until(`document.querySelector('th[aria-sort="descending"] a').textContent === "Lag"`)))

	// The focus stays where it is while the page follows the store.
	var kept string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Evaluate(head("Group")+`.focus(); window.seen = document.querySelector(".at").textContent`, nil),
		until(`document.querySelector(".at").textContent !== window.seen`),
		chromedp.Evaluate(`document.activeElement.textContent`, &kept),
	))
	assert.Equal(t, "Group", kept)

	// So does what is typed, and an element of the page is the same one still.
	var typed string
	var same bool
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Evaluate(`document.querySelector("input[name=q]").focus(); window.cell = document.querySelector("#groups tbody td:nth-child(5)"); window.before = window.cell.textContent`, nil),
		chromedp.KeyEvent("war"),
		until(`window.cell.textContent !== window.before`),
		chromedp.Evaluate(`document.activeElement.value`, &typed), chromedp.Evaluate(`window.cell.isConnected`, &same),
	))
	assert.Equal(t, "war", typed)
	assert.True(t, same)

	// The crosshair follows the pointer, and stays while the chart moves below it.
	var readout string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(w.url(allPages["group"])), until(`document.querySelectorAll(".chart .line").length >= 2`),
		chromedp.Evaluate(`(() => {
			const area = document.querySelector(".chart").getBoundingClientRect();
			document.querySelector(".chart").dispatchEvent(new PointerEvent("pointermove", { clientX: area.left + area.width, clientY: area.top + 20 }));
			window.before = `+linePoints+`;
		})()`, nil),
		until(linePoints+` !== window.before`),
		chromedp.Evaluate(`document.querySelector(".readout:not([hidden])")?.textContent`, &readout),
	))
	assert.Regexp(t, `^\d\d:\d\d:\d\d UTC  \S`, readout)
}

// TestMedia prints black on white whatever the screen, and moves nothing for who asks for that.
func TestMedia(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	media := func(kind string, features ...*emulation.MediaFeature) chromedp.Action {
		return emulation.SetEmulatedMedia().WithMedia(kind).WithFeatures(features)
	}
	dark := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	still := &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"}
	var background, navigation, moves string
	var unreadable []string
	require.NoError(t, chromedp.Run(ctx,
		media("print", dark), chromedp.Navigate(w.url(allPages["group"])), until(`document.querySelector(".readout") !== null`),
		chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &background),
		chromedp.Evaluate(`getComputedStyle(document.querySelector("header nav")).display`, &navigation),
		chromedp.Evaluate(faint, &unreadable),
		media("", still),
		chromedp.Evaluate(`[...document.querySelectorAll("*")].map((e) => getComputedStyle(e)).filter((s) => parseFloat(s.transitionDuration) || s.animationName !== "none").length + ""`, &moves),
	))
	assert.Equal(t, []string{"rgb(255, 255, 255)", "none", "0"}, []string{background, navigation, moves})
	assert.Empty(t, unreadable)
	require.NoError(t, chromedp.Run(ctx,
		// In one step: the page may swap its content between two.
		chromedp.Evaluate(`document.querySelector("h2").style.color = getComputedStyle(document.body).backgroundColor; `+faint, &unreadable),
	))
	assert.NotEmpty(t, unreadable, "text in the colour of what is behind it is found")
}

// TestPicture opens a chart by itself: it is drawn as in its page, without the style sheet of the page.
func TestPicture(t *testing.T) {
	w := newWorld(t)
	ctx := browser(t)
	var heard complaints
	heard.listen(ctx)
	var looks []string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(w.url("")), until(`document.querySelector("polyline") !== null`),
		chromedp.Navigate(w.url("chart.svg?kind=time&cluster=prod&name=warehouse")), until(`document.querySelector("polyline") !== null`),
		chromedp.Evaluate(`[...document.querySelectorAll("polyline, polygon")].map((e) => getComputedStyle(e)).map((s) => s.fill + " " + s.stroke + " " + s.fillOpacity)`, &looks),
	))
	assert.Contains(t, looks, "none rgb(11, 83, 148) 1")
	for _, look := range looks {
		assert.Contains(t, []string{"none rgb(11, 83, 148) 1", "rgb(11, 83, 148) none 0.2"}, look)
	}
	require.Empty(t, heard.text)
}

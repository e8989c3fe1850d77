package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/lagkeeper/storage/trend"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testRows = []row{
	{
		Group: "billing", Topic: "orders", Partitions: 4, Members: 2, LagKnown: true, Trend: []float64{0, 0, 0},
		TimeLag: timeLag{Known: true, Error: time.Second},
		Rates:   rates{In: rate(0.3), Out: rate(0), CatchUp: trend.Duration{Known: true}},
		Moved:   2 * time.Second, State: stateCaughtUp,
	},
	{
		Group: "mailer", Topic: "payments", Partitions: 12, Lag: 1234567, LagKnown: true, LagAtLeast: true, Trend: []float64{0, 5, 10},
		TimeLag: timeLag{Known: true, Value: 3 * time.Hour, AtLeast: true},
		Rates:   rates{In: rate(12_345), Out: rate(0), Never: true},
		Moved:   90 * time.Minute, MovedAtLeast: true, State: stateStopped,
	},
	{
		Group: "newcomer-with-a-very-long-name-indeed", Topic: "orders", Partitions: 4, Members: 1,
		Moved: -1, State: stateNoCommit,
	},
	{
		Group: "warehouse", Topic: "orders", Partitions: 4, Members: 1, Lag: 500, LagKnown: true, Trend: []float64{9, 7, 5},
		TimeLag: timeLag{Known: true, Value: 65 * time.Second, Error: 1500 * time.Millisecond},
		Rates:   rates{In: rate(9.94), Out: rate(1234), CatchUp: trend.Duration{Length: 400 * time.Millisecond, Known: true}},
		Moved:   time.Second, State: stateCatchingUp,
	},
}

func rate(n float64) trend.Rate { return trend.Rate{PerSecond: n, Known: true} }

var testTable = table{
	Cluster: "demo", At: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Groups: 3, Topics: 2, Rows: testRows,
}

// drawn is a table as it is printed.
func drawn(t table, events []event, s screen) string {
	var b strings.Builder
	for _, l := range draw(t, heading(t, "every 2s"), events, s) {
		b.WriteString(l.text(s.columns, s.color) + "\n")
	}
	return b.String()
}

func TestDrawWhole(t *testing.T) {
	events := []event{{At: testTable.At, Text: "topic legacy was deleted"}}
	assert.Equal(t, ""+
		"lagmonitor  demo  15:04:05  3 groups, 2 topics  every 2s\n"+
		"\n"+
		"GROUP                                  TOPIC     PARTS  MEMBERS         LAG     TIME LAG  TREND  IN/S  OUT/S  CATCH UP   COMMITTED  STATE\n"+
		"billing                                orders        4        2           0           0s  ▁▁▁     0.3      0        0s      2s ago  CAUGHT UP\n"+
		"mailer                                 payments     12        0  ≥1,234,567       ≥3h00m  ▁▄█     12k      0     never  ≥1h30m ago  STOPPED\n"+
		"newcomer-with-a-very-long-name-indeed  orders        4        1           -            -            -      -         -       never  NO COMMIT\n"+
		"warehouse                              orders        4        1         500  1m05s ±1.5s  █▆▄     9.9  1,234      0.4s      1s ago  CATCHING UP\n"+
		"\n"+
		"15:04:05  topic legacy was deleted\n",
		drawn(testTable, events, screen{}))
}

func TestDrawFitsTheWidth(t *testing.T) {
	assert.Equal(t, ""+
		"lagmonitor  demo  15:04:05  3 groups, 2 topics  every 2s\n"+
		"\n"+
		"GROUP                               TOPIC     PARTS  MEMBERS         LAG     TIME LAG  TREND  IN/S  OUT/S  CATCH UP   COMMITTED  STATE\n"+
		"billing                             orders        4        2           0           0s  ▁▁▁     0.3      0        0s      2s ago  CAUGHT UP\n"+
		"mailer                              payments     12        0  ≥1,234,567       ≥3h00m  ▁▄█     12k      0     never  ≥1h30m ago  STOPPED\n"+
		"newcomer-with-a-v…long-name-indeed  orders        4        1           -            -            -      -         -       never  NO COMMIT\n"+
		"warehouse                           orders        4        1         500  1m05s ±1.5s  █▆▄     9.9  1,234      0.4s      1s ago  CATCHING UP\n",
		drawn(testTable, nil, screen{columns: 140}))
	for columns := 1; columns < 150; columns++ {
		for _, l := range draw(testTable, heading(testTable, "every 2s"), nil, screen{columns: columns}) {
			require.LessOrEqual(t, displayWidth(l.text(columns, false)), columns)
		}
	}
}

// What is missed least goes first, and the names stay readable as long as there is something to go.
func TestDrawDropsColumns(t *testing.T) {
	assert.Equal(t, ""+
		"GROUP             TOPIC            LAG     TIME LAG  TREND  OUT/S  CATCH UP   COMMITTED  STATE\n"+
		"billing           orders             0           0s  ▁▁▁        0        0s      2s ago  CAUGHT UP\n"+
		"mailer            payments  ≥1,234,567       ≥3h00m  ▁▄█        0     never  ≥1h30m ago  STOPPED\n"+
		"newcomer…-indeed  orders             -            -             -         -       never  NO COMMIT\n"+
		"warehouse         orders           500  1m05s ±1.5s  █▆▄    1,234      0.4s      1s ago  CATCHING UP\n",
		lastLines(drawn(testTable, nil, screen{columns: 100}), 5))
	assert.Equal(t, ""+
		"GROUP               TOPIC            LAG  TIME LAG  TREND  CATCH UP  STATE\n"+
		"billing             orders             0        0s  ▁▁▁          0s  CAUGHT UP\n"+
		"mailer              payments  ≥1,234,567    ≥3h00m  ▁▄█       never  STOPPED\n"+
		"newcomer-…e-indeed  orders             -         -                -  NO COMMIT\n"+
		"warehouse           orders           500     1m05s  █▆▄        0.4s  CATCHING UP\n",
		lastLines(drawn(testTable, nil, screen{columns: 80}), 5))
	assert.Equal(t, ""+
		"GROUP       TOPIC            LAG  STATE\n"+
		"billing     orders             0  CAUGHT UP\n"+
		"mailer      payments  ≥1,234,567  STOPPED\n"+
		"newco…deed  orders             -  NO COMMIT\n"+
		"warehouse   orders           500  CATCHING UP\n",
		lastLines(drawn(testTable, nil, screen{columns: 45}), 5))
}

func TestDrawFitsTheHeight(t *testing.T) {
	events := []event{{Text: "one"}, {Text: "two"}}
	for lines := 4; lines < 20; lines++ {
		require.LessOrEqual(t, len(draw(testTable, heading(testTable, ""), events, screen{lines: lines})), max(lines, 5))
	}
	// The worst row stays.
	got := drawn(testTable, nil, screen{lines: 5})
	assert.Contains(t, got, "STOPPED")
	assert.NotContains(t, got, "CAUGHT UP")
	assert.Contains(t, got, "… and 3 more that are better off")
}

func TestDrawColor(t *testing.T) {
	line := layout(columns, testRows, 0).row(testRows[1])
	assert.Contains(t, line.text(0, true), "\x1b[31mSTOPPED\x1b[0m")
	assert.NotContains(t, line.text(0, false), "\x1b")
	// Cutting counts no colour.
	assert.Equal(t, "mailer", strings.TrimSpace(line.text(8, true)))
}

// Lost messages have a column once there are some, and a group beyond the end has less than nothing to read.
func TestDrawLostAndBeyondEnd(t *testing.T) {
	rows := []row{
		{Group: "a", Topic: "t", LagKnown: true, Lost: 12_000, State: stateCaughtUp},
		{Group: "b", Topic: "t", BeyondEnd: 1500, State: stateBeyondEnd},
	}
	got := lastLines(drawn(table{Rows: rows}, nil, screen{columns: 60}), 3)
	assert.Equal(t, ""+
		"GROUP  TOPIC     LAG    LOST  TIME LAG  TREND  STATE\n"+
		"a      t           0  12,000         -         CAUGHT UP\n"+
		"b      t      -1,500                 -         BEYOND END\n", got)
	assert.NotContains(t, drawn(table{Rows: rows[1:]}, nil, screen{}), "LOST")
	document := makeDocument(table{Rows: rows}, nil)
	assert.EqualValues(t, 12_000, document.Rows[0].LostMessages)
	assert.EqualValues(t, 1500, document.Rows[1].BeyondEndMessages)
	assert.Nil(t, document.Rows[1].Lag)
}

func TestDrawEmpty(t *testing.T) {
	got := drawn(table{Cluster: "demo", At: testTable.At}, nil, screen{columns: 80, lines: 24})
	assert.Contains(t, got, "0 groups, 0 topics")
	assert.Contains(t, got, "no group has committed anything yet")
}

// A group may be called anything, but it does not get to write to the terminal.
func TestDrawHostileNames(t *testing.T) {
	hostile := table{Rows: []row{
		{Group: "evil\x1b[2J\x07\n\u202e", Topic: "a\xff", Moved: -1},
		{Group: "日本語", Topic: "e\u0301", Moved: -1},
	}}
	got := drawn(hostile, []event{{Text: "group \x1b[2J was deleted"}}, screen{columns: 80})
	assert.NotContains(t, got, "\x1b")
	assert.NotContains(t, got, "\u202e")
	lines := strings.Split(got, "\n")
	assert.Len(t, lines, 8)
	// Wide characters take two columns, combining ones none: LAG ends in the same column everywhere.
	assert.Equal(t, displayWidth(before(lines[3], "-")), displayWidth(before(lines[4], "-")))
}

func TestShorten(t *testing.T) {
	assert.Equal(t, "short", shorten("short", 5))
	assert.Equal(t, "abcd…xyz", shorten("abcdefghijklmnopqrstuvwxyz", 8))
	assert.Equal(t, "日…語", shorten("日本本本語", 6))
	assert.Equal(t, "ab", shorten("abcdef", 2))
}

func TestAgeAndThousands(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s":     999 * time.Millisecond,
		"59s":    59 * time.Second,
		"1m05s":  65 * time.Second,
		"2h03m":  2*time.Hour + 3*time.Minute + 59*time.Second,
		"12d00h": 12 * 24 * time.Hour,
	} {
		assert.Equal(t, want, age(d))
	}
	for want, n := range map[string]uint64{"0": 0, "999": 999, "1,000": 1000, "18,446,744,073,709,551,615": 1<<64 - 1} {
		assert.Equal(t, want, thousands(n))
	}
}

func TestShortAge(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s":    0,
		"0.1s":  time.Millisecond,
		"2.0s":  1999 * time.Millisecond,
		"9.9s":  9949 * time.Millisecond,
		"10s":   10 * time.Second,
		"1m05s": 65 * time.Second,
	} {
		assert.Equal(t, want, shortAge(d))
	}
}

func TestRateText(t *testing.T) {
	assert.Equal(t, "-", rateText(trend.Rate{}))
	for want, n := range map[string]float64{
		"0": 0, "<0.1": 0.01, "0.1": 0.05, "9.9": 9.94, "10": 9.95, "1,234": 1234.4, "9,999": 9999.4, "10k": 9999.5, "999k": 999_499,
		"1M": 999_500, "12M": 12e6, "5G": 5e9, "1,000,000,000,000,000G": math.MaxFloat64,
	} {
		assert.Equal(t, want, rateText(rate(n)))
	}
}

func TestSparkline(t *testing.T) {
	assert.Equal(t, "", sparkline(nil))
	assert.Equal(t, "▁▁", sparkline([]float64{0, 0}))
	assert.Equal(t, "▁▂▃▄▅▆▇█", sparkline([]float64{0, 1, 2, 3, 4, 5, 6, 7}))
	assert.Equal(t, "▇▇█", sparkline([]float64{1000, 1001, 1010}), "a wobble on a large lag looks small")
}

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	return strings.Join(lines[len(lines)-n:], "") + "\n"
}

func before(text, mark string) string {
	head, _, _ := strings.Cut(text, mark)
	return head
}

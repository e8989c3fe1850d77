package trend

import (
	"math"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// commits makes commits from pairs of a time in s and an offset, without lags.
func commits(pairs ...int64) []protocol.StoredCommit {
	var c []protocol.StoredCommit
	for i := 0; i < len(pairs); i += 2 {
		c = append(c, protocol.StoredCommit{Timestamp: pairs[i] * 1000, Offset: pairs[i+1]})
	}
	return c
}

// lags makes commits 5 s apart with these lags; -1 is an unknown one.
func lags(lags ...int64) []protocol.StoredCommit {
	var c []protocol.StoredCommit
	for i, lag := range lags {
		c = append(c, protocol.StoredCommit{
			Timestamp: int64(i) * 5000, Offset: 1000 + int64(i), Lag: uint64(max(lag, 0)), LagKnown: lag >= 0,
		})
	}
	return c
}

// ends makes end offsets from pairs of a time in s and an offset.
func ends(pairs ...int64) []protocol.TimedEndOffset {
	var e []protocol.TimedEndOffset
	for i := 0; i < len(pairs); i += 2 {
		e = append(e, protocol.TimedEndOffset{Time: time.Unix(pairs[i], 0), Offset: pairs[i+1]})
	}
	return e
}

var unknown = Rate{}

func known(perSecond float64) Rate { return Rate{PerSecond: perSecond, Known: true} }

func TestConsumption(t *testing.T) {
	for name, tc := range map[string]struct {
		commits []protocol.StoredCommit
		now     int64 // s
		want    Rate
	}{
		"nothing":                          {nil, 100, unknown},
		"one commit":                       {commits(0, 5), 100, unknown},
		"two at the same time":             {commits(0, 5, 0, 500), 100, unknown},
		"steady":                           {commits(0, 0, 5, 500, 10, 1000), 10, known(100)},
		"steady, asked before the next":    {commits(0, 0, 5, 500, 10, 1000), 15, known(100)},
		"overdue by as long as the run":    {commits(0, 0, 5, 500, 10, 1000), 25, known(50)},
		"silent for a long time":           {commits(0, 0, 5, 500, 10, 1000), 10_005, known(0.1)},
		"asked before the newest":          {commits(0, 0, 5, 500, 10, 1000), 3, known(100)},
		"the same time twice":              {commits(0, 0, 5, 500, 5, 600, 10, 1000), 10, known(100)},
		"commits the same offset":          {commits(0, 7, 5, 7, 10, 7), 10, known(0)},
		"rewound":                          {commits(0, 9000, 5, 9500, 10, 100, 15, 300), 15, known(40)},
		"just rewound":                     {commits(0, 9000, 5, 9500, 10, 100), 10, unknown},
		"clock back":                       {commits(1000, 100, 1005, 200, 10, 300, 15, 400), 15, known(20)},
		"clock just went back":             {commits(1000, 100, 1005, 200, 10, 300), 10, unknown},
		"one long pause allows for others": {commits(0, 0, 60, 600, 65, 650), 120, known(10)},
	} {
		if got := Consumption(tc.commits, time.Unix(tc.now, 0)); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestProduction(t *testing.T) {
	for name, tc := range map[string]struct {
		ends []protocol.TimedEndOffset
		want Rate
	}{
		"nothing":     {nil, unknown},
		"one":         {ends(0, 5), unknown},
		"no time":     {ends(7, 5, 7, 6), unknown},
		"steady":      {ends(0, 0, 30, 300, 60, 600), known(10)},
		"idle":        {ends(0, 600, 30, 600, 60, 600), known(0)},
		"recreated":   {ends(0, 900, 30, 950, 60, 0, 90, 60), known(2)},
		"clock back":  {ends(1000, 100, 60, 200, 90, 260), known(2)},
		"less than 1": {ends(0, 0, 30, 3), known(0.1)},
	} {
		if got := Production(tc.ends); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestDirection(t *testing.T) {
	for name, tc := range map[string]struct {
		commits []protocol.StoredCommit
		ends    []protocol.TimedEndOffset
		want    Direction
	}{
		"nothing":                       {nil, ends(0, 5, 30, 50), Unknown},
		"one lag":                       {lags(5), nil, Unknown},
		"two lags":                      {lags(5, 50_000), nil, Unknown},
		"three up":                      {lags(5, 6, 7), nil, Growing},
		"three down":                    {lags(7, 6, 5), nil, Shrinking},
		"three, up and down":            {lags(5, 7, 6), nil, Steady},
		"caught up all the time":        {lags(0, 0, 0, 0, 0, 0), nil, Steady},
		"far behind all the time":       {lags(1e9, 1e9, 1e9, 1e9, 1e9), nil, Steady},
		"up":                            {lags(10, 20, 30, 40, 50, 60, 70), nil, Growing},
		"up with noise":                 {lags(10, 30, 20, 40, 60, 50, 70, 90, 80), nil, Growing},
		"down with noise":               {lags(80, 90, 70, 50, 60, 40, 20, 30, 10), nil, Shrinking},
		"sawtooth":                      {lags(10, 500, 900, 20, 510, 890, 15, 505, 905, 12), nil, Steady},
		"one wild value at the end":     {lags(10, 12, 11, 10, 12, 11, 10, 12, 11, 1e9), nil, Steady},
		"up by nothing to speak of":     {lags(1e9, 1e9+1, 1e9+2, 1e9+3, 1e9+4, 1e9+5), nil, Steady},
		"unknown lags are no lags":      {lags(-1, 10, -1, 20, -1, -1), nil, Unknown},
		"unknown between known":         {lags(10, -1, 20, 30, -1, 40, 50), nil, Growing},
		"only what follows the rewind":  {append(lags(90, 80, 70, 60, 50, 40), rewound(1, 2, 3, 4, 5)...), nil, Growing},
		"stuck while messages come":     {lags(9, 9, 9, 9, 9), ends(30, 2000, 60, 3000, 90, 4000, 120, 5000), Growing},
		"stuck and idle":                {lags(9, 9, 9, 9, 9), ends(30, 1013, 60, 1013, 90, 1013), Steady},
		"one commit, stuck":             {lags(9), ends(30, 2000, 60, 3000), Growing},
		"between two commits":           {lags(9, 9, 9, 9, 9), ends(21, 2000, 22, 3000, 23, 4000, 24, 5000, 25, 6000), Steady},
		"end offsets before the commit": {lags(9, 9, 9, 9, 9), ends(0, 1009, 5, 1500, 10, 2000, 15, 3000), Steady},
		"commits ahead of the brokers":  {lags(0, 0, 0, 0, 0), ends(30, 5, 60, 5, 90, 5), Steady},
	} {
		if got := DirectionOf(tc.commits, tc.ends); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// rewound makes commits like lags, with offsets that go back.
func rewound(l ...int64) []protocol.StoredCommit {
	c := lags(l...)
	for i := range c {
		c[i].Timestamp += 1_000_000
		c[i].Offset -= 900
	}
	return c
}

func TestCatchUp(t *testing.T) {
	const most = math.MaxInt64
	for name, tc := range map[string]struct {
		commit, end        int64
		consumed, produced Rate
		want               Duration
	}{
		"caught up, rates unknown": {100, 100, unknown, unknown, Duration{0, true}},
		"ahead":                    {101, 100, known(0), known(5), Duration{0, true}},
		"nothing produced":         {0, 100, known(10), known(0), Duration{10 * time.Second, true}},
		"gaining":                  {0, 100, known(30), known(10), Duration{5 * time.Second, true}},
		"rounded up":               {0, 1, known(3), known(0), Duration{334 * time.Millisecond, true}},
		"equally fast":             {0, 100, known(10), known(10), Duration{}},
		"losing":                   {0, 100, known(10), known(20), Duration{}},
		"stuck":                    {0, 100, known(0), known(0), Duration{}},
		"consumption unknown":      {0, 100, unknown, known(0), Duration{}},
		"production unknown":       {0, 100, known(10), unknown, Duration{}},
		"in 292 years and more":    {0, most, known(1e6), known(0), Duration{}},
		"int64 from end to end":    {math.MinInt64, most, known(1e10), known(0), Duration{1844674407371 * time.Millisecond, true}},
		"infinitely fast":          {0, 100, known(math.Inf(1)), known(0), Duration{0, true}},
		"both infinitely fast":     {0, 100, known(math.Inf(1)), known(math.Inf(1)), Duration{}},
	} {
		if got := CatchUp(tc.commit, tc.end, tc.consumed, tc.produced); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestFreshness(t *testing.T) {
	for name, tc := range map[string]struct {
		commits []protocol.StoredCommit
		now     int64
		want    Duration
	}{
		"no commit":             {nil, 5, Duration{}},
		"now":                   {commits(5, 1), 5000, Duration{0, true}},
		"newest counts":         {commits(5, 1, 8, 2), 9000, Duration{time.Second, true}},
		"in the future":         {commits(5, 1), 4000, Duration{0, true}},
		"int64 from end to end": {[]protocol.StoredCommit{{Timestamp: math.MinInt64}}, math.MaxInt64, Duration{time.Duration(longest) * time.Millisecond, true}},
	} {
		if got := Freshness(tc.commits, time.UnixMilli(tc.now)); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestOf(t *testing.T) {
	c := commits(0, 0, 5, 500, 10, 1000, 15, 1500)
	for i := range c {
		c[i].Lag, c[i].LagKnown = uint64(9000-i*1000), true
	}
	got := Of(c, ends(-15, 9000, 15, 9600), time.Unix(16, 0))
	want := Trend{
		Consumed: known(100), Produced: known(20), Lag: Shrinking, CatchUp: Duration{101_250 * time.Millisecond, true}, Freshness: Duration{time.Second, true},
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := Of(nil, nil, time.Unix(5, 0)); got != (Trend{}) {
		t.Errorf("of nothing: %+v", got)
	}
	if got := Of(nil, ends(0, 0, 30, 300), time.Unix(30, 0)); got != (Trend{Produced: known(10)}) {
		t.Errorf("of end offsets alone: %+v", got)
	}
}

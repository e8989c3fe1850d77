package inspector

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// unknown stands for what is not known: never a 0.
const unknown = "–"

// count shows a number as a person would say it: 999, 12.3 k, 1.2 M.
func count(n float64) string {
	if n < 0 {
		return "−" + count(-n)
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e4, " k"}} {
		if n >= unit.size {
			size := unit.size
			if size == 1e4 {
				size = 1e3
			}
			return significant(n/size) + unit.name
		}
	}
	if n != math.Trunc(n) && n < 100 {
		return significant(n)
	}
	return strconv.FormatFloat(math.Round(n), 'f', -1, 64)
}

// significant shows three digits: 1.23, 12.3, 123.
func significant(n float64) string {
	decimals := 0
	switch {
	case n < 10:
		decimals = 2
	case n < 100:
		decimals = 1
	}
	text := strconv.FormatFloat(n, 'f', decimals, 64)
	if decimals > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// bytesOf shows bytes in whatever type they are counted.
func bytesOf(n any) string {
	switch n := n.(type) {
	case int:
		return bytesText(float64(n))
	case int64:
		return bytesText(float64(n))
	case uint64:
		return bytesText(float64(n))
	}
	return unknown
}

// bytesText shows bytes in powers of 1,024: 512 B, 1.5 KiB, 64 MiB.
func bytesText(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			return significant(n) + " " + unit
		}
		n /= 1024
	}
	return significant(n) + " TiB"
}

// duration shows milliseconds with the two units that matter: 230 ms, 4.2 s, 3 min 5 s, 3 h 5 min, 2 d 4 h.
func duration(ms float64) string {
	if ms < 0 {
		return "−" + duration(-ms)
	}
	d := time.Duration(min(ms, float64(math.MaxInt64/int64(time.Millisecond)))) * time.Millisecond
	two := func(large time.Duration, largeName string, small time.Duration, smallName string) string {
		d = d.Round(small)
		text := strconv.FormatInt(int64(d/large), 10) + largeName
		if rest := d % large / small; rest > 0 {
			text += " " + strconv.FormatInt(int64(rest), 10) + smallName
		}
		return text
	}
	switch {
	case d == 0:
		return "0 s"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return significant(math.Round(d.Seconds()*10)/10) + " s"
	case d < time.Minute:
		return strconv.FormatInt(int64(math.Round(d.Seconds())), 10) + " s"
	case d < time.Hour:
		return two(time.Minute, " min", time.Second, " s")
	case d < 24*time.Hour:
		return two(time.Hour, " h", time.Minute, " min")
	default:
		return two(24*time.Hour, " d", time.Hour, " h")
	}
}

// MessagesText shows a lag in messages, with ≥ if it is a lower bound.
func (l Lag) MessagesText() string {
	if l.Messages == nil {
		return unknown
	}
	return bound(l.AtLeast) + count(float64(*l.Messages))
}

// TimeText shows a lag in time, with its margin, or ≥ if it is a lower bound.
func (l Lag) TimeText() string {
	if l.TimeMs == nil {
		return unknown
	}
	text := bound(l.TimeAtLeast) + duration(float64(*l.TimeMs))
	if l.MarginMs != nil && *l.MarginMs > 0 {
		text += " ±" + duration(float64(*l.MarginMs))
	}
	return text
}

func bound(atLeast bool) string {
	if atLeast {
		return "≥ "
	}
	return ""
}

// rateText shows messages per second.
func rateText(rate *float64) string {
	if rate == nil {
		return unknown
	}
	return count(*rate) + "/s"
}

// durationText shows milliseconds that may not be known.
func durationText(ms *int64) string {
	if ms == nil {
		return unknown
	}
	return duration(float64(*ms))
}

// offsetText shows an offset whole: somebody will compare it with what another tool says.
func offsetText(offset *int64) string {
	if offset == nil {
		return unknown
	}
	return strconv.FormatInt(*offset, 10)
}

// longestName is the number of characters of a name that a table shows.
const longestName = 120

// shownName makes a name harmless to look at: what is no character, what controls a terminal and what turns the direction
// of text is written out, and a long name is cut in the middle.
func shownName(name string) string {
	var b strings.Builder
	length := 0
	var tail []string
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		text := name[i : i+size]
		switch {
		case r == utf8.RuneError && size == 1:
			text = `\x` + hex(uint64(name[i]), 2)
		case unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			text = `\u` + hex(uint64(r), 4)
		}
		i += size
		length++
		if length <= longestName-20 {
			b.WriteString(text)
			continue
		}
		if tail = append(tail, text); len(tail) > longestName {
			tail = append(tail[:0], tail[len(tail)-20:]...)
		}
	}
	if length > longestName {
		b.WriteString("…")
		tail = tail[max(0, len(tail)-19):]
	}
	for _, text := range tail {
		b.WriteString(text)
	}
	return b.String()
}

func hex(n uint64, width int) string {
	text := strconv.FormatUint(n, 16)
	for len(text) < width {
		text = "0" + text
	}
	return text
}

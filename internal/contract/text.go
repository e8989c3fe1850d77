package contract

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lagkeeper/storage/protocol"
)

// text returns an answer as text that is equal for equal answers: lists are sorted, nil differs from empty. Observed
// timestamps come from the module's clock and are left out unless observed is set.
func text(got answer, observed bool) string {
	if !got.replied {
		return "no reply"
	}
	var b []byte
	switch value := got.value.(type) {
	case []string:
		if value == nil {
			return "nil list of names"
		}
		sorted := slices.Clone(value)
		slices.Sort(sorted)
		for _, name := range sorted {
			b = appendName(b, name)
			b = append(b, ' ')
		}
		return "names " + string(b)
	case []int64:
		return "offsets " + string(appendOffsets(nil, value))
	case protocol.ConsumerTopics:
		if value == nil {
			return "nil topics"
		}
		names := keys(value)
		slices.Sort(names)
		for _, name := range names {
			b = append(b, "\ntopic "...)
			b = appendName(b, name)
			for number, p := range value[name] {
				b = append(b, "\n  "...)
				b = strconv.AppendInt(b, int64(number), 10)
				b = appendPartition(b, p, observed)
			}
		}
		return "group" + string(b)
	}
	return fmt.Sprintf("a %T: %v", got.value, got.value)
}

func appendPartition(b []byte, p *protocol.ConsumerPartition, observed bool) []byte {
	if p == nil {
		return append(b, " nil partition"...)
	}
	b = append(b, " commits "...)
	b = appendCommits(b, p.Offsets, observed)
	b = append(b, " ends "...)
	b = appendOffsets(b, p.BrokerOffsets)
	b = append(b, " lag "...)
	b = strconv.AppendUint(b, p.CurrentLag, 10)
	b = append(b, " owner "...)
	b = appendName(b, p.Owner)
	b = append(b, " client "...)
	return appendName(b, p.ClientID)
}

// appendName writes a name; of a very long one its beginning, length and hash.
func appendName(b []byte, name string) []byte {
	if len(name) <= 1000 {
		return strconv.AppendQuote(b, name)
	}
	hash := sha256.Sum256([]byte(name))
	return fmt.Appendf(b, "%q and %d bytes, %x", name[:40], len(name)-40, hash)
}

// appendCommits writes each commit as offset/order/lag@timestamp, with "-" for an unknown lag, and nil ones as "nil".
func appendCommits(b []byte, commits []*protocol.ConsumerOffset, observed bool) []byte {
	if commits == nil {
		return append(b, "missing"...)
	}
	b = append(b, '[')
	for _, commit := range commits {
		if commit == nil {
			b = append(b, "nil "...)
			continue
		}
		b = strconv.AppendInt(b, commit.Offset, 10)
		b = append(b, '/')
		b = strconv.AppendInt(b, commit.Order, 10)
		b = append(b, '/')
		if commit.Lag == nil {
			b = append(b, '-')
		} else {
			b = strconv.AppendUint(b, commit.Lag.Value, 10)
		}
		b = append(b, '@')
		b = strconv.AppendInt(b, commit.Timestamp, 10)
		if observed {
			b = append(b, " seen "...)
			b = strconv.AppendInt(b, commit.ObservedTimestamp, 10)
		}
		b = append(b, ' ')
	}
	return append(b, ']')
}

func appendOffsets(b []byte, offsets []int64) []byte {
	if offsets == nil {
		return append(b, "missing"...)
	}
	b = append(b, '[')
	for _, offset := range offsets {
		b = strconv.AppendInt(b, offset, 10)
		b = append(b, ' ')
	}
	return append(b, ']')
}

// describe returns a request as one line of text, long names shortened.
func describe(r *protocol.StorageRequest) string {
	if r == nil {
		return "nil request"
	}
	return fmt.Sprintf("%v cluster=%s group=%s topic=%s partition=%d count=%d offset=%d order=%d timestamp=%d owner=%s/%s",
		r.RequestType, short(r.Cluster), short(r.Group), short(r.Topic), r.Partition, r.TopicPartitionCount, r.Offset,
		r.Order, r.Timestamp, short(r.Owner), short(r.ClientID))
}

func short(name string) string {
	if len(name) > 40 {
		return fmt.Sprintf("%q and %d bytes", name[:40], len(name)-40)
	}
	return strconv.Quote(name)
}

// difference returns the lines in which two texts differ, the first ten of them.
func difference(want, got string) string {
	wanted, gotten := strings.Split(want, "\n"), strings.Split(got, "\n")
	var lines []string
	for i := range max(len(wanted), len(gotten)) {
		var w, g string
		if i < len(wanted) {
			w = wanted[i]
		}
		if i < len(gotten) {
			g = gotten[i]
		}
		if w != g && len(lines) < 20 {
			lines = append(lines, "want: "+cut(w), "got:  "+cut(g))
		}
	}
	return strings.Join(lines, "\n")
}

func cut(line string) string {
	if len(line) > 2000 {
		return fmt.Sprintf("%s… (%d bytes)", line[:2000], len(line))
	}
	return line
}

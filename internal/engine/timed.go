package engine

import (
	"time"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/protocol"
)

// appendTimed appends the end offsets of a partition whose times are known, oldest first: the newest and, if the group has
// committed there, those of the curve behind its lag.
func (k *Capture) appendTimed(dst []protocol.TimedEndOffset, end *ends.View, lag int, committed bool) []protocol.TimedEndOffset {
	if committed && k.timed {
		segments := k.image.Recent(lag)
		for i := len(segments) - 1; i >= 0; i-- {
			s := &segments[i]
			if s.Last >= end.Seen || s.Offset > end.Newest {
				s.Last = s.First // the newest end offset replaces it
			} else if s.Last > s.First {
				dst = append(dst, protocol.TimedEndOffset{Offset: s.Offset, Time: time.UnixMilli(s.First)})
			}
			if s.Last < end.Seen && s.Offset <= end.Newest {
				dst = append(dst, protocol.TimedEndOffset{Offset: s.Offset, Time: time.UnixMilli(s.Last)})
			}
		}
	}
	return append(dst, protocol.TimedEndOffset{Offset: end.Newest, Time: time.UnixMilli(end.Seen)})
}

package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/protocol"
)

// maxPoints is the number of points that one call of SeedEndOffsets accepts: as many as the largest curve can hold.
const maxPoints = curve.MaxSegments

// SeedEndOffsets stores the end offsets of a partition from before the store began to watch it. The error is a Reason or
// wraps one.
func (e *Engine) SeedEndOffsets(c *Cluster, topic string, partition int32, all []protocol.EndOffsetAt) error {
	if e.stopped.Load() {
		return Stopped
	}
	t := c.topics.Topic(topic)
	if t == nil {
		return UnknownTopic
	}
	points, err := pointsOf(all, e.config.Clock.Now())
	if err != nil {
		return err
	}
	newest, known := t.Seed(partition, points)
	switch {
	case !known:
		return UnknownPartition
	case len(points) > 0 && points[len(points)-1].Offset > newest:
		return invalidPoint("offset %d of point %d: must be at most the newest end offset %d", points[len(points)-1].Offset,
			len(points)-1, newest)
	}
	e.changes.Add(1)
	return nil
}

// pointsOf returns points as a curve takes them, or the first fault. now is in Unix milliseconds.
func pointsOf(all []protocol.EndOffsetAt, now int64) ([]curve.Point, error) {
	if len(all) > maxPoints {
		return nil, invalidPoint("number of points %d: must be at most %d", len(all), maxPoints)
	}
	points := make([]curve.Point, 0, len(all))
	for i, p := range all {
		source := slices.Index(timeSources[:], p.Source)
		switch {
		case p.Offset < 0:
			return nil, invalidPoint("offset %d of point %d: must be at least 0", p.Offset, i)
		case i > 0 && p.Offset < all[i-1].Offset:
			return nil, invalidPoint("offset %d of point %d: must be at least %d, that of the point before", p.Offset, i, all[i-1].Offset)
		case i > 0 && p.Time.UnixMilli() <= all[i-1].Time.UnixMilli():
			return nil, invalidPoint("time %s of point %d: must be after %s, that of the point before", stamp(p.Time), i, stamp(all[i-1].Time))
		case p.Time.After(time.UnixMilli(now)):
			return nil, invalidPoint("time %s of point %d: must not be after now, %s", stamp(p.Time), i, stamp(time.UnixMilli(now)))
		case p.Time.Before(time.UnixMilli(0)):
			return nil, invalidPoint("time %s of point %d: must not be before 1970", stamp(p.Time), i)
		case p.Margin < 0 || p.Margin > protocol.MaxTimeMargin:
			return nil, invalidPoint("margin %s of point %d: must be between 0 and %s", p.Margin, i, protocol.MaxTimeMargin)
		case source < int(curve.FromStore):
			return nil, invalidPoint("source %q of point %d: must be %q, %q or %q", p.Source, i, protocol.TimeSourceStore,
				protocol.TimeSourceBroker, protocol.TimeSourceProducer)
		}
		margin := (p.Margin + time.Millisecond - 1).Milliseconds()
		points = append(points, curve.Point{Offset: p.Offset, At: p.Time.UnixMilli(), Margin: uint32(margin), Source: curve.Source(source)})
	}
	return points, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func invalidPoint(format string, values ...any) error {
	return fmt.Errorf("%w: invalid "+format, append([]any{Invalid}, values...)...)
}

package inspector

import (
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
	"github.com/lagkeeper/storage/trend"
)

// flowSum adds the rates of partitions up.
type flowSum struct {
	in, out           float64
	inKnown, outKnown bool
	catchUp           int64
	never, behind     bool
}

func (f *flowSum) add(p *protocol.GroupPartition, now time.Time) {
	if !status.Believable(p) {
		f.never = true
		return
	}
	t := trend.RatesOfPartition(p, now)
	f.in, f.inKnown = f.in+t.Produced.PerSecond, f.inKnown || t.Produced.Known
	f.out, f.outKnown = f.out+t.Consumed.PerSecond, f.outKnown || t.Consumed.Known
	if p.CurrentLag == 0 {
		return
	}
	f.behind = true
	if t.CatchUp.Known {
		f.catchUp = max(f.catchUp, t.CatchUp.Length.Milliseconds())
	} else {
		f.never = true
	}
}

func (f *flowSum) flow() Flow {
	var out Flow
	if f.inKnown {
		out.InPerSecond = &f.in
	}
	if f.outKnown {
		out.OutPerSecond = &f.out
	}
	if f.behind && !f.never {
		out.CatchUpMs = &f.catchUp
	}
	return out
}

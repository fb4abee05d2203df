package laneswap

import (
	"time"

	"github.com/laneswap/laneswap/internal/outbox"
)

// holdMost is how long a notice of a service without a deadline waits for
// heartbeats: nobody knows whether they come. Others fall silent when they do not.
const holdMost = int64(24 * time.Hour)

// side is whether a service is good or bad, and since when.
type side struct {
	bad    bool
	since  int64  // mono
	beats  uint64 // heartbeats before it, and those that belong to no side
	quiet  bool   // silence began it: that counts as its first heartbeat
	missed uint64 // heartbeats that silence counted for since, but for the silence that lasts
	silent int64  // mono: when it fell silent last
	had    uint64 // heartbeats of the side before it
}

// unit is how long a silence of r lasts that counts as one more heartbeat. mu is held.
func (r *record) unit() int64 {
	if r.reg.Interval > 0 {
		return int64(r.reg.Interval)
	}
	return r.cell.window.Load()
}

// pass notes a heartbeat that says neither good nor bad. mu is held.
func (r *record) pass() {
	r.turned.beats++
	if r.awaited != 0 {
		r.awaited++
	}
}

// turn notes that r is good or bad now, or still; ch is why. mu is held.
func (r *record) turn(from, to Status, mono int64, ch change) {
	if from == StatusStale {
		r.turned.missed += uint64(max(0, mono-r.turned.silent) / r.unit())
	}
	if to == StatusStale {
		r.turned.silent = mono
	}
	bad := r.bad(to)
	if bad == r.turned.bad || !bad && !r.good(to) {
		if to == StatusStale {
			r.turned.missed++ // that it fell silent counts as one
		}
		return
	}
	beats := r.cell.beats.Load()
	if ch.beat && beats > 0 {
		beats-- // it belongs to what it begins
	}
	r.turned = side{bad: bad, since: mono, silent: mono, beats: beats, quiet: !ch.beat, had: r.turned.count(beats)}
}

// count is how many heartbeats there were on this side, when the service has had
// as many as that.
func (s side) count(beats uint64) uint64 {
	return beats - min(beats, s.beats) + s.unsaid()
}

// unsaid is how many of its heartbeats silence counted for.
func (s side) unsaid() uint64 {
	if s.quiet {
		return s.missed + 1
	}
	return s.missed
}

// holds returns what notices of r wait for while it is as it is; nil for nothing.
// mu is held.
func (r *record) holds(now instant) *outbox.Hold {
	s := &r.turned
	h := &outbox.Hold{Threshold: outbox.Threshold(r.reg.AlertAfter), Recovery: !s.bad, From: s.since, Until: noDeadline}
	if h.Recovery {
		h.Threshold = outbox.Threshold(r.reg.RecoverAfter)
	}
	if Threshold(h.Threshold).immediate() {
		return nil
	}
	if d := h.Threshold.For; d != 0 {
		h.Until = s.since + int64(d)
	} else {
		need := uint64(h.Threshold.Beats)
		h.Target = s.beats + need - min(need, s.unsaid())
		if r.cell.window.Load() == noDeadline {
			h.Until = s.since + holdMost
		}
		beats := r.cell.beats.Load()
		if r.status == StatusStale {
			h.Unit, h.From = r.unit(), s.silent
			if missing := int64(need - min(need, s.count(beats))); h.Unit != noDeadline {
				h.Until = min(h.Until, s.silent+missing*h.Unit)
			}
		}
		if beats >= h.Target {
			return nil
		}
	}
	if h.Until <= now.Mono {
		return nil
	}
	return h
}

// holds returns what a notice of ev would wait for, until the service is restored and
// it is known how much of that is over.
func (s *storedService) holds(ev *Event) *outbox.Hold {
	switch {
	case s == nil:
	case ev.bad() && !thresholdOf(s.AlertAfter).immediate():
		return &outbox.Hold{Threshold: outbox.Threshold(*s.AlertAfter), Until: noDeadline}
	case ev.Kind == EventRecovered && !thresholdOf(s.RecoverAfter).immediate():
		return &outbox.Hold{Threshold: outbox.Threshold(*s.RecoverAfter), Recovery: true, Until: noDeadline}
	}
	return nil
}

package laneswap

import (
	"fmt"
	"time"
)

// hold is what a notice waits for before it may be told: a threshold that is to be
// reached.
type hold struct {
	threshold Threshold
	recovery  bool   // recover_after; else alert_after
	parked    bool   // it waits for what is told next, whatever that is
	target    uint64 // how many heartbeats the service has had by then; 0 when they do not count
	until     int64  // mono: when it is reached without; noDeadline for never
	from      int64  // mono: since when it counts
	unit      int64  // ns of silence that count as one heartbeat; 0 when silence does not count
}

// holdMost is how long a notice of a service without a deadline waits for
// heartbeats: nobody knows whether they come. Others fall silent when they do not.
const holdMost = int64(24 * time.Hour)

// progress says how far it is; beats are those that counted.
func (h *hold) progress(now instant, beats uint64) string {
	name := "alert_after"
	if h.recovery {
		name = "recover_after"
	}
	if h.threshold.For != 0 {
		lasted := min(time.Duration(max(0, now.mono-h.from)), h.threshold.For).Truncate(time.Millisecond)
		return fmt.Sprintf("threshold %v of %v (%s)", lasted, h.threshold.For, name)
	}
	have := max(1, int64(beats))
	if h.unit > 0 {
		have = max(have, 1+(now.mono-h.from)/h.unit)
	}
	return fmt.Sprintf("threshold %d of %d (%s)", min(have, int64(h.threshold.Beats)), h.threshold.Beats, name)
}

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
func (r *record) holds(now instant) *hold {
	s := &r.turned
	h := &hold{threshold: r.reg.AlertAfter, recovery: !s.bad, from: s.since, until: noDeadline}
	if h.recovery {
		h.threshold = r.reg.RecoverAfter
	}
	if h.threshold.immediate() {
		return nil
	}
	if d := h.threshold.For; d != 0 {
		h.until = s.since + int64(d)
	} else {
		need := uint64(h.threshold.Beats)
		h.target = s.beats + need - min(need, s.unsaid())
		if r.cell.window.Load() == noDeadline {
			h.until = s.since + holdMost
		}
		beats := r.cell.beats.Load()
		if r.status == StatusStale {
			h.unit, h.from = r.unit(), s.silent
			if missing := int64(need - min(need, s.count(beats))); h.unit != noDeadline {
				h.until = min(h.until, s.silent+missing*h.unit)
			}
		}
		if beats >= h.target {
			return nil
		}
	}
	if h.until <= now.mono {
		return nil
	}
	return h
}

// holds returns what a notice of ev would wait for, until the service is restored and
// it is known how much of that is over.
func (s *storedService) holds(ev *Event) *hold {
	switch {
	case s == nil:
	case ev.bad() && !thresholdOf(s.AlertAfter).immediate():
		return &hold{threshold: *s.AlertAfter, until: noDeadline}
	case ev.Kind == EventRecovered && !thresholdOf(s.RecoverAfter).immediate():
		return &hold{threshold: *s.RecoverAfter, recovery: true, until: noDeadline}
	}
	return nil
}

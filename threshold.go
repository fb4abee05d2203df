package laneswap

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/outbox"
	"github.com/laneswap/laneswap/internal/text"
)

// Threshold is how long a service must stay bad, or good, before notifiers receive a
// notice of it: a number of heartbeats, or a time. The zero value means at once. A
// threshold delays notices only, never statuses and events.
type Threshold struct {
	// Beats is how many heartbeats in a row must confirm the change, 1 to 1000. The
	// heartbeat that caused the transition is the first. While the service is silent,
	// each interval counts as one more, or each window when it declared no interval.
	Beats int
	// For is how long the service must stay so, 10 ms to 24 hours. It excludes Beats.
	For time.Duration
}

// MaxThresholdBeats and MaxThresholdFor bound a Threshold.
const (
	MaxThresholdBeats = 1000
	MaxThresholdFor   = 24 * time.Hour
)

// ParseThreshold parses the format of String: a number of heartbeats such as "3", or a
// Go duration such as "90s". An empty string is the zero value. The error is a
// *ValidationError without Field and Err: the caller sets them.
func ParseThreshold(s string) (Threshold, error) {
	var t Threshold
	switch n, err := strconv.Atoi(s); {
	case s == "":
		return t, nil
	case err == nil:
		t.Beats = n
		if n == 0 {
			t.Beats = -1 // "0" is out of range, unlike the empty string
		}
	default:
		if t.For, err = time.ParseDuration(s); err != nil || t.For == 0 {
			return Threshold{}, invalid(nil, "", "is %q, neither a number of heartbeats such as 3 nor a time such as 90s", text.Cut(s, 40))
		}
	}
	if err := t.check("", nil); err != nil {
		return Threshold{}, err
	}
	return t, nil
}

// String returns the number of heartbeats, or the time as a Go duration, or "" for the
// zero value.
func (t Threshold) String() string {
	switch {
	case t.For != 0:
		return t.For.String()
	case t.Beats != 0:
		return strconv.Itoa(t.Beats)
	}
	return ""
}

// check returns a *ValidationError when t is out of its range.
func (t Threshold) check(field string, kind error) error {
	switch {
	case t.Beats != 0 && t.For != 0:
		return invalid(kind, field, "holds both a number of heartbeats and a time")
	case t.Beats < 0 || t.Beats > MaxThresholdBeats:
		return invalid(kind, field, "is out of its range, 1 to %d heartbeats", MaxThresholdBeats)
	case t.For != 0 && (t.For < MinDuration || t.For > MaxThresholdFor):
		return invalid(kind, field, "is %v, it must be from %v to %v", t.For, MinDuration, MaxThresholdFor)
	}
	return nil
}

// immediate reports whether the threshold delays nothing.
func (t Threshold) immediate() bool { return t.For == 0 && t.Beats <= 1 }

// MarshalJSON writes a number for heartbeats, a string for a time, and null for the
// zero value.
func (t Threshold) MarshalJSON() ([]byte, error) {
	switch {
	case t.For != 0:
		return json.Marshal(t.For.String())
	case t.Beats != 0:
		return json.Marshal(t.Beats)
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads the form of MarshalJSON. It also accepts a number of heartbeats
// in a string.
func (t *Threshold) UnmarshalJSON(data []byte) error {
	s := string(data)
	if s == "null" {
		*t = Threshold{}
		return nil
	}
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
	}
	parsed, err := ParseThreshold(s)
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// maxDelay is how long a notice of a service without a deadline waits for heartbeats.
// Such a service never becomes stale, so without this bound a notice could wait for
// ever.
const maxDelay = int64(24 * time.Hour)

// streak is a run of good statuses or of bad ones, and counts its heartbeats.
type streak struct {
	bad         bool
	since       int64  // mono
	beats       uint64 // heartbeats before it, and heartbeats that are neither good nor bad
	fromSilence bool   // silence began it and counts as its first heartbeat
	silentBeats uint64 // heartbeats that ended silences count for
	silentSince int64  // mono: when the latest silence began
	before      uint64 // heartbeats of the streak before it
}

// silenceUnit returns how much silence of r counts as one heartbeat. mu is held.
func (r *record) silenceUnit() int64 {
	if r.reg.Interval > 0 {
		return int64(r.reg.Interval)
	}
	return r.cell.Window.Load()
}

// skipBeat excludes a heartbeat that is neither good nor bad from the streak. mu is
// held.
func (r *record) skipBeat() {
	r.streak.beats++
	if r.alertAtBeat != 0 {
		r.alertAtBeat++
	}
}

// countTransition updates the streak of r after a transition. mu is held.
func (r *record) countTransition(from, to Status, mono int64, ch change) {
	if from == StatusStale {
		r.streak.silentBeats += uint64(max(0, mono-r.streak.silentSince) / r.silenceUnit())
	}
	if to == StatusStale {
		r.streak.silentSince = mono
	}
	bad := r.bad(to)
	if bad == r.streak.bad || !bad && !r.good(to) {
		if to == StatusStale {
			r.streak.silentBeats++ // becoming stale counts as one
		}
		return
	}
	beats := r.cell.Beats.Load()
	if ch.beat && beats > 0 {
		beats-- // the heartbeat belongs to the streak that it begins
	}
	r.streak = streak{bad: bad, since: mono, silentSince: mono, beats: beats, fromSilence: !ch.beat, before: r.streak.heartbeats(beats)}
}

// heartbeats returns the heartbeats of the streak; beats is the total of the service.
func (s streak) heartbeats(beats uint64) uint64 {
	return beats - min(beats, s.beats) + s.fromSilences()
}

// fromSilences returns how many heartbeats of the streak are silences.
func (s streak) fromSilences() uint64 {
	if s.fromSilence {
		return s.silentBeats + 1
	}
	return s.silentBeats
}

// alertDelay returns the condition that notices of r wait for in its present state, or nil.
// mu is held.
func (r *record) alertDelay(now clock.Instant) *outbox.Delay {
	s := &r.streak
	h := &outbox.Delay{Threshold: outbox.Threshold(r.reg.AlertAfter), Recovery: !s.bad, From: s.since, Until: clock.Never}
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
		h.Target = s.beats + need - min(need, s.fromSilences())
		if r.cell.Window.Load() == clock.Never {
			h.Until = s.since + maxDelay
		}
		beats := r.cell.Beats.Load()
		if r.status == StatusStale {
			h.Unit, h.From = r.silenceUnit(), s.silentSince
			if missing := int64(need - min(need, s.heartbeats(beats))); h.Unit != clock.Never {
				h.Until = min(h.Until, s.silentSince+missing*h.Unit)
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

// alertDelay returns the condition that a notice of ev waits for, or nil. It does not
// subtract the time already waited: that is known once the service is restored.
func (s *storedService) alertDelay(ev *Event) *outbox.Delay {
	switch {
	case s == nil:
	case ev.bad() && !thresholdOf(s.AlertAfter).immediate():
		return &outbox.Delay{Threshold: outbox.Threshold(*s.AlertAfter), Until: clock.Never}
	case ev.Kind == EventRecovered && !thresholdOf(s.RecoverAfter).immediate():
		return &outbox.Delay{Threshold: outbox.Threshold(*s.RecoverAfter), Recovery: true, Until: clock.Never}
	}
	return nil
}

func thresholdPtr(t Threshold) *Threshold {
	if t == (Threshold{}) {
		return nil
	}
	return &t
}

func thresholdOf(t *Threshold) Threshold {
	if t == nil {
		return Threshold{}
	}
	return *t
}

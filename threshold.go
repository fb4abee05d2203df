package laneswap

import (
	"encoding/json"
	"strconv"
	"time"
)

// Threshold is how long something must last before people are told of it: a
// number of heartbeats, or a time. The zero value is one heartbeat: at once.
// Statuses and events are never delayed by one, only notices.
type Threshold struct {
	// Beats is how many heartbeats in a row must say so, 1 to 1000; the one that
	// makes the transition is the first. Of a silent service each interval, or each
	// window when it declared none, counts as one more.
	Beats int
	// For is how long it must be so: 10 ms to 24 hours. It excludes Beats.
	For time.Duration
}

// MaxThresholdBeats and MaxThresholdFor bound a Threshold.
const (
	MaxThresholdBeats = 1000
	MaxThresholdFor   = 24 * time.Hour
)

// ParseThreshold reads what String writes: a number of heartbeats such as "3", or
// a Go duration such as "90s". An empty string is the zero value. The error is a
// *ValidationError without field and sentinel, for the caller to complete.
func ParseThreshold(s string) (Threshold, error) {
	var t Threshold
	switch n, err := strconv.Atoi(s); {
	case s == "":
		return t, nil
	case err == nil:
		t.Beats = n
		if n == 0 {
			t.Beats = -1 // was said, and means nothing
		}
	default:
		if t.For, err = time.ParseDuration(s); err != nil || t.For == 0 {
			return Threshold{}, invalid(nil, "", "is %q, neither a number of heartbeats such as 3 nor a time such as 90s", cutBytes(s, 40))
		}
	}
	if err := t.check("", nil); err != nil {
		return Threshold{}, err
	}
	return t, nil
}

// String returns the number of heartbeats, or the time as a Go duration; "" for
// the zero value.
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

// immediate reports whether nothing is delayed.
func (t Threshold) immediate() bool { return t.For == 0 && t.Beats <= 1 }

// MarshalJSON writes a number for heartbeats, a string for a time, null for the
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

// UnmarshalJSON reads what MarshalJSON writes, and a number of heartbeats as a
// string as well.
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

package laneswap

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap/internal/text"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// Limits bound the number of services and the size of their input. A field that is
// zero means its default.
type Limits struct {
	// Services is the maximum number of services, default 100,000.
	Services int
	// MetadataBytes is the maximum size of the merged metadata of a service as JSON,
	// at most 64 KiB, default 8 KiB.
	MetadataBytes int
	// MetadataKeys is the maximum number of top-level keys of that metadata, default 64.
	MetadataKeys int
	// MessageBytes is the maximum length of a message, at most 64 KiB, default 4 KiB.
	MessageBytes int
	// Errors is how many reported errors of a service are kept, default 1,000. The
	// oldest are dropped first. Without a storage at most 100 are kept.
	Errors int
}

// MinDuration and MaxDuration bound every interval, window and threshold.
const (
	MinDuration = 10 * time.Millisecond
	MaxDuration = 366 * 24 * time.Hour
)

// Limits that are not configurable.
const (
	maxNameRunes = 128
	maxTags      = 32
	maxTagRunes  = 64
	maxDepth     = 16 // levels of nested metadata
	nestedCost   = 48 // bytes that a nested object or array costs besides its JSON
	// maxLimitBytes bounds the limits of messages and metadata, because one row of a
	// storage holds both as JSON and has at most 1 MiB.
	maxLimitBytes = 64 << 10
)

// fill sets the fields that are zero to their defaults, and checks the others.
func (l *Limits) fill() error {
	for _, f := range []struct {
		name  string
		value *int
		def   int
	}{
		{"limits.services", &l.Services, 100_000},
		{"limits.metadata_bytes", &l.MetadataBytes, 8 << 10},
		{"limits.metadata_keys", &l.MetadataKeys, 64},
		{"limits.message_bytes", &l.MessageBytes, 4 << 10},
		{"limits.errors", &l.Errors, 1000},
	} {
		if *f.value < 0 {
			return invalid(ErrInvalidOption, f.name, "is %d, it must not be negative", *f.value)
		}
		if strings.HasSuffix(f.name, "_bytes") && *f.value > maxLimitBytes {
			return invalid(ErrInvalidOption, f.name, "is %d, the limit is %d", *f.value, maxLimitBytes)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return nil
}

// ValidateServiceID returns a *ValidationError when id breaks the rules of ServiceID.
func ValidateServiceID(id ServiceID) error {
	if id == "" {
		return invalid(ErrInvalidServiceID, "service_id", "is empty")
	}
	if len(id) > maxIDLength {
		return invalid(ErrInvalidServiceID, "service_id", "is %d bytes long, the limit is %d", len(id), maxIDLength)
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("._-:@", c) >= 0:
			if c == '.' && id[i-1] == '.' {
				return invalid(ErrInvalidServiceID, "service_id", "must not contain %q", "..")
			}
		case i == 0:
			return invalid(ErrInvalidServiceID, "service_id", "must begin with a letter or digit")
		default:
			return invalid(ErrInvalidServiceID, "service_id", "has %q at byte %d; letters, digits and . _ - : @ are allowed", rune(c), i)
		}
	}
	return nil
}

func checkDuration(kind error, field string, d time.Duration) error {
	if d < MinDuration || d > MaxDuration {
		return invalid(kind, field, "is %v, it must be from %v to %v (366 days)", d, MinDuration, MaxDuration)
	}
	return nil
}

// registration returns reg checked and cleaned. It does not compare the interval with
// the Manager's stale threshold: the judge does.
func (l Limits) registration(reg Registration, checkID func(ServiceID) error) (Registration, error) {
	if reg.ID != "" {
		if err := checkID(reg.ID); err != nil {
			return reg, err
		}
	}
	reg.Name = strings.TrimSpace(Sanitize(reg.Name))
	if reg.Name == "" && reg.ID == "" {
		return reg, invalid(ErrInvalidRegistration, "name", "is empty, and so is service_id; one is required")
	}
	if n := utf8.RuneCountInString(reg.Name); n > maxNameRunes {
		return reg, invalid(ErrInvalidRegistration, "name", "is %d characters long, the limit is %d", n, maxNameRunes)
	}
	if reg.Interval != 0 {
		if err := checkDuration(ErrInvalidRegistration, "interval", reg.Interval); err != nil {
			return reg, err
		}
	}
	if reg.StaleAfter != 0 {
		if err := checkDuration(ErrInvalidRegistration, "stale_after", reg.StaleAfter); err != nil {
			return reg, err
		}
		if reg.StaleAfter <= reg.Interval {
			return reg, invalid(ErrInvalidRegistration, "stale_after", "is %v, it must be above the interval of %v", reg.StaleAfter, reg.Interval)
		}
		if reg.NoDeadline {
			return reg, invalid(ErrInvalidRegistration, "stale_after", "is %v, but no_deadline is set too; set one of them", reg.StaleAfter)
		}
	}
	if reg.ForgetAfter != 0 && reg.ForgetAfter != Never {
		if err := checkDuration(ErrInvalidRegistration, "forget_after", reg.ForgetAfter); err != nil {
			return reg, err
		}
	}
	if err := reg.AlertAfter.check("alert_after", ErrInvalidRegistration); err != nil {
		return reg, err
	}
	if err := reg.RecoverAfter.check("recover_after", ErrInvalidRegistration); err != nil {
		return reg, err
	}
	if len(reg.Tags) > maxTags {
		return reg, invalid(ErrInvalidRegistration, "tags", "has %d entries, the limit is %d", len(reg.Tags), maxTags)
	}
	tags := make([]string, 0, len(reg.Tags))
	for i, tag := range reg.Tags {
		tag = strings.TrimSpace(Sanitize(tag))
		if n := utf8.RuneCountInString(tag); n == 0 || n > maxTagRunes {
			return reg, invalid(ErrInvalidRegistration, fmt.Sprintf("tags[%d]", i), "is %d characters long, it must be 1 to %d", n, maxTagRunes)
		}
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	reg.Tags = tags
	var err error
	reg.Metadata, err = l.metadata(ErrInvalidRegistration, reg.Metadata)
	return reg, err
}

// heartbeat returns hb checked and cleaned.
func (l Limits) heartbeat(hb Heartbeat) (Heartbeat, error) {
	if hb.Status == "" {
		hb.Status = StatusHealthy
	}
	st, err := ParseStatus(string(hb.Status))
	if err != nil {
		return hb, err
	}
	if st == StatusStale {
		return hb, invalid(ErrInvalidHeartbeat, "status", "%q is derived from silence and cannot be reported", string(st))
	}
	hb.Status = st
	if len(hb.Message) > l.MessageBytes {
		return hb, invalid(ErrInvalidHeartbeat, "message", "is %d bytes long, the limit is %d", len(hb.Message), l.MessageBytes)
	}
	hb.Message = text.Lines(hb.Message)
	hb.Metadata, err = l.metadata(ErrInvalidHeartbeat, hb.Metadata)
	return hb, err
}

// metadata returns a cleaned deep copy with JSON values only. Numbers become float64.
func (l Limits) metadata(kind error, in map[string]any) (map[string]any, error) {
	if len(in) == 0 {
		return nil, nil
	}
	// A heartbeat may remove as many keys as it sets, so the limits before merging are
	// doubled. merge applies the exact limits.
	if len(in) > 2*l.MetadataKeys {
		return nil, invalid(kind, "metadata", "has %d keys, the limit is %d", len(in), l.MetadataKeys)
	}
	c := cleaner{kind: kind, budget: 2 * l.MetadataBytes, limit: l.MetadataBytes}
	v, err := c.clean("metadata", in, 0)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

// merge returns old with change applied, or a *ValidationError when the result exceeds
// the limits. It changes neither argument.
func (l Limits) merge(kind error, old, change map[string]any) (map[string]any, error) {
	if len(change) == 0 {
		return old, nil
	}
	merged := make(map[string]any, len(old)+len(change))
	for k, v := range old {
		merged[k] = v
	}
	for k, v := range change {
		if v == nil {
			delete(merged, k)
		} else {
			merged[k] = v
		}
	}
	if len(merged) > l.MetadataKeys {
		return nil, invalid(kind, "metadata", "has %d keys after merging, the limit is %d", len(merged), l.MetadataKeys)
	}
	size, err := jsonSize(merged)
	if err != nil {
		return nil, invalid(kind, "metadata", "cannot be encoded as JSON after merging: %v", err)
	}
	if size > l.MetadataBytes {
		return nil, invalid(kind, "metadata", "is %d bytes of JSON after merging, the limit is %d", size, l.MetadataBytes)
	}
	return merged, nil
}

// jsonSize returns the length of v as JSON, without the escapes for HTML.
func jsonSize(v any) (int, error) {
	data, err := wirejson.Encode(v)
	return len(data), err
}

// metadataBytes estimates how many bytes of memory cleaned metadata uses.
func metadataBytes(v any) int {
	const value, container = 32, 64
	switch v := v.(type) {
	case string:
		return value + len(v)
	case []any:
		n := container
		for _, e := range v {
			n += metadataBytes(e)
		}
		return n
	case map[string]any:
		n := container
		for k, e := range v {
			n += value + len(k) + metadataBytes(e)
		}
		return n
	}
	return value
}

// cleaner copies metadata and counts its bytes against a budget, so that a huge or
// cyclic value stops early.
type cleaner struct {
	kind          error
	budget, limit int
}

func (c *cleaner) spend(field string, n int) error {
	if c.budget -= n; c.budget < 0 {
		return invalid(c.kind, field, "makes the metadata larger than the limit of %d bytes of JSON (an object or array in it counts %d more)", c.limit, nestedCost)
	}
	return nil
}

func (c *cleaner) clean(field string, v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, invalid(c.kind, text.Cut(field, 80), "is nested deeper than %d levels", maxDepth)
	}
	if err := c.spend(field, 2); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		if err := c.spend(field, len(v)); err != nil {
			return nil, err
		}
		return text.Lines(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, invalid(c.kind, field, "is %v, which is not a number that JSON can hold", v)
		}
		return v, nil
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case []any:
		if err := c.spend(field, nestedCost); err != nil {
			return nil, err
		}
		out := make([]any, 0, min(len(v), c.limit))
		for i, e := range v {
			e, err := c.clean(fmt.Sprintf("%s[%d]", field, i), e, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	case map[string]any:
		if depth > 0 {
			if err := c.spend(field, nestedCost); err != nil {
				return nil, err
			}
		}
		out := make(map[string]any, min(len(v), c.limit))
		for k, e := range v {
			key := Sanitize(k)
			if err := c.spend(field, len(k)+2); err != nil {
				return nil, err
			}
			if key == "" {
				return nil, invalid(c.kind, field, "has an empty key")
			}
			if _, twice := out[key]; twice {
				return nil, invalid(c.kind, field, "has the key %q twice", text.Cut(key, 40))
			}
			e, err := c.clean(field+"."+text.Cut(key, 40), e, depth+1)
			if err != nil {
				return nil, err
			}
			out[key] = e
		}
		return out, nil
	}
	plain, err := c.plain(v)
	if err != nil {
		return nil, invalid(c.kind, field, "cannot be held by JSON: %v", err)
	}
	return c.clean(field, plain, depth)
}

// plain converts v with encoding/json to maps, slices and basic values. It returns an
// error when a MarshalJSON method of the caller panics.
func (c *cleaner) plain(v any) (plain any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		if rv.Len() > c.limit {
			return nil, fmt.Errorf("%d elements are more than the limit of %d bytes of JSON", rv.Len(), c.limit)
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return plain, json.Unmarshal(data, &plain)
}

// Sanitize returns s fit for one line of text: without control characters (C0,
// DEL, C1), invalid UTF-8, bidirectional controls and line or paragraph
// separators, and zero-width characters; newlines and tabs become spaces. Names,
// tags and metadata keys pass it once, where they enter; messages and metadata
// values keep their newlines and tabs, and the joiners that emoji need.
func Sanitize(s string) string { return text.Line(s) }

// changes reports whether merging change into old would change it.
func changes(old, change map[string]any) bool {
	for k, v := range change {
		before, ok := old[k]
		if v == nil && ok || v != nil && (!ok || !reflect.DeepEqual(before, v)) {
			return true
		}
	}
	return false
}

// fitting returns the entries of imported metadata that respect the limits, in key
// order.
func (l Limits) fitting(in map[string]any) map[string]any {
	var out map[string]any
	for _, key := range slices.Sorted(maps.Keys(in)) {
		clean, err := l.metadata(ErrInvalidRegistration, map[string]any{key: in[key]})
		if err != nil {
			continue
		}
		if merged, err := l.merge(ErrInvalidRegistration, out, clean); err == nil {
			out = merged
		}
	}
	return out
}

// uuid matches the ids that LaneSwap and clients generate.
var uuid = regexp.MustCompile("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")

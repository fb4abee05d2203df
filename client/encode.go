package client

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// maxDepth limits the nesting of metadata; the limit of the server is lower.
const maxDepth = 30

// encodeRegistration encodes a registration. For content that JSON cannot represent it
// returns the error of the Manager, which names the field.
func encodeRegistration(reg laneswap.Registration) ([]byte, error) {
	var err error
	if reg.ID != "" && strings.ToValidUTF8(string(reg.ID), "") != string(reg.ID) {
		return nil, laneswap.ValidateServiceID(reg.ID)
	}
	reg.Name = valid(reg.Name)
	tags := make([]string, len(reg.Tags))
	for i, tag := range reg.Tags {
		tags[i] = valid(tag)
	}
	reg.Tags = tags
	if reg.Metadata, err = cleanMetadata(laneswap.ErrInvalidRegistration, reg.Metadata); err != nil {
		return nil, err
	}
	if err := checkThresholds(reg); err != nil {
		return nil, err
	}
	body, err := wirejson.Encode(reg)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", laneswap.ErrInvalidRegistration, err)
	}
	if len(body) > maxBodyBytes {
		return nil, tooLargeRegistration(reg)
	}
	return body, nil
}

// checkThresholds refuses thresholds that cannot be encoded, with the error of the
// Manager. The server checks their range.
func checkThresholds(reg laneswap.Registration) error {
	for _, c := range []struct {
		field string
		laneswap.Threshold
	}{{"alert_after", reg.AlertAfter}, {"recover_after", reg.RecoverAfter}} {
		if c.Beats != 0 && c.For != 0 {
			return &laneswap.ValidationError{
				Field: c.field, Problem: "holds both a number of heartbeats and a time", Err: laneswap.ErrInvalidRegistration,
			}
		}
	}
	return nil
}

// encodeHeartbeat encodes a heartbeat; nil for an empty one.
func encodeHeartbeat(hb laneswap.Heartbeat) ([]byte, error) {
	var err error
	hb.Status = laneswap.Status(valid(string(hb.Status)))
	hb.Message = valid(hb.Message)
	if hb.Metadata, err = cleanMetadata(laneswap.ErrInvalidHeartbeat, hb.Metadata); err != nil {
		return nil, err
	}
	if hb.Status == "" && hb.Message == "" && len(hb.Metadata) == 0 && !hb.Final {
		return nil, nil
	}
	body, err := wirejson.Encode(hb)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", laneswap.ErrInvalidHeartbeat, err)
	}
	if len(body) > maxBodyBytes {
		return nil, tooLargeHeartbeat(hb)
	}
	return body, nil
}

// valid drops invalid UTF-8, as the Manager does; encoding/json would replace it.
func valid(s string) string { return strings.ToValidUTF8(s, "") }

// cleanMetadata copies metadata into values that JSON can represent.
func cleanMetadata(kind error, in map[string]any) (map[string]any, error) {
	if len(in) == 0 {
		return nil, nil
	}
	v, err := cleanValue(kind, "metadata", in, 0)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

func cleanValue(kind error, field string, v any, depth int) (any, error) {
	refuse := func(format string, args ...any) (any, error) {
		return nil, &laneswap.ValidationError{Field: text.Cut(field, 80), Problem: fmt.Sprintf(format, args...), Err: kind}
	}
	if depth > maxDepth {
		return refuse("is nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, int, int64:
		return v, nil
	case string:
		return valid(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return refuse("is %v, which is not a number that JSON can hold", v)
		}
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			e, err := cleanValue(kind, fmt.Sprintf("%s[%d]", field, i), e, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			key := valid(k)
			if _, twice := out[key]; twice {
				return refuse("has the key %q twice", text.Cut(key, 40))
			}
			e, err := cleanValue(kind, field+"."+text.Cut(key, 40), e, depth+1)
			if err != nil {
				return nil, err
			}
			out[key] = e
		}
		return out, nil
	}
	data, err := json.Marshal(v) // any other type: as encoding/json sees it
	if err != nil {
		return refuse("cannot be held by JSON: %v", err)
	}
	return json.RawMessage(data), nil
}

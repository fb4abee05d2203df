package httpapi

import (
	"errors"
	"math"
	"strconv"

	"github.com/laneswap/laneswap"
)

// threshold takes a number of heartbeats, or either of what laneswap.ParseThreshold
// takes as a string.
func (f *fields) threshold(key string) laneswap.Threshold {
	var text string
	switch v := f.values[key].(type) {
	case nil:
		return laneswap.Threshold{}
	case string:
		text = v
	case float64:
		if v != math.Trunc(v) {
			f.fail(&laneswap.ValidationError{
				Field: key, Problem: "is " + strconv.FormatFloat(v, 'g', 6, 64) + ", which is no whole number of heartbeats", Err: f.kind,
			})
			return laneswap.Threshold{}
		}
		// What is far out of the range is as good as what is just out of it.
		text = strconv.Itoa(int(min(max(v, -1), laneswap.MaxThresholdBeats+1)))
	default:
		f.wrongType(key, `a number of heartbeats or a time such as "90s"`, v)
		return laneswap.Threshold{}
	}
	t, err := parseThreshold(key, text, f.kind)
	if err != nil {
		f.fail(err)
	}
	return t
}

// threshold is a number of heartbeats, or a time such as 90s.
func (p *params) threshold(key string) laneswap.Threshold {
	t, err := parseThreshold(key, p.text(key), p.kind)
	if err != nil && p.err == nil {
		p.err = err
	}
	return t
}

// parseThreshold returns a *laneswap.ValidationError for the field.
func parseThreshold(field, text string, kind error) (laneswap.Threshold, error) {
	t, err := laneswap.ParseThreshold(text)
	var invalid *laneswap.ValidationError
	switch {
	case errors.As(err, &invalid):
		return t, &laneswap.ValidationError{Field: field, Problem: invalid.Problem, Err: kind}
	case err != nil:
		return t, &laneswap.ValidationError{Field: field, Problem: err.Error(), Err: kind}
	}
	return t, nil
}

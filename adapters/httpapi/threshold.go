package httpapi

import (
	"errors"
	"math"
	"strconv"

	"github.com/laneswap/laneswap"
)

// threshold returns a number of heartbeats, or a string that
// laneswap.ParseThreshold accepts.
func (f *fields) threshold(key string) laneswap.Threshold {
	var s string
	if n, ok := f.values[key].(float64); !ok {
		s = member[string](f, key, `a number of heartbeats or a time such as "90s"`)
	} else if n != math.Trunc(n) {
		f.fail(&laneswap.ValidationError{
			Field: key, Problem: "is " + strconv.FormatFloat(n, 'g', 6, 64) + ", it must be a whole number of heartbeats", Err: f.kind,
		})
	} else {
		// Far out of the range is the same as just out of it.
		s = strconv.Itoa(int(min(max(n, -1), laneswap.MaxThresholdBeats+1)))
	}
	t, err := parseThreshold(key, s, f.kind)
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
func parseThreshold(field, s string, kind error) (laneswap.Threshold, error) {
	t, err := laneswap.ParseThreshold(s)
	var invalid *laneswap.ValidationError
	switch {
	case errors.As(err, &invalid):
		return t, &laneswap.ValidationError{Field: field, Problem: invalid.Problem, Err: kind}
	case err != nil:
		return t, &laneswap.ValidationError{Field: field, Problem: err.Error(), Err: kind}
	}
	return t, nil
}

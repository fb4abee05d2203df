package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// params returns the values of a query by name and type. Like fields, it keeps the
// first error. Empty values count as absent, unknown names are ignored.
type params struct {
	values url.Values
	kind   error // the sentinel for values that are out of range
	err    error
}

func parseParams(r *http.Request, kind error) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &params{values: values, kind: kind}
	if err != nil {
		p.err = badRequest("the query of the URL is malformed")
	}
	return p
}

func (p *params) invalid(key, problem string) {
	if p.err == nil {
		p.err = &laneswap.ValidationError{Field: key, Problem: problem, Err: p.kind}
	}
}

func (p *params) text(key string) string {
	values := p.values[key]
	switch {
	case len(values) == 0:
		return ""
	case len(values) > 1:
		p.invalid(key, "is given twice")
	case !utf8.ValidString(values[0]):
		p.invalid(key, "is not valid UTF-8")
	}
	return values[0]
}

// count returns a whole number, 0 when it is absent.
func (p *params) count(key string) int {
	s := p.text(key)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		p.invalid(key, "must be a whole number, got "+strconv.Quote(text.Clip(s, 40)))
	}
	return n
}

// sequence returns the sequence number of an event.
func (p *params) sequence(key string) (seq uint64, given bool) {
	s := p.text(key)
	if s == "" {
		return 0, false
	}
	return p.parseSequence(key, s), true
}

func (p *params) parseSequence(key, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		p.invalid(key, "must be the sequence number of an event, got "+strconv.Quote(text.Clip(s, 40)))
	}
	return n
}

// id returns the id of a service. It is checked here, because the Manager would call
// the field service_id.
func (p *params) id(key string) laneswap.ServiceID {
	id := laneswap.ServiceID(p.text(key))
	if id == "" {
		return ""
	}
	var invalid *laneswap.ValidationError
	if err := laneswap.ValidateServiceID(id); errors.As(err, &invalid) {
		p.invalid(key, invalid.Problem)
	} else if err != nil && p.err == nil {
		p.err = err
	}
	return id
}

func (p *params) seconds(key string) time.Duration {
	s := p.text(key)
	if s == "" {
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && f == 0 { // a number out of range is infinite and refused below
		p.invalid(key, "must be a number of seconds, got "+strconv.Quote(text.Clip(s, 40)))
		return 0
	}
	d, err := seconds(key, f, p.kind)
	if err != nil && p.err == nil {
		p.err = err
	}
	return d
}

func (p *params) flag(key string) bool {
	s := p.text(key)
	if s == "" {
		return false
	}
	on, err := strconv.ParseBool(s)
	if err != nil {
		p.invalid(key, "must be 1 or 0, got "+strconv.Quote(text.Clip(s, 40)))
	}
	return on
}

package httpapi

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// history answers GET /api/services/{id}/history.
func (h *Handler) history(w http.ResponseWriter, r *http.Request, id laneswap.ServiceID) error {
	q, err := historyQuery(r, time.Now())
	if err != nil {
		return err
	}
	past, err := h.m.History(r.Context(), id, q)
	if err != nil {
		return err
	}
	out := newJSONStream(w)
	if err := out.value(past); err != nil {
		return err
	}
	return out.end()
}

// historyQuery reads the period: from and to, or a period that ends with to.
func historyQuery(r *http.Request, now time.Time) (laneswap.HistoryQuery, error) {
	p := parseParams(r, laneswap.ErrInvalidQuery)
	q := laneswap.HistoryQuery{From: p.time("from"), To: p.time("to"), Limit: p.count("limit")}
	period := p.period("period")
	switch {
	case p.err != nil:
		return q, p.err
	case period == 0:
		return q, nil
	case !q.From.IsZero():
		p.invalid("period", "cannot be given together with from")
		return q, p.err
	}
	end := q.To
	if now = now.UTC().Truncate(time.Millisecond); end.IsZero() || end.After(now) {
		// To is left to the Manager: by its own now, what lasts still lasts.
		end, q.To = now, time.Time{}
	}
	q.From = end.Add(-period)
	return q, nil
}

// time is an instant, as RFC 3339 has it.
func (p *params) time(key string) time.Time {
	s := p.text(key)
	if s == "" {
		return time.Time{}
	}
	// A plus sign that nobody escaped has become a space.
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(s, " ", "+"))
	if t = t.UTC(); err != nil || t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		p.invalid(key, "must be a time as RFC 3339 has it, such as 2026-01-31T08:00:00Z, got "+strconv.Quote(text.Clip(s, 40)))
		return time.Time{}
	}
	return t
}

// period is a duration above zero: seconds, a Go duration, or days, such as "7d".
func (p *params) period(key string) time.Duration {
	s := p.text(key)
	if s == "" {
		return 0
	}
	d := parsePeriod(s)
	if d <= 0 {
		p.invalid(key, "must be seconds or a duration above zero and up to 106751 days, such as 90m, 24h or 7d, got "+strconv.Quote(text.Clip(s, 40)))
	}
	return d
}

// mostDays is how many days a time.Duration holds.
const mostDays = float64(math.MaxInt64 / int64(24*time.Hour))

// parsePeriod returns 0 for what is no period.
func parsePeriod(s string) time.Duration {
	unit := time.Second
	number, days := strings.CutSuffix(s, "d")
	if days {
		unit = 24 * time.Hour
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0
		}
		return d
	}
	if !(n > 0 && n*unit.Seconds() <= mostDays*86400) { // nor is it one when it is not a number
		return 0
	}
	return time.Duration(n * float64(unit))
}

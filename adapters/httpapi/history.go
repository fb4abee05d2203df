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

// historyQuery reads from and to, or a period that ends at to.
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
		// The Manager uses its own now: the last span is then still open.
		end, q.To = now, time.Time{}
	}
	q.From = end.Add(-period)
	return q, nil
}

// time returns an RFC 3339 time.
func (p *params) time(key string) time.Time {
	s := p.text(key)
	if s == "" {
		return time.Time{}
	}
	// An unescaped plus sign has become a space.
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(s, " ", "+"))
	if t = t.UTC(); err != nil || t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		p.invalid(key, "must be an RFC 3339 time, such as 2026-01-31T08:00:00Z, got "+strconv.Quote(text.Clip(s, 40)))
		return time.Time{}
	}
	return t
}

// period returns a duration above zero: seconds, a Go duration, or days, such as "7d".
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

// maxDays is how many days a time.Duration holds.
const maxDays = float64(math.MaxInt64 / int64(24*time.Hour))

// parsePeriod returns 0 when s is not a period.
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
	if !(n > 0 && n*unit.Seconds() <= maxDays*86400) { // also false for NaN
		return 0
	}
	return time.Duration(n * float64(unit))
}

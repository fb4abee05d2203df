package apitest

import (
	"time"

	"github.com/laneswap/laneswap"
)

// past returns the history of a service once the latest change of its status is a
// part of it: a period ends before the millisecond in which it is asked for.
func (r *run) past(id laneswap.ServiceID, q laneswap.HistoryQuery) laneswap.History {
	r.Helper()
	since := r.service(id).Since
	for {
		h, err := r.History(r.ctx, id, q)
		r.ok("history", err)
		if h.To.After(since) {
			return h
		}
	}
}

// sums checks that the parts of a history make the whole.
func (r *run) sums(h laneswap.History) {
	r.Helper()
	r.equal("up, down, unknown and absent", h.Up+h.Down+h.Unknown+h.Absent, h.To.Sub(h.From))
}

var historyTests = []test{
	{"History holds the spans, incidents and events", func(r *run) {
		story(r)
		r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "again"})
		h := r.past("a", laneswap.HistoryQuery{})
		r.sums(h)
		r.equal("count", h.IncidentCount, 2)
		r.equal("service", h.Service, laneswap.ServiceID("a"))
		r.equal("period", h.To.Sub(h.From), 24*time.Hour)
		if !h.KnownFrom.After(h.From) || h.KnownFrom.After(h.To) {
			r.Fatalf("known from %v, of a period from %v to %v", h.KnownFrom, h.From, h.To)
		}
		r.equal("recovered", h.Recovered, 1)
		var states []laneswap.SpanState
		var statuses []laneswap.Status
		for i, s := range h.Spans {
			states, statuses = append(states, s.State), append(statuses, s.Status)
			if i > 0 && !h.Spans[i-1].To.Equal(s.From) {
				r.Fatalf("span %d begins at %v, the one before ends at %v", i, s.From, h.Spans[i-1].To)
			}
		}
		r.equal("states", states[1:], []laneswap.SpanState{"up", "down", "down", "up", "down"})
		r.equal("statuses", statuses, []laneswap.Status{"unknown", "busy", "warning", "critical", "idle", "error"})
		r.equal("beats", h.Spans[1].Beats, uint64(2))
		r.equal("the latest lasts", h.Spans[5].To, time.Time{})
		r.equal("message", h.Spans[5].Message, "again")
		r.equal("incidents", len(h.Incidents), 2)
		closed, open := h.Incidents[0], h.Incidents[1]
		r.equal("worst", closed.Worst, laneswap.StatusCritical)
		r.equal("incident of its span", h.Spans[2].Incident, closed.ID)
		r.equal("duration", closed.Duration, closed.EndedAt.Sub(closed.StartedAt))
		r.equal("mean time to recovery", h.MeanTimeToRecovery, closed.Duration)
		r.equal("open", open.EndedAt, time.Time{})
		r.equal("open worst", open.Worst, laneswap.StatusError)
		if open.Cause == "" {
			r.Fatal("an incident has no cause")
		}
		r.equal("events", h.Events, all(r, "events", r.Events(r.ctx, laneswap.EventQuery{Service: "a"})))
		if h.Truncated {
			r.Fatal("something was left out")
		}
	}},
	{"History covers the period of the query", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Hour})
		r.beat("a", laneswap.Heartbeat{})
		from := time.Date(2020, 1, 31, 0, 0, 0, 123_000_000, time.UTC)
		h, err := r.History(r.ctx, "a", laneswap.HistoryQuery{From: from, To: from.Add(time.Hour)})
		r.ok("history", err)
		r.equal("history", h, laneswap.History{Service: "a", From: from, To: from.Add(time.Hour), KnownFrom: from.Add(time.Hour), Unknown: time.Hour})
		if _, ok := h.Uptime(); ok {
			r.Fatal("there is an uptime of an unknown period")
		}
		h, err = r.History(r.ctx, "a", laneswap.HistoryQuery{To: from})
		r.ok("history", err)
		r.equal("24 hours", h.From, from.Add(-24*time.Hour))
		h, err = r.History(r.ctx, "a", laneswap.HistoryQuery{From: from, To: time.Now().Add(time.Hour)})
		r.ok("history", err)
		if h.To.After(time.Now().Add(time.Minute)) {
			r.Fatalf("the period ends at %v", h.To)
		}
		r.sums(h)
	}},
	{"History lists the newest events up to the limit", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Hour})
		for range 3 {
			r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusError})
			r.beat("a", laneswap.Heartbeat{})
		}
		whole := r.past("a", laneswap.HistoryQuery{})
		h := r.past("a", laneswap.HistoryQuery{Limit: 2})
		r.equal("truncated", h.Truncated, true)
		r.equal("count", h.IncidentCount, 3)
		r.equal("incidents", h.Incidents, whole.Incidents[1:])
		r.equal("events", h.Events, whole.Events[4:])
		r.equal("spans", len(h.Spans), 2)
		r.sums(h)
	}},
	{"History without a period is refused", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, c := range []struct {
			field string
			q     laneswap.HistoryQuery
		}{
			{"limit", laneswap.HistoryQuery{Limit: -1}},
			{"limit", laneswap.HistoryQuery{Limit: 10_001}},
			{"from", laneswap.HistoryQuery{From: at, To: at}},
			{"from", laneswap.HistoryQuery{From: at, To: at.Add(-time.Hour)}},
			{"from", laneswap.HistoryQuery{From: time.Now().Add(time.Hour)}},
		} {
			_, err := r.History(r.ctx, "a", c.q)
			r.refused(c.field, err, laneswap.ErrInvalidQuery, c.field)
		}
	}},
}

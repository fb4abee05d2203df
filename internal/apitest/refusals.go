package apitest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

var badIDs = []laneswap.ServiceID{
	"", ".", "..", "a..b", "../etc", "a/b", "/", "%2e%2e", "-a", "a b", "a\x00b", "a\nb", "a\u202eb", "ä", "a\xff",
	"a?x=1", "a#b", "a;b", laneswap.ServiceID(strings.Repeat("x", 129)), laneswap.ServiceID(strings.Repeat("x", 4096)),
}

func nested(depth int) any {
	var v any = "end"
	for range depth {
		v = map[string]any{"k": v}
	}
	return v
}

func keys(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprintf("key-%03d", i)] = i
	}
	return m
}

var longText = strings.Repeat("long ", 1<<10)

var refusalTests = []test{
	{"An unknown service is not found", func(r *run) {
		const id = "nobody@nowhere:1"
		r.refused("beat", r.Beat(r.ctx, id, laneswap.Heartbeat{}), laneswap.ErrServiceNotFound, "")
		r.refused("beat that says something", r.Beat(r.ctx, id, laneswap.Heartbeat{Message: "x"}), laneswap.ErrServiceNotFound, "")
		_, err := r.Report(r.ctx, id, laneswap.Heartbeat{})
		r.refused("report", err, laneswap.ErrServiceNotFound, "")
		_, err = r.Service(r.ctx, id)
		r.refused("service", err, laneswap.ErrServiceNotFound, "")
		r.refused("remove", r.Remove(r.ctx, id), laneswap.ErrServiceNotFound, "")
		r.refused("heartbeats", failure(r, "heartbeats", r.Heartbeats(r.ctx, id)), laneswap.ErrServiceNotFound, "")
		_, err = r.History(r.ctx, id, laneswap.HistoryQuery{})
		r.refused("history", err, laneswap.ErrServiceNotFound, "")
		_, err = r.ReportError(r.ctx, id, laneswap.ErrorReport{Type: "T"})
		r.refused("report error", err, laneswap.ErrServiceNotFound, "")
		r.refused("errors", failure(r, "errors", r.Errors(r.ctx, id, laneswap.ErrorQuery{})), laneswap.ErrServiceNotFound, "")
	}},
	{"Errors name the verb and the service once", func(r *run) {
		const id = "nobody"
		_, reportErr := r.Report(r.ctx, id, laneswap.Heartbeat{})
		_, serviceErr := r.Service(r.ctx, id)
		_, registerErr := r.Register(r.ctx, laneswap.Registration{ID: id, Interval: time.Nanosecond})
		_, historyErr := r.History(r.ctx, id, laneswap.HistoryQuery{})
		_, reportErrorErr := r.ReportError(r.ctx, id, laneswap.ErrorReport{Type: "T"})
		for verb, err := range map[string]error{
			"beat": r.Beat(r.ctx, id, laneswap.Heartbeat{}), "report": reportErr, "service": serviceErr, "remove": r.Remove(r.ctx, id),
			"heartbeats": failure(r, "heartbeats", r.Heartbeats(r.ctx, id)), "register": registerErr,
			"history": historyErr, "report error": reportErrorErr, "errors": failure(r, "errors", r.Errors(r.ctx, id, laneswap.ErrorQuery{})),
		} {
			want := fmt.Sprintf("laneswap: %s %q: ", verb, id)
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "laneswap: ") != 1 {
				r.Errorf("%s: the error is %v, want it to begin with %s", verb, err, want)
			}
		}
		r.equal("the whole", r.Beat(r.ctx, id, laneswap.Heartbeat{}).Error(), `laneswap: beat "nobody": service not found`)
	}},
	{"An invalid id is refused by every verb", func(r *run) {
		for _, id := range badIDs {
			what := fmt.Sprintf("%.40q", string(id))
			if id != "" {
				_, err := r.Register(r.ctx, laneswap.Registration{ID: id, Name: "n"})
				r.refused("register "+what, err, laneswap.ErrInvalidServiceID, "service_id")
				_, err = r.Watch(r.ctx, laneswap.WatchQuery{Service: id})
				r.refused("watch "+what, err, laneswap.ErrInvalidServiceID, "service_id")
				r.refused("events "+what, failure(r, "events", r.Events(r.ctx, laneswap.EventQuery{Service: id})), laneswap.ErrInvalidServiceID, "service_id")
			}
			r.refused("beat "+what, r.Beat(r.ctx, id, laneswap.Heartbeat{}), laneswap.ErrInvalidServiceID, "service_id")
			_, err := r.Report(r.ctx, id, laneswap.Heartbeat{})
			r.refused("report "+what, err, laneswap.ErrInvalidServiceID, "service_id")
			_, err = r.Service(r.ctx, id)
			r.refused("service "+what, err, laneswap.ErrInvalidServiceID, "service_id")
			r.refused("remove "+what, r.Remove(r.ctx, id), laneswap.ErrInvalidServiceID, "service_id")
			r.refused("heartbeats "+what, failure(r, "heartbeats", r.Heartbeats(r.ctx, id)), laneswap.ErrInvalidServiceID, "service_id")
			_, err = r.History(r.ctx, id, laneswap.HistoryQuery{})
			r.refused("history "+what, err, laneswap.ErrInvalidServiceID, "service_id")
			_, err = r.ReportError(r.ctx, id, laneswap.ErrorReport{Type: "T"})
			r.refused("report error "+what, err, laneswap.ErrInvalidServiceID, "service_id")
			r.refused("errors "+what, failure(r, "errors", r.Errors(r.ctx, id, laneswap.ErrorQuery{})), laneswap.ErrInvalidServiceID, "service_id")
		}
		r.equal("services", len(all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{}))), 0)
	}},
	{"A registration out of its limits is refused", func(r *run) {
		many := make([]string, 33)
		for i := range many {
			many[i] = fmt.Sprint("tag", i)
		}
		for _, c := range []struct {
			field string
			reg   laneswap.Registration
		}{
			{"name", laneswap.Registration{}},
			{"name", laneswap.Registration{Name: " \t\x00 "}},
			{"name", laneswap.Registration{Name: strings.Repeat("é", 129)}},
			{"name", laneswap.Registration{Name: strings.Repeat("n", 100<<10)}},
			{"interval", laneswap.Registration{ID: "a", Interval: -time.Second}},
			{"interval", laneswap.Registration{ID: "a", Interval: time.Millisecond}},
			{"interval", laneswap.Registration{ID: "a", Interval: 1}},
			{"interval", laneswap.Registration{ID: "a", Interval: laneswap.MaxDuration + time.Second}},
			{"interval", laneswap.Registration{ID: "a", Interval: math.MaxInt64}},
			{"interval", laneswap.Registration{ID: "a", Interval: math.MinInt64}},
			{"stale_after", laneswap.Registration{ID: "a", StaleAfter: -1}},
			{"stale_after", laneswap.Registration{ID: "a", StaleAfter: laneswap.Never}},
			{"stale_after", laneswap.Registration{ID: "a", Interval: time.Minute, StaleAfter: time.Minute}},
			{"stale_after", laneswap.Registration{ID: "a", StaleAfter: time.Minute, NoDeadline: true}},
			{"forget_after", laneswap.Registration{ID: "a", ForgetAfter: -time.Hour}},
			{"forget_after", laneswap.Registration{ID: "a", ForgetAfter: laneswap.MaxDuration + time.Second}},
			{"forget_after", laneswap.Registration{ID: "a", ForgetAfter: laneswap.Never - 1}},
			{"alert_after", laneswap.Registration{ID: "a", AlertAfter: laneswap.Threshold{Beats: -1}}},
			{"alert_after", laneswap.Registration{ID: "a", AlertAfter: laneswap.Threshold{Beats: laneswap.MaxThresholdBeats + 1}}},
			{"alert_after", laneswap.Registration{ID: "a", AlertAfter: laneswap.Threshold{Beats: math.MinInt}}},
			{"alert_after", laneswap.Registration{ID: "a", AlertAfter: laneswap.Threshold{For: laneswap.MinDuration - 1}}},
			{"alert_after", laneswap.Registration{ID: "a", AlertAfter: laneswap.Threshold{For: laneswap.MaxThresholdFor + 1}}},
			{"recover_after", laneswap.Registration{ID: "a", RecoverAfter: laneswap.Threshold{For: -time.Second}}},
			{"recover_after", laneswap.Registration{ID: "a", RecoverAfter: laneswap.Threshold{For: math.MaxInt64}}},
			{"recover_after", laneswap.Registration{ID: "a", RecoverAfter: laneswap.Threshold{Beats: 2, For: time.Second}}},
			{"tags", laneswap.Registration{ID: "a", Tags: many}},
			{"tags[1]", laneswap.Registration{ID: "a", Tags: []string{"x", ""}}},
			{"tags[0]", laneswap.Registration{ID: "a", Tags: []string{strings.Repeat("t", 65)}}},
			{"tags[0]", laneswap.Registration{ID: "a", Tags: []string{strings.Repeat("t", 100<<10)}}},
			{"metadata", laneswap.Registration{ID: "a", Metadata: keys(65)}},
			{"metadata", laneswap.Registration{ID: "a", Metadata: keys(200)}},
			{"metadata", laneswap.Registration{ID: "a", Metadata: map[string]any{"x": longText, "y": longText}}},
			{"metadata.x", laneswap.Registration{ID: "a", Metadata: map[string]any{"x": math.NaN()}}},
			{"metadata.x", laneswap.Registration{ID: "a", Metadata: map[string]any{"x": make(chan int)}}},
			{"metadata", laneswap.Registration{ID: "a", Metadata: map[string]any{"": 1}}},
			{"metadata.x" + strings.Repeat(".k", 16), laneswap.Registration{ID: "a", Metadata: map[string]any{"x": nested(17)}}},
		} {
			_, err := r.Register(r.ctx, c.reg)
			r.refused(fmt.Sprintf("%.120s", fmt.Sprintf("%+v", c.reg)), err, laneswap.ErrInvalidRegistration, c.field)
		}
		r.equal("services", len(all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{}))), 0)
	}},
	{"A heartbeat out of its limits is refused and changes nothing", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Hour, Metadata: map[string]any{"kept": "x"}})
		r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "before"})
		before := r.service("a")
		cyclic := map[string]any{}
		cyclic["self"] = cyclic
		for _, c := range []struct {
			field string
			hb    laneswap.Heartbeat
		}{
			{"status", laneswap.Heartbeat{Status: "fine"}},
			{"status", laneswap.Heartbeat{Status: laneswap.StatusStale}},
			{"status", laneswap.Heartbeat{Status: laneswap.Status(strings.Repeat("s", 100<<10))}},
			{"message", laneswap.Heartbeat{Message: strings.Repeat("m", 4097)}},
			{"message", laneswap.Heartbeat{Message: strings.Repeat("m", 1<<20)}},
			{"metadata", laneswap.Heartbeat{Metadata: keys(64)}}, // 65 after merging
			{"metadata", laneswap.Heartbeat{Metadata: map[string]any{"x": longText, "y": longText}}},
			{"metadata.x", laneswap.Heartbeat{Metadata: map[string]any{"x": math.Inf(1)}}},
			{"metadata.x", laneswap.Heartbeat{Metadata: map[string]any{"x": func() {}}}},
			{"metadata.x.y[1]", laneswap.Heartbeat{Metadata: map[string]any{"x": map[string]any{"y": []any{0, math.NaN()}}}}},
			{"metadata.x" + strings.Repeat(".k", 16), laneswap.Heartbeat{Metadata: map[string]any{"x": nested(17)}}},
			{("metadata" + strings.Repeat(".self", 20))[:80], laneswap.Heartbeat{Metadata: map[string]any{"self": cyclic}}},
		} {
			what := fmt.Sprintf("%.60s", c.field)
			r.refused("beat "+what, r.Beat(r.ctx, "a", c.hb), laneswap.ErrInvalidHeartbeat, c.field)
			_, err := r.Report(r.ctx, "a", c.hb)
			r.refused("report "+what, err, laneswap.ErrInvalidHeartbeat, c.field)
		}
		r.equal("the service", r.service("a"), before)
	}},
	{"A query out of its range is refused", func(r *run) {
		for _, c := range []struct {
			field string
			q     laneswap.ServiceQuery
		}{
			{"status", laneswap.ServiceQuery{Status: "bogus"}},
			{"limit", laneswap.ServiceQuery{Limit: -1}},
			{"events", laneswap.ServiceQuery{Events: -1}},
			{"events", laneswap.ServiceQuery{Events: 11}},
		} {
			r.refused(c.field, failure(r, c.field, r.Services(r.ctx, c.q)), laneswap.ErrInvalidQuery, c.field)
		}
		r.refused("limit", failure(r, "limit", r.Events(r.ctx, laneswap.EventQuery{Limit: -1})), laneswap.ErrInvalidQuery, "limit")
	}},
	{"A canceled context ends every verb", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		ctx, cancel := context.WithCancel(r.ctx)
		cancel()
		_, registerErr := r.Register(ctx, laneswap.Registration{ID: "b"})
		_, reportErr := r.Report(ctx, "a", laneswap.Heartbeat{})
		_, serviceErr := r.Service(ctx, "a")
		_, summaryErr := r.Summary(ctx)
		_, watchErr := r.Watch(ctx, laneswap.WatchQuery{})
		_, historyErr := r.History(ctx, "a", laneswap.HistoryQuery{})
		_, reportErrorErr := r.ReportError(ctx, "a", laneswap.ErrorReport{Type: "T"})
		_, explainErr := r.Explain(ctx, "a/x-1/1")
		_, notifiersErr := r.Notifiers(ctx)
		_, testErr := r.TestNotifier(ctx, "discord")
		for verb, err := range map[string]error{
			"register": registerErr, "beat": r.Beat(ctx, "a", laneswap.Heartbeat{}), "report": reportErr, "service": serviceErr,
			"summary": summaryErr, "watch": watchErr, "remove": r.Remove(ctx, "a"),
			"services":   failure(r, "services", r.Services(ctx, laneswap.ServiceQuery{})),
			"events":     failure(r, "events", r.Events(ctx, laneswap.EventQuery{})),
			"heartbeats": failure(r, "heartbeats", r.Heartbeats(ctx, "a")),
			"history":    historyErr, "report error": reportErrorErr,
			"errors":  failure(r, "errors", r.Errors(ctx, "a", laneswap.ErrorQuery{})),
			"explain": explainErr, "notifiers": notifiersErr, "test notifier": testErr,
		} {
			if !errors.Is(err, context.Canceled) {
				r.Errorf("%s: %v", verb, err)
			}
		}
		r.equal("beats", r.service("a").Beats, uint64(0))
	}},
}

package apitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// brief is the part of an event that tests compare.
type brief struct {
	Kind     laneswap.EventKind
	Service  laneswap.ServiceID
	From, To laneswap.Status
	Message  string
}

func briefs(evs []laneswap.Event) []brief {
	var out []brief
	for _, ev := range evs {
		out = append(out, brief{ev.Kind, ev.Service, ev.From, ev.To, ev.Message})
	}
	return out
}

// story makes six events of two services.
func story(r *run) []brief {
	r.register(laneswap.Registration{ID: "a", Name: "Service A", Interval: time.Minute})
	r.register(laneswap.Registration{ID: "b", Interval: time.Minute})
	r.beat("a", laneswap.Heartbeat{})
	r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusBusy}) // good to good: no event
	r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "hot <90°> 'n' \"q\""})
	r.beat("b", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "down\nreally"})
	r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusCritical, Message: "fire"})
	r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusIdle, Message: "fine"})
	r.ok("remove", r.Remove(r.ctx, "b"))
	return []brief{
		{laneswap.EventUp, "a", "unknown", "healthy", ""},
		{laneswap.EventDown, "a", "busy", "warning", "hot <90°> 'n' \"q\""},
		{laneswap.EventDown, "b", "unknown", "error", "down\nreally"},
		{laneswap.EventWorse, "a", "warning", "critical", "fire"},
		{laneswap.EventRecovered, "a", "critical", "idle", "fine"},
		{laneswap.EventRemoved, "b", "error", "unknown", ""},
	}
}

var eventTests = []test{
	{"Every transition makes one event, in order", func(r *run) {
		r.equal("before", len(all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))), 0)
		want := story(r)
		evs := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))
		got := briefs(evs)
		if len(got) > 0 { // what a removal says is the root's affair
			got[len(got)-1].To, got[len(got)-1].Message = "unknown", ""
		}
		r.equal("events", got, want)
		seen := map[string]bool{}
		for i, ev := range evs {
			if ev.Sequence != uint64(i+1) || ev.ID == "" || seen[ev.ID] {
				r.Fatalf("event %d has the id %q and the sequence number %d", i, ev.ID, ev.Sequence)
			}
			seen[ev.ID] = true
			if time.Since(ev.At) > patience || ev.At.Location() != time.UTC {
				r.Fatalf("event %d is dated %v", i, ev.At)
			}
		}
		down, recovered := evs[1], evs[4]
		r.equal("name", down.Name, "Service A")
		r.equal("incident", recovered.Incident, down.Incident)
		r.equal("began", recovered.StartedAt, down.At)
		r.equal("took", recovered.Duration, recovered.At.Sub(down.At))
		if down.Incident == "" || down.Incident == evs[2].Incident || down.Cause == "" {
			r.Fatalf("the incident is %q, because of %q", down.Incident, down.Cause)
		}
	}},
	{"A stale event is dated at its deadline", func(r *run) {
		ev := r.stale(laneswap.Registration{ID: "a"})
		r.equal("kind", ev.Kind, laneswap.EventDown)
		r.equal("from", ev.From, laneswap.StatusUnknown)
		r.equal("started", ev.StartedAt, ev.At)
		again := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))
		r.equal("events", again, []laneswap.Event{ev})
		r.equal("of the service", r.service("a").Events, again)
	}},
	{"Events are selected by every condition", func(r *run) {
		story(r)
		evs := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))
		for _, c := range []struct {
			q    laneswap.EventQuery
			want []int
		}{
			{laneswap.EventQuery{After: 4}, []int{4, 5}},
			{laneswap.EventQuery{After: 6}, nil},
			{laneswap.EventQuery{Service: "b"}, []int{2, 5}},
			{laneswap.EventQuery{Service: "b", After: 3}, []int{5}},
			{laneswap.EventQuery{Service: "nobody"}, nil},
			{laneswap.EventQuery{Limit: 2}, []int{0, 1}},
			{laneswap.EventQuery{Limit: 2, After: 1, Service: "a"}, []int{1, 3}},
			{laneswap.EventQuery{Limit: 99}, []int{0, 1, 2, 3, 4, 5}},
		} {
			var want []laneswap.Event
			for _, i := range c.want {
				want = append(want, evs[i])
			}
			r.equal(fmt.Sprintf("%+v", c.q), all(r, "events", r.Events(r.ctx, c.q)), want)
		}
	}},
	{"More events than a page holds are all listed", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Hour})
		const many = 1004
		for i := range many {
			status := laneswap.StatusError
			if i%2 == 1 {
				status = laneswap.StatusHealthy
			}
			r.beat("a", laneswap.Heartbeat{Status: status})
		}
		for _, q := range []laneswap.EventQuery{{}, {Service: "a"}, {Limit: 1000}, {Limit: 500}, {After: 3, Limit: 1001}} {
			var want, got []uint64
			for seq := q.After + 1; seq <= many && (q.Limit == 0 || len(want) < q.Limit); seq++ {
				want = append(want, seq)
			}
			for _, ev := range all(r, "events", r.Events(r.ctx, q)) {
				got = append(got, ev.Sequence)
			}
			if !slices.Equal(got, want) {
				r.Fatalf("%+v: got %d events, want %d, each once, in order", q, len(got), len(want))
			}
		}
	}},
	{"Events end early and with the context", func(r *run) {
		story(r)
		for range r.Events(r.ctx, laneswap.EventQuery{}) {
			break
		}
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		var last error
		n := 0
		for _, err := range r.Events(ctx, laneswap.EventQuery{}) {
			if last = err; err == nil {
				n++
				cancel()
			}
		}
		r.equal("events before the end", n, 1)
		if !errors.Is(last, context.Canceled) {
			r.Fatalf("ended with %v", last)
		}
	}},
	{"Unknown sequence numbers are gone", func(r *run) {
		story(r)
		r.refused("events", failure(r, "events", r.Events(r.ctx, laneswap.EventQuery{After: 7})), laneswap.ErrGone, "")
	}},
}

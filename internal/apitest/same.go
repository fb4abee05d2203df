package apitest

import (
	"fmt"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// sameTests check that values survive the network.
var sameTests = []test{
	{"Durations and times come back exactly", func(r *run) {
		for i, d := range []time.Duration{
			laneswap.MinDuration, 33_333_333, 100 * time.Millisecond, time.Second + time.Nanosecond, 90*time.Second + 1500*time.Microsecond,
			time.Hour, 366*24*time.Hour - time.Second, laneswap.MaxDuration - time.Millisecond,
		} {
			id := laneswap.ServiceID(fmt.Sprint("d", i))
			st := r.register(laneswap.Registration{ID: id, Interval: d, StaleAfter: min(d+100*time.Millisecond, laneswap.MaxDuration)})
			r.equal("interval", st.Interval, d)
			r.equal("window", st.Window, min(d+100*time.Millisecond, laneswap.MaxDuration))
			for _, at := range []time.Time{st.CreatedAt, st.Since, st.Deadline} {
				if at.Location() != time.UTC || at != at.Truncate(time.Millisecond) {
					r.Fatalf("%v is not UTC to the millisecond", at)
				}
			}
		}
	}},
}

// agree checks that both say the same of something that changes by itself: the near
// one is asked before and after the far one.
func agree[T any](near, far *run, what string, ask func(r *run) T) {
	near.Helper()
	for range 1000 {
		before, there, after := ask(near), ask(far), ask(near)
		if Equal(before, after) {
			near.equal(what, there, before)
			return
		}
	}
	near.Fatalf("%s: changes all the time", what)
}

// Same checks that two APIs return the same: the near one of a Manager, and a far one
// over the same Manager. open returns both, like Open. Values are compared whole.
func Same(t *testing.T, open func(t *testing.T, opts ...laneswap.Option) (near, far API)) {
	near, far := open(t, laneswap.WithNotifier(newSink()), laneswap.WithGroupWait(0))
	n, f := &run{T: t, API: near, ctx: t.Context()}, &run{T: t, API: far, ctx: t.Context()}
	compare := func(what string) {
		t.Helper()
		list := all(n, "services", n.Services(n.ctx, laneswap.ServiceQuery{Events: 10}))
		n.equal(what+": services", all(f, "services", f.Services(f.ctx, laneswap.ServiceQuery{Events: 10})), list)
		for _, st := range list {
			n.equal(what+": service", f.service(st.ID), n.service(st.ID))
			n.equal(what+": heartbeats", all(f, "heartbeats", f.Heartbeats(f.ctx, st.ID)), all(n, "heartbeats", n.Heartbeats(n.ctx, st.ID)))
			n.equal(what+": errors", all(f, "errors", f.Errors(f.ctx, st.ID, laneswap.ErrorQuery{})), all(n, "errors", n.Errors(n.ctx, st.ID, laneswap.ErrorQuery{})))
			q := laneswap.HistoryQuery{From: time.Now().Add(-time.Hour).Truncate(time.Second), To: time.Now().Add(-10 * time.Millisecond)} // over for both
			past, err := f.History(f.ctx, st.ID, q)
			f.ok("history", err)
			same, err := n.History(n.ctx, st.ID, q)
			n.ok("history", err)
			n.equal(what+": history", past, same)
		}
		events := all(n, "events", n.Events(n.ctx, laneswap.EventQuery{}))
		n.equal(what+": events", all(f, "events", f.Events(f.ctx, laneswap.EventQuery{})), events)
		agree(n, f, what+": notifiers", (*run).notifiers)
		for _, ev := range events {
			agree(n, f, what+": explain", func(r *run) laneswap.Explanation { return r.explain(ev.ID) })
		}
		got, err := f.Summary(f.ctx)
		f.ok("summary", err)
		want, err := n.Summary(n.ctx)
		n.ok("summary", err)
		n.equal(what+": summary", got, want)
	}
	compare("nothing")
	reg := laneswap.Registration{
		ID: "full@host:1", Name: "Füll 💡 <x>", Interval: 1500 * time.Millisecond, StaleAfter: time.Hour, Tags: []string{"a", "b c"},
		Metadata: map[string]any{"s": "x\ny", "n": 1.25, "b": false, "list": []any{1.0, "z", nil}, "o": map[string]any{"p": "q"}},
		MustRun:  true, ForgetAfter: 90 * time.Minute, AlertAfter: laneswap.Threshold{Beats: 1}, RecoverAfter: laneswap.Threshold{For: 10 * time.Millisecond},
	}
	n.equal("registered by both", f.register(reg), n.register(reg))
	compare("registered")
	for _, who := range []*run{n, f} {
		for _, status := range laneswap.Statuses() {
			if status == laneswap.StatusStale {
				continue
			}
			who.beat(reg.ID, laneswap.Heartbeat{Status: status, Message: "now <" + string(status) + ">\t\"ü\"", Metadata: map[string]any{"last": string(status), "n": nil}})
			compare(string(status))
		}
	}
	for _, who := range []*run{n, f} {
		who.complain(reg.ID, laneswap.ErrorReport{Type: "T<x>", Message: "a\n\"ü\"", Stack: "main.go:1\n\tx", Metadata: reg.Metadata})
	}
	compare("errors")
	f.stale(laneswap.Registration{ID: "silent"})
	n.stale(laneswap.Registration{ID: "silent-too", Name: "silent"})
	compare("stale")
	for _, id := range []laneswap.ServiceID{"silent", "silent-too"} {
		f.register(laneswap.Registration{ID: id, NoDeadline: true})
		f.beat(id, laneswap.Heartbeat{})
	}
	compare("recovered")
	f.ok("remove", f.Remove(f.ctx, reg.ID))
	compare("removed")
}

package apitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

func ids(list []laneswap.ServiceStatus) []laneswap.ServiceID {
	var out []laneswap.ServiceID
	for _, st := range list {
		out = append(out, st.ID)
	}
	return out
}

// few registers five services of different kinds.
func few(r *run) {
	r.register(laneswap.Registration{ID: "e", Name: "twin", Tags: []string{"eu", "tag with space & more"}})
	r.register(laneswap.Registration{ID: "B", Name: "twin"})
	r.register(laneswap.Registration{ID: "a:1", Tags: []string{"eu"}})
	r.register(laneswap.Registration{ID: "a@2"})
	r.register(laneswap.Registration{ID: "a-3"})
	r.beat("e", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "first"})
	r.beat("e", laneswap.Heartbeat{Status: laneswap.StatusCritical, Message: "second"})
	r.beat("B", laneswap.Heartbeat{})
	r.beat("a:1", laneswap.Heartbeat{Status: laneswap.StatusBusy})
}

var serviceTests = []test{
	{"Services are ordered by id", func(r *run) {
		r.equal("nothing", len(all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{}))), 0)
		few(r)
		list := all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{}))
		r.equal("ids", ids(list), []laneswap.ServiceID{"B", "a-3", "a:1", "a@2", "e"})
		for _, st := range list {
			want := r.service(st.ID)
			want.Events = nil // left out unless asked
			r.equal("listed", st, want)
		}
	}},
	{"Services are selected by every condition", func(r *run) {
		few(r)
		for _, c := range []struct {
			q    laneswap.ServiceQuery
			want []laneswap.ServiceID
		}{
			{laneswap.ServiceQuery{Status: laneswap.StatusUnknown}, []laneswap.ServiceID{"a-3", "a@2"}},
			{laneswap.ServiceQuery{Status: laneswap.StatusCritical}, []laneswap.ServiceID{"e"}},
			{laneswap.ServiceQuery{Status: laneswap.StatusIdle}, nil},
			{laneswap.ServiceQuery{Tag: "eu"}, []laneswap.ServiceID{"a:1", "e"}},
			{laneswap.ServiceQuery{Tag: "tag with space & more"}, []laneswap.ServiceID{"e"}},
			{laneswap.ServiceQuery{Tag: "e"}, nil},
			{laneswap.ServiceQuery{Name: "twin"}, []laneswap.ServiceID{"B", "e"}},
			{laneswap.ServiceQuery{Name: "twi"}, nil},
			{laneswap.ServiceQuery{Name: "twin", Tag: "eu"}, []laneswap.ServiceID{"e"}},
			{laneswap.ServiceQuery{After: "a-3"}, []laneswap.ServiceID{"a:1", "a@2", "e"}},
			{laneswap.ServiceQuery{After: "a0"}, []laneswap.ServiceID{"a:1", "a@2", "e"}},
			{laneswap.ServiceQuery{After: "z"}, nil},
			{laneswap.ServiceQuery{After: "a!/ü?"}, []laneswap.ServiceID{"a-3", "a:1", "a@2", "e"}}, // no id, but a place
			{laneswap.ServiceQuery{Limit: 2}, []laneswap.ServiceID{"B", "a-3"}},
			{laneswap.ServiceQuery{Limit: 2, After: "a-3"}, []laneswap.ServiceID{"a:1", "a@2"}},
			{laneswap.ServiceQuery{Limit: 1, Tag: "eu", After: "a:1"}, []laneswap.ServiceID{"e"}},
			{laneswap.ServiceQuery{Limit: 99}, []laneswap.ServiceID{"B", "a-3", "a:1", "a@2", "e"}},
		} {
			r.equal(fmt.Sprintf("%+v", c.q), ids(all(r, "services", r.Services(r.ctx, c.q))), c.want)
		}
	}},
	{"Services bring as many events as asked", func(r *run) {
		few(r)
		for n, want := range []int{0, 1, 2, 2} {
			list := all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{Tag: "tag with space & more", Events: n}))
			r.equal(fmt.Sprintf("%d events", n), len(list[0].Events), want)
			if n == 1 {
				r.equal("the latest", list[0].Events[0].Message, "second")
			}
		}
	}},
	{"Services end early without harm", func(r *run) {
		few(r)
		seq := r.Services(r.ctx, laneswap.ServiceQuery{})
		for range 2 { // a sequence can be used again
			n := 0
			for _, err := range seq {
				r.ok("services", err)
				if n++; n == 2 {
					break
				}
			}
		}
		r.equal("all of them", len(all(r, "services", seq)), 5)
	}},
	{"Services may be changed while they are listed", func(r *run) {
		few(r)
		n := 0
		for st, err := range r.Services(r.ctx, laneswap.ServiceQuery{}) {
			r.ok("services", err)
			r.ok("remove", r.Remove(r.ctx, st.ID))
			n++
		}
		r.equal("listed", n, 5)
	}},
	{"Services end with the context", func(r *run) {
		few(r)
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		n := 0
		var last error
		for _, err := range r.Services(ctx, laneswap.ServiceQuery{}) {
			if last = err; err == nil {
				n++
				cancel()
			}
		}
		r.equal("services before the end", n, 1)
		if !errors.Is(last, context.Canceled) {
			r.Fatalf("ended with %v", last)
		}
	}},
	{"More services than a page holds are all listed", func(r *run) {
		const many = 1203
		var want []laneswap.ServiceID
		for i := range many {
			id := laneswap.ServiceID(fmt.Sprintf("s%04d", i))
			want = append(want, id)
			r.register(laneswap.Registration{ID: id, Interval: time.Hour})
		}
		got := ids(all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{})))
		if !slices.Equal(got, want) {
			r.Fatalf("listed %d services, want %d, each once, in order", len(got), many)
		}
		for _, limit := range []int{500, 501, 1000, 1202, 1203, 1204} {
			got := ids(all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{Limit: limit})))
			if !slices.Equal(got, want[:min(limit, many)]) {
				r.Fatalf("listed %d services, want %d", len(got), min(limit, many))
			}
		}
		got = ids(all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{Events: 1, After: "s1000"})))
		if !slices.Equal(got, want[1001:]) {
			r.Fatalf("listed %d services, want %d", len(got), len(want[1001:]))
		}
	}},
	{"Summary counts all services", func(r *run) {
		sum, err := r.Summary(r.ctx)
		r.ok("summary", err)
		journal := sum.Journal
		if journal == "" {
			r.Fatal("the numbering of the events has no name")
		}
		r.equal("nothing", sum, laneswap.Summary{Counts: map[laneswap.Status]int{}, Journal: journal})
		few(r)
		sum, err = r.Summary(r.ctx)
		r.ok("summary", err)
		events := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))
		r.equal("summary", sum, laneswap.Summary{
			Total: 5, Sequence: events[len(events)-1].Sequence, Journal: journal,
			Counts: map[laneswap.Status]int{"critical": 1, "healthy": 1, "busy": 1, "unknown": 2},
		})
	}},
}

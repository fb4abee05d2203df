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

func (r *run) complain(id laneswap.ServiceID, rep laneswap.ErrorReport) laneswap.ErrorRecord {
	r.Helper()
	rec, err := r.ReportError(r.ctx, id, rep)
	r.ok("report error", err)
	return rec
}

// errorTests is about the errors that services report.
var errorTests = []test{
	{"Reported errors are kept, the newest first", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.register(laneswap.Registration{ID: "b"})
		r.equal("before", len(all(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{}))), 0)
		rep := laneswap.ErrorReport{
			Type: "*fs.PathError", Message: "open <x>: \"ü\" \U0001f4a1\nno such file", Stack: "main.main()\n\tmain.go:1",
			Metadata: map[string]any{"n": 1.5, "list": []any{"x", nil}, "o": map[string]any{"p": true}},
		}
		first := r.complain("a", rep)
		if first.ID == "" || time.Since(first.At) > patience || first.At.Location() != time.UTC {
			r.Fatalf("the error has the id %q and the time %v", first.ID, first.At)
		}
		r.equal("as reported", first, laneswap.ErrorRecord{
			ID: first.ID, Service: "a", At: first.At, Type: rep.Type, Message: rep.Message, Stack: rep.Stack, Metadata: rep.Metadata,
		})
		second := r.complain("a", laneswap.ErrorReport{Type: "T"})
		other := r.complain("b", laneswap.ErrorReport{Message: "m"})
		r.equal("of a", all(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{})), []laneswap.ErrorRecord{second, first})
		r.equal("of b", all(r, "errors", r.Errors(r.ctx, "b", laneswap.ErrorQuery{})), []laneswap.ErrorRecord{other})
		r.equal("equal ones are two", r.complain("a", laneswap.ErrorReport{Type: "T"}).ID != second.ID, true)
	}},
	{"A reported error changes no status", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.beat("a", laneswap.Heartbeat{})
		before := r.service("a")
		r.complain("a", laneswap.ErrorReport{Type: "T"})
		after := r.service("a")
		after.Deadline = before.Deadline // computed anew
		r.equal("service", after, before)
	}},
	{"Reported errors lose control characters", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		rec := r.complain("a", laneswap.ErrorReport{Type: "T\x1b[31m\u202e", Message: "m\x00\u009b", Stack: "s\x07\n\tt\xff"})
		r.equal("type", rec.Type, "T[31m")
		r.equal("message", rec.Message, "m")
		r.equal("stack", rec.Stack, "s\n\tt")
	}},
	{"Reported errors are selected by every condition", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		var recs []laneswap.ErrorRecord
		for i := range 5 {
			recs = append([]laneswap.ErrorRecord{r.complain("a", laneswap.ErrorReport{Message: fmt.Sprint(i)})}, recs...)
		}
		for _, c := range []struct {
			q    laneswap.ErrorQuery
			want []laneswap.ErrorRecord
		}{
			{laneswap.ErrorQuery{Limit: 2}, recs[:2]},
			{laneswap.ErrorQuery{Limit: 5}, recs},
			{laneswap.ErrorQuery{Limit: 99}, recs},
			{laneswap.ErrorQuery{Before: recs[1].ID}, recs[2:]},
			{laneswap.ErrorQuery{Before: recs[1].ID, Limit: 1}, recs[2:3]},
			{laneswap.ErrorQuery{Before: recs[4].ID}, nil},
		} {
			r.equal(fmt.Sprintf("%+v", c.q), all(r, "errors", r.Errors(r.ctx, "a", c.q)), c.want)
		}
		r.refused("limit", failure(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{Limit: -1})), laneswap.ErrInvalidQuery, "limit")
		r.refused("before", failure(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{Before: "x"})), laneswap.ErrInvalidQuery, "before")
	}},
	{"Reported errors are bounded in number, the oldest go first", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		const many = 1010
		for i := range many {
			r.complain("a", laneswap.ErrorReport{Message: fmt.Sprint(i)})
		}
		list := all(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{}))
		if n := len(list); n != 100 && n != 1000 { // without a storage, and with one
			r.Fatalf("%d are kept", n)
		}
		for i, rec := range list {
			r.equal("message", rec.Message, fmt.Sprint(many-1-i))
		}
	}},
	{"A reported error out of its limits is refused", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		for _, c := range []struct {
			field string
			rep   laneswap.ErrorReport
		}{
			{"message", laneswap.ErrorReport{}},
			{"message", laneswap.ErrorReport{Stack: "s", Type: " ", Message: "\x00"}},
			{"type", laneswap.ErrorReport{Type: strings.Repeat("é", 129)}},
			{"type", laneswap.ErrorReport{Type: strings.Repeat("t", 100<<10)}},
			{"message", laneswap.ErrorReport{Message: strings.Repeat("m", 4<<10+1)}},
			{"message", laneswap.ErrorReport{Message: strings.Repeat("m", 100<<10)}},
			{"stack", laneswap.ErrorReport{Type: "T", Stack: strings.Repeat("s", 32<<10+1)}},
			{"stack", laneswap.ErrorReport{Type: "T", Stack: strings.Repeat("s", 100<<10)}},
			{"metadata", laneswap.ErrorReport{Type: "T", Metadata: keys(65)}},
			{"metadata", laneswap.ErrorReport{Type: "T", Metadata: map[string]any{"x": longText, "y": longText}}},
			{"metadata.x", laneswap.ErrorReport{Type: "T", Metadata: map[string]any{"x": math.NaN()}}},
			{"metadata.x", laneswap.ErrorReport{Type: "T", Metadata: map[string]any{"x": make(chan int)}}},
		} {
			_, err := r.ReportError(r.ctx, "a", c.rep)
			r.refused(c.field, err, laneswap.ErrInvalidErrorReport, c.field)
		}
		r.equal("kept", len(all(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{}))), 0)
		r.complain("a", laneswap.ErrorReport{Type: strings.Repeat("é", 128), Message: strings.Repeat("m", 4<<10), Stack: strings.Repeat("\n", 32<<10)})
	}},
	{"Reported errors end early and with the context", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		for range 3 {
			r.complain("a", laneswap.ErrorReport{Type: "T"})
		}
		for range r.Errors(r.ctx, "a", laneswap.ErrorQuery{}) {
			break
		}
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		var last error
		n := 0
		for _, err := range r.Errors(ctx, "a", laneswap.ErrorQuery{}) {
			if last = err; err == nil {
				n++
				cancel()
			}
		}
		r.equal("errors before the end", n, 1)
		if !errors.Is(last, context.Canceled) {
			r.Fatalf("ended with %v", last)
		}
	}},
	{"Reported errors go with their service", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.complain("a", laneswap.ErrorReport{Type: "T"})
		r.ok("remove", r.Remove(r.ctx, "a"))
		r.refused("errors", failure(r, "errors", r.Errors(r.ctx, "a", laneswap.ErrorQuery{})), laneswap.ErrServiceNotFound, "")
		_, err := r.History(r.ctx, "a", laneswap.HistoryQuery{})
		r.refused("history", err, laneswap.ErrServiceNotFound, "")
	}},
}

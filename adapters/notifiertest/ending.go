package notifiertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap"
)

// ending tests contexts that end, and that no goroutines are left.
var ending = []test{
	{"Context_thatHasEndedSendsNothing", func(r *run) {
		canceled, cancel := context.WithCancel(r.Context())
		cancel()
		late, cancel := context.WithDeadline(r.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for _, ctx := range []context.Context{canceled, late} {
			s, n, delivered := r.make()
			for _, note := range Notifications(now) {
				c := r.finished("Notify", func() called { return callWith(ctx, n, note) })
				r.gaveUp(c, ctx.Err(), 0)
			}
			if got := delivered(); got != "" || len(s.received()) > 0 {
				r.Errorf("a message was delivered although the context had ended: %.200q", got)
			}
		}
	}},
	{"Context_thatEndsEndsAHang", func(r *run) {
		var s *Stand
		var n laneswap.Notifier
		switch {
		case r.target.HTTP != nil:
			s = r.newServer()
			n = r.makeHTTP(s)
			s.answer(hang(0))
		case r.target.Hanging != nil:
			n = r.target.Hanging(r.T, r.newStand())
		default:
			r.Skip("the target cannot hang")
		}
		c := r.finished("Notify", func() called { return call(r.Context(), hangFor, n, Notifications(now)[0]) })
		r.gaveUp(c, context.DeadlineExceeded, hangFor)

		ctx, cancel := context.WithCancel(r.Context())
		stop := time.AfterFunc(hangFor, cancel)
		defer stop.Stop()
		c = r.finished("Notify", func() called { return callWith(ctx, n, Notifications(now)[0]) })
		r.gaveUp(c, context.Canceled, hangFor)
	}},
	{"Goroutines_end", func(r *run) {
		s := r.newStand()
		if r.target.HTTP != nil {
			s = r.newServer()
		}
		label := fmt.Sprint("run-", runs.Add(1))
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("notifiertest", label)))
		r.busy(s)
		pprof.SetGoroutineLabels(context.Background())
		s.close() // goroutines that wait for the server end
		deadline := time.Now().Add(min(r.target.Patience/2, 10*time.Second))
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for left := goroutines(label); left != ""; left = goroutines(label) {
			if time.Now().After(deadline) {
				r.Fatalf("goroutines that the notifier started are left:\n%s", left)
			}
			<-tick.C
		}
	}},
}

// runs numbers the tests whose goroutines are counted.
var runs atomic.Uint64

// gaveUp requires that a call returned soon, with the error of its context.
func (r *run) gaveUp(c called, cause error, after time.Duration) {
	r.Helper()
	if !errors.Is(c.err, cause) {
		r.Errorf("the context ended: %s, want an error that wraps %v", describe(c.err), cause)
	}
	if v := verdictOf(c.err); c.err != nil && v != Retried {
		r.Errorf("the context ended: %s, want an error that the Manager retries", describe(c.err))
	}
	if c.took > after+slack {
		r.Errorf("it took %v to return from a context of %v", c.took, after)
	}
}

// busy creates a notifier that delivers some messages and fails to deliver others.
func (r *run) busy(s *Stand) {
	r.Helper()
	try := func(d time.Duration, n laneswap.Notifier, i int) {
		r.Helper()
		r.finished("Notify", func() called { return call(r.Context(), d, n, numbered(i)) })
	}
	if r.target.Local != nil {
		n, _ := r.target.Local(r.T, s)
		for i := range r.limit(3) {
			try(r.target.Patience/2, n, i)
		}
		if r.target.Failing != nil {
			try(r.target.Patience/2, r.target.Failing(r.T, s), 0)
		}
		if r.target.Hanging != nil {
			try(hangFor, r.target.Hanging(r.T, s), 0)
		}
		return
	}
	n := r.makeHTTP(s)
	try(r.target.Patience/2, n, 0)
	s.answer(status(500, "text/html"))
	try(r.target.Patience/2, n, 1)
	s.answer(reset)
	try(r.target.Patience/2, n, 2)
	s.answer(r.target.OK.reply)
	try(r.target.Patience/2, n, 3)
	s.answer(hang(0))
	try(hangFor, n, 4)
}

// goroutines returns the stacks of goroutines with the label. A goroutine inherits the
// labels of the one that started it.
func goroutines(label string) string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return err.Error()
	}
	var left []string
	for _, g := range strings.Split(all.String(), "\n\n") {
		if strings.Contains(g, `"notifiertest":"`+label+`"`) {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

package durabilitytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/laneswap/laneswap"
)

// worker sends one operation after the other, for services of its own, so that their
// order is known.
type worker struct {
	c        *Checker
	name     string
	rand     *rand.Rand
	services []*service
	number   int // of operations, part of their texts, so that no two are equal
	// newOnly tells that the server has not read its storage: operations are for
	// services that it cannot have stored.
	newOnly bool
}

// answeredWithin bounds an answer: after 5 seconds it comes without durability; the
// rest is for a busy machine.
const answeredWithin = 10 * time.Second

// maxNewOps bounds the operations of a new service: the server holds 20.
const maxNewOps = 15

// run sends operations until stop is closed or the server is gone.
func (w *worker) run(ctx context.Context, s *server, stop <-chan struct{}, newOnly bool) {
	w.newOnly = newOnly
	if newOnly {
		w.services = append(w.services, newService(laneswap.ServiceID(fmt.Sprintf("%s.new-%d", w.name, len(w.services)))))
	}
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		a := w.pick()
		if a == nil || !w.step(ctx, s, a) {
			return
		}
	}
}

// pick chooses a service.
func (w *worker) pick() *service {
	var free []*service
	for _, a := range w.services {
		if w.may(a) {
			free = append(free, a)
		}
	}
	if len(free) == 0 {
		return nil
	}
	a := free[w.rand.IntN(len(free))]
	if a.asked > 0 && !a.now().present && w.rand.IntN(4) > 0 {
		a = free[w.rand.IntN(len(free))] // so that some stay removed for a while
	}
	return a
}

// may reports whether the worker may send an operation for a service.
func (w *worker) may(a *service) bool {
	isNew := a.first == 0 && !a.states[0].present
	return !a.frozen && (!w.newOnly || isNew && a.op() < maxNewOps)
}

// step does one operation. It returns false when the server is gone.
func (w *worker) step(ctx context.Context, s *server, a *service) bool {
	w.number++
	op := a.op()
	a.asked = w.c.run
	begun := time.Now()
	what, durable, err := w.ask(ctx, s, a)
	if took := time.Since(begun); took > answeredWithin {
		w.c.fail("%s of %s took %v; an answer that is not durable must come within 5 s", what, a.id, took)
	}
	switch outcomeOf(err) {
	case happened:
		w.c.count(what, durable)
		if !durable {
			rest(ctx) // keeps the backlog of a storage that is down small
		}
		return true
	case refused:
		a.forget(op)
		return false
	}
	if rejected(err) {
		w.c.fail("%s of %s: %v", what, a.id, err)
	}
	a.frozen = true
	w.c.count("unanswered", false)
	return false
}

// rest waits for a moment.
func rest(ctx context.Context) {
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

var statuses = []laneswap.Status{"", "healthy", "busy", "idle", "warning", "degraded", "error", "critical", "unknown", "shutdown"}

// ask chooses an operation, adds its state, and sends it.
func (w *worker) ask(ctx context.Context, s *server, a *service) (what string, durable bool, err error) {
	n := w.rand.IntN(100)
	if !a.now().present {
		if n < 60 {
			durable, err = w.register(ctx, s, a)
			return "registration", durable, err
		}
		durable, err = w.announce(ctx, s, a)
		return "announcement", durable, err
	}
	switch {
	case w.newOnly && n < 80:
		durable, err = w.beat(ctx, s, a, w.heartbeat(w.other(a.now().reported)))
		return "heartbeat", durable, err
	case w.newOnly:
		durable, err = w.register(ctx, s, a)
		return "registration", durable, err
	case n < 40:
		durable, err = w.beat(ctx, s, a, w.heartbeat(statuses[w.rand.IntN(len(statuses))]))
		return "heartbeat", durable, err
	case n < 65: // the same status again
		hb := laneswap.Heartbeat{Status: a.now().reported}
		if n < 45 {
			hb = w.heartbeat(hb.Status)
		}
		durable, err = w.beat(ctx, s, a, hb)
		return "heartbeat", durable, err
	case n < 75:
		durable, err = w.register(ctx, s, a)
		return "registration", durable, err
	case n < 87:
		durable, err = w.report(ctx, s, a)
		return "error", durable, err
	case n < 93:
		durable, err = w.batch(ctx, s, a)
		return "batch", durable, err
	}
	durable, err = w.remove(ctx, s, a)
	return "removal", durable, err
}

// other returns another status: of equal ones in a row a server that has not read its
// storage keeps the last.
func (w *worker) other(than laneswap.Status) laneswap.Status {
	for {
		if st := statuses[1+w.rand.IntN(len(statuses)-1)]; st != than {
			return st
		}
	}
}

func (w *worker) heartbeat(status laneswap.Status) laneswap.Heartbeat {
	hb := laneswap.Heartbeat{Status: status, Message: fmt.Sprintf("%s says %d: läuft 🚦", w.name, w.number)}
	if w.rand.IntN(3) == 0 {
		hb.Metadata = map[string]any{"beat": float64(w.number), "registered": nil}
	}
	return hb
}

func (w *worker) registration(id laneswap.ServiceID) laneswap.Registration {
	reg := laneswap.Registration{
		ID: id, Name: fmt.Sprintf("%s no. %d é", id, w.number), Tags: []string{"durability", fmt.Sprint("tag-", w.number%5)},
		Metadata: map[string]any{"registered": float64(w.number), "deep": map[string]any{"a.b": []any{true, "x", 1.5}}},
	}
	// The windows are longer than the test.
	if w.rand.IntN(2) == 0 {
		reg.Interval = 20 * time.Minute
	} else {
		reg.Interval, reg.StaleAfter = 30*time.Second, time.Hour+time.Duration(w.number)*time.Second
	}
	if w.rand.IntN(4) == 0 {
		reg.Metadata = map[string]any{"registered": float64(w.number), "deep": nil}
	}
	return reg
}

func (w *worker) register(ctx context.Context, s *server, a *service) (durable bool, err error) {
	reg := w.registration(a.id)
	a.note(a.now().register(reg), nil, true)
	st, err := s.client.Register(ctx, reg)
	return w.conclude(a, &st, !st.NotDurable, err)
}

// announce is a heartbeat that registers: two operations, of which the first may
// happen alone when the server is killed.
func (w *worker) announce(ctx context.Context, s *server, a *service) (durable bool, err error) {
	reg := laneswap.Registration{Name: string(a.id) + " announced", Interval: time.Minute, StaleAfter: time.Hour}
	a.note(a.now().register(reg), nil, true)
	hb := w.heartbeat("error")
	next, tr := a.now().beat(hb)
	a.note(next, tr, true)
	query := url.Values{"create": {"1"}, "name": {reg.Name}, "interval": {"60"}, "stale_after": {"3600"}}
	var st laneswap.ServiceStatus
	err = s.plain(ctx, http.MethodPost, path(a.id, "heartbeat")+"?"+query.Encode(), nil, hb, &st)
	return w.conclude(a, &st, !st.NotDurable, err)
}

// path returns the path of a service.
func path(id laneswap.ServiceID, more string) string {
	return "/api/services/" + url.PathEscape(string(id)) + "/" + more
}

// undurable is the member of an answer that is set only when it is false.
type undurable struct {
	Durable *bool `json:"durable"`
}

func (w *worker) beat(ctx context.Context, s *server, a *service, hb laneswap.Heartbeat) (durable bool, err error) {
	a.expectBeat(hb)
	switch w.rand.IntN(3) {
	case 0:
		st, err := s.client.Report(ctx, a.id, hb)
		return w.conclude(a, &st, !st.NotDurable, err)
	case 1:
		var st laneswap.ServiceStatus
		err := s.plain(ctx, http.MethodPost, path(a.id, "heartbeat"), nil, hb, &st)
		return w.conclude(a, &st, !st.NotDurable, err)
	}
	var answer undurable
	err = s.plain(ctx, http.MethodPost, path(a.id, "heartbeat"), http.Header{"Prefer": {"return=minimal"}}, hb, &answer)
	return w.conclude(a, nil, answer.Durable == nil, err)
}

// expectBeat adds the state after a heartbeat.
func (a *service) expectBeat(hb laneswap.Heartbeat) {
	next, tr := a.now().beat(hb)
	a.note(next, tr, next.reported != a.now().reported)
}

// conclude records the answer to the latest operation.
func (w *worker) conclude(a *service, st *laneswap.ServiceStatus, durable bool, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	a.answered(st, w.c.life)
	if durable {
		a.durable()
	}
	return durable, nil
}

// batch sends a heartbeat for each registered service of the worker.
func (w *worker) batch(ctx context.Context, s *server, asked *service) (durable bool, err error) {
	type item struct {
		ID laneswap.ServiceID `json:"service_id"`
		laneswap.Heartbeat
	}
	var items []item
	var services []*service
	ops := map[*service]int{}
	for _, a := range w.services {
		if !w.may(a) || !a.now().present {
			continue
		}
		hb := w.heartbeat(statuses[w.rand.IntN(len(statuses))])
		ops[a], a.asked = a.op(), w.c.run
		a.expectBeat(hb)
		services, items = append(services, a), append(items, item{a.id, hb})
	}
	var answer struct {
		Accepted int
		Failed   []any
		undurable
	}
	err = s.plain(ctx, http.MethodPost, "/api/heartbeats", nil, items, &answer)
	if err == nil && answer.Accepted != len(items) {
		w.c.fail("a batch of %d was accepted for %d: %v", len(items), answer.Accepted, answer.Failed)
	}
	for _, a := range services {
		switch {
		case err == nil:
			_, _ = w.conclude(a, nil, answer.Durable == nil, nil)
		case a == asked: // the caller's
		case outcomeOf(err) == refused:
			a.forget(ops[a])
		default:
			a.frozen = true
		}
	}
	return answer.Durable == nil, err
}

func (w *worker) report(ctx context.Context, s *server, a *service) (durable bool, err error) {
	rep := laneswap.ErrorReport{Type: "*fs.PathError", Message: fmt.Sprintf("%s fails %d", w.name, w.number), Stack: "main.go:1\n\tmain.main()"}
	a.errors = append(a.errors, laneswap.ErrorRecord{Type: rep.Type, Message: rep.Message, Stack: rep.Stack})
	a.note(a.now().report(), nil, true)
	rec, err := s.client.ReportError(ctx, a.id, rep)
	if err == nil {
		a.errors[len(a.errors)-1].ID = rec.ID
	}
	return w.conclude(a, nil, !rec.NotDurable, err)
}

func (w *worker) remove(ctx context.Context, s *server, a *service) (durable bool, err error) {
	next, tr := a.now().remove()
	a.note(next, tr, true)
	var answer undurable
	err = s.plain(ctx, http.MethodDelete, "/api/services/"+url.PathEscape(string(a.id)), nil, nil, &answer)
	return w.conclude(a, nil, answer.Durable == nil, err)
}

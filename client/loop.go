package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/laneswap/laneswap"
)

// run is the goroutine of the agent. It sends until Close, then the final heartbeat.
func (a *Agent) run() {
	defer close(a.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	owed := false // a heartbeat is due and not delivered
	for a.quit.Err() == nil {
		now := time.Now()
		if a.plan.ticks(now) {
			owed = !a.watchdog || a.ticked.Swap(false)
		}
		a.reportDropped()
		urgent, update := a.pending(owed)
		if a.hurried.Swap(false) {
			a.plan.hurry()
			urgent = true
		}
		if a.plan.free(now) && (urgent || update && a.plan.calm(now)) {
			err := a.deliver(a.quit, &owed)
			if a.quit.Err() == nil {
				a.settle(err)
			}
			continue
		}
		timer.Reset(time.Until(a.plan.wake(urgent, update)))
		select {
		case <-timer.C:
		case <-a.nudge:
		case <-a.quit.Done():
		}
	}
	a.goodbye = failed("close", a.id, a.sendFinal())
}

// pending reports whether something urgent waits to be sent, or an update that can wait a
// moment.
func (a *Agent) pending(owed bool) (urgent, update bool) {
	changes, dirty := a.reports.waiting()
	if a.watchdog && !a.ticked.Load() {
		dirty = false // it would look like a sign of life
	}
	return owed || changes > 0 || !a.known, dirty
}

// settle plans the next attempt after one with this result.
func (a *Agent) settle(err error) {
	a.mu.Lock()
	a.err = err
	a.mu.Unlock()
	now := time.Now()
	if err == nil {
		a.plan.worked(now)
		a.voice.well()
		return
	}
	kind, asked := classify(err)
	switch kind {
	case kindDenied, kindRegistration:
		a.plan.refused(now, max(refusedPause, asked))
	case kindHeartbeat:
		a.plan.refused(now, asked)
	default:
		a.plan.failed(now, asked)
	}
	a.voice.complain(kind, err, now)
}

// reportDropped calls OnError, once, with what the latest report dropped.
func (a *Agent) reportDropped() {
	a.mu.Lock()
	dropped, reported := a.dropped, a.dropReported
	a.dropReported = true
	a.mu.Unlock()
	if dropped != nil && !reported {
		a.voice.complain(kindReport, dropped, time.Now())
	}
}

// deliver sends everything that waits, and the latest state if a heartbeat is owed. It
// registers first if the server may not know the service.
func (a *Agent) deliver(ctx context.Context, owed *bool) (err error) {
	defer func() {
		if p := recover(); p != nil { // a transport of the host's, say
			err = fmt.Errorf("laneswap: heartbeat %q: %w: panic: %v", a.id, laneswap.ErrLaneSwap, p)
		}
	}()
	renewed := false
	for {
		if !a.known {
			if err := a.register(ctx); err != nil {
				return err
			}
		}
		r, ok := a.reports.next(*owed)
		if !ok {
			return nil
		}
		boot, err := a.send(ctx, r)
		if err != nil {
			if !missing(err) || renewed {
				return failed("heartbeat", a.id, err)
			}
			renewed = true
			a.forgotten()
			continue
		}
		if a.reports.sent(r) {
			*owed = false
		}
		if boot != "" && a.boot != "" && boot != a.boot && !renewed {
			// After a restart the server knows the service only if it has stored it.
			renewed = true
			a.forgotten()
		}
	}
}

// forgotten makes the agent register and send everything again.
func (a *Agent) forgotten() {
	a.known = false
	a.reports.renew()
}

func (a *Agent) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	ans, err := a.c.post(ctx, a.reg, true, "return=minimal")
	if err != nil {
		return failed("register", a.id, &registrationError{a.late(ctx, err)})
	}
	a.known, a.boot = true, ans.boot
	a.reports.known()
	return nil
}

// send sends one report. If the server finds it invalid, send repeats it with the status
// alone. It drops a change that is refused even then.
func (a *Agent) send(ctx context.Context, r report) (boot string, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	body := r.body()
	if a.bare > 0 && a.bare == r.number {
		body = r.bare()
	}
	ans, err := a.c.beatEncoded(ctx, a.id, body, "return=minimal")
	if err != nil && invalid(err) {
		a.refused(r, err)
		ans, err = a.c.beatEncoded(ctx, a.id, r.bare(), "return=minimal")
		if err != nil && invalid(err) && r.change {
			return ans.boot, nil
		}
	}
	return ans.boot, a.late(ctx, err)
}

// refused records that the server found a report invalid.
func (a *Agent) refused(r report, err error) {
	a.bare = r.number
	err = failed("heartbeat", a.id, err)
	a.mu.Lock()
	if a.reports.mark() == r.number {
		a.dropped, a.dropReported = err, true
	}
	a.mu.Unlock()
	a.voice.complain(kindHeartbeat, err, time.Now())
}

// late turns the timeout of an attempt into ErrUnreachable.
func (a *Agent) late(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, ErrUnreachable) {
		return &transportError{text: ErrUnreachable.Error() + ": no answer in time", cause: err}
	}
	return err
}

// sendFinal delivers the final heartbeat, and before it the reports that wait.
func (a *Agent) sendFinal() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	changes, dirty := a.reports.waiting()
	owed := true
	if changes > 1 || changes == 1 && dirty {
		half, cancel := context.WithTimeout(ctx, closeTimeout/2)
		err := a.deliver(half, &owed)
		cancel()
		if err == nil {
			a.settle(nil)
			return nil
		}
		a.reports.drop()
		owed = true
	}
	err := a.deliver(ctx, &owed)
	a.settle(err)
	return err
}

// registrationError marks the error of a registration.
type registrationError struct{ error }

func (e *registrationError) Unwrap() error { return e.error }

// classify returns the kind of a failure, and the pause that the server asked for.
func classify(err error) (kind string, asked time.Duration) {
	var refused *ResponseError
	if !errors.As(err, &refused) {
		return kindUnreachable, 0
	}
	switch {
	case refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden:
		return kindDenied, refused.RetryAfter
	case invalid(err) && errors.As(err, new(*registrationError)):
		return kindRegistration, refused.RetryAfter
	case invalid(err):
		return kindHeartbeat, refused.RetryAfter
	}
	return kindServer, refused.RetryAfter
}

// invalid reports whether the server will never accept the request.
func invalid(err error) bool {
	var refused *ResponseError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// missing reports whether the server does not know the service.
func missing(err error) bool {
	var refused *ResponseError
	return errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound
}

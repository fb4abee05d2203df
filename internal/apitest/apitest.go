// Package apitest is the behaviour suite of the verbs of a Manager. It runs against
// the Manager itself, and against the client with a real server.
package apitest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// API has the verbs that *laneswap.Manager and *client.Client share.
type API interface {
	Register(ctx context.Context, reg laneswap.Registration) (laneswap.ServiceStatus, error)
	Beat(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) error
	Report(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error)
	Service(ctx context.Context, id laneswap.ServiceID) (laneswap.ServiceStatus, error)
	Services(ctx context.Context, q laneswap.ServiceQuery) iter.Seq2[laneswap.ServiceStatus, error]
	Summary(ctx context.Context) (laneswap.Summary, error)
	Remove(ctx context.Context, id laneswap.ServiceID) error
	Events(ctx context.Context, q laneswap.EventQuery) iter.Seq2[laneswap.Event, error]
	Watch(ctx context.Context, q laneswap.WatchQuery) (*laneswap.Watcher, error)
	Heartbeats(ctx context.Context, id laneswap.ServiceID) iter.Seq2[laneswap.HeartbeatRecord, error]
	History(ctx context.Context, id laneswap.ServiceID, q laneswap.HistoryQuery) (laneswap.History, error)
	ReportError(ctx context.Context, id laneswap.ServiceID, rep laneswap.ErrorReport) (laneswap.ErrorRecord, error)
	Errors(ctx context.Context, id laneswap.ServiceID, q laneswap.ErrorQuery) iter.Seq2[laneswap.ErrorRecord, error]
	Explain(ctx context.Context, eventID string) (laneswap.Explanation, error)
	Notifiers(ctx context.Context) ([]laneswap.NotifierStatus, error)
	TestNotifier(ctx context.Context, name string) (laneswap.NotifierTest, error)
}

// patience bounds every wait of a test.
const patience = 30 * time.Second

// Open returns an API over a new, started and empty Manager with these options, and
// possibly a storage. It cleans up by itself.
type Open func(t *testing.T, opts ...laneswap.Option) API

// Run runs the suite. The subtests run in parallel.
func Run(t *testing.T, open Open) {
	for _, group := range [][]test{registrationTests, heartbeatTests, serviceTests, eventTests, historyTests, errorTests, watchTests, refusalTests, sameTests, noNotifierTests} {
		for _, test := range group {
			test.start(t, func(r *run) { r.API = open(r.T) })
		}
	}
	for _, test := range notifierTests {
		test.start(t, func(r *run) {
			r.sink = newSink()
			r.API = open(r.T, laneswap.WithNotifier(r.sink), laneswap.WithNotifier(unwilling{}), laneswap.WithGroupWait(0))
		})
	}
}

// test is one behaviour.
type test struct {
	name string
	run  func(r *run)
}

func (test test) start(t *testing.T, prepare func(r *run)) {
	t.Run(test.name, func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		t.Cleanup(cancel)
		r := &run{T: t, ctx: ctx}
		prepare(r)
		test.run(r)
	})
}

// run is one test under way: the test, the API and the context.
type run struct {
	*testing.T
	API
	ctx  context.Context
	sink *sink // the notifier of notifierTests
}

// equal compares values; nil and empty are the same.
func (r *run) equal(what string, got, want any) {
	r.Helper()
	if !Equal(got, want) {
		r.Fatalf("%s:\n got %s\nwant %s", what, show(got), show(want))
	}
}

func (r *run) ok(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// refused requires an error that matches the sentinel, and ErrLaneSwap as every
// refusal does; with a field it must be a *ValidationError that names it.
func (r *run) refused(what string, err, sentinel error, field string) {
	r.Helper()
	if !errors.Is(err, sentinel) {
		r.Fatalf("%s: got error %v, want one that matches %q", what, err, sentinel)
	}
	if !errors.Is(err, laneswap.ErrLaneSwap) {
		r.Fatalf("%s: %v does not match ErrLaneSwap", what, err)
	}
	var invalid *laneswap.ValidationError
	switch {
	case field == "":
	case !errors.As(err, &invalid):
		r.Fatalf("%s: %v is no ValidationError, want one for %q", what, err, field)
	case invalid.Field != field:
		r.Fatalf("%s: the field is %q, want %q (%v)", what, invalid.Field, field, err)
	case invalid.Problem == "":
		r.Fatalf("%s: the problem is empty", what)
	}
}

func (r *run) register(reg laneswap.Registration) laneswap.ServiceStatus {
	r.Helper()
	st, err := r.Register(r.ctx, reg)
	r.ok("register", err)
	return st
}

func (r *run) beat(id laneswap.ServiceID, hb laneswap.Heartbeat) {
	r.Helper()
	r.ok("beat", r.Beat(r.ctx, id, hb))
}

func (r *run) service(id laneswap.ServiceID) laneswap.ServiceStatus {
	r.Helper()
	st, err := r.Service(r.ctx, id)
	r.ok("service", err)
	return st
}

// stale registers a service and waits until it is stale. The watch that shows it
// has then proven itself, too.
func (r *run) stale(reg laneswap.Registration) laneswap.Event {
	r.Helper()
	reg.Interval, reg.StaleAfter = 20*time.Millisecond, 40*time.Millisecond
	st := r.register(reg)
	w, err := r.Watch(r.ctx, laneswap.WatchQuery{Service: st.ID})
	r.ok("watch", err)
	defer w.Close()
	for ev, err := range w.Events() {
		r.ok("waiting for stale", err)
		if ev.To == laneswap.StatusStale {
			return ev
		}
	}
	r.Fatal("the watch ended before the service was stale")
	return laneswap.Event{}
}

// all collects a sequence that must not fail.
func all[T any](r *run, what string, seq iter.Seq2[T, error]) []T {
	r.Helper()
	var out []T
	for v, err := range seq {
		r.ok(what, err)
		out = append(out, v)
	}
	return out
}

// failure returns the error that a sequence ends with: yielded last, once, with
// a zero value.
func failure[T any](r *run, what string, seq iter.Seq2[T, error]) error {
	r.Helper()
	var found error
	for v, err := range seq {
		if found != nil {
			r.Fatalf("%s: something was yielded behind the error %v", what, found)
		}
		if err != nil && !Equal(v, *new(T)) {
			r.Fatalf("%s: %v was yielded with the error %v", what, v, err)
		}
		found = err
	}
	return found
}

// Equal compares deeply; nil and empty slices and maps are the same.
func Equal(a, b any) bool {
	return reflect.DeepEqual(flat(reflect.ValueOf(a)), flat(reflect.ValueOf(b)))
}

var timeType = reflect.TypeFor[time.Time]()

// flat turns a value into maps, slices and scalars without empty ones.
func flat(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	if v.Type() == timeType {
		return v.Interface().(time.Time).Format(time.RFC3339Nano) // the zone too
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return flat(v.Elem())
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			if f := flat(v.Field(i)); f != nil {
				out[v.Type().Field(i).Name] = f
			}
		}
		return out
	case reflect.Map:
		if v.Len() == 0 {
			return nil
		}
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out[k.String()] = flat(v.MapIndex(k))
		}
		return out
	case reflect.Slice:
		if v.Len() == 0 {
			return nil
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = flat(v.Index(i))
		}
		return out
	}
	return v.Interface()
}

func show(v any) string { return fmt.Sprintf("%+v", flat(reflect.ValueOf(v))) }

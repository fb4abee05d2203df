package laneswap_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// fakeNotifier is a notifier whose answers a test decides. It remembers every call, and
// calls the messages that it takes "m1", "m2" and so on.
type fakeNotifier struct {
	name string

	mu            sync.Mutex                             // guards what is below
	answer        func(n laneswap.Notification) error    // nil takes everything
	work          func(ctx context.Context) (over error) // nil takes no time
	deliveries    []delivery
	concurrent    int
	maxConcurrent int // calls at once
	accepted      int // messages taken
}

// delivery is one call of a fakeNotifier.
type delivery struct {
	at   time.Time
	note laneswap.Notification
	err  error
}

func newFakeNotifier() *fakeNotifier { return &fakeNotifier{name: "desk"} }

func (d *fakeNotifier) Name() string { return d.name }

func (d *fakeNotifier) Notify(ctx context.Context, n laneswap.Notification) error {
	d.mu.Lock()
	d.concurrent++
	d.maxConcurrent = max(d.maxConcurrent, d.concurrent)
	v := delivery{at: time.Now(), note: n}
	work, answer := d.work, d.answer
	d.mu.Unlock()
	defer func() { // also when the answer panics
		d.mu.Lock()
		defer d.mu.Unlock()
		d.concurrent--
	}()
	if work != nil {
		v.err = work(ctx)
	}
	if answer != nil && v.err == nil {
		v.err = answer(n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.err == nil {
		d.accepted++
		n.Receipt("m" + strconv.Itoa(d.accepted))
	}
	d.deliveries = append(d.deliveries, v)
	return v.err
}

// answers sets the answer of later calls; nil accepts everything.
func (d *fakeNotifier) answers(answer func(n laneswap.Notification) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

// takes changes how long an answer takes.
func (d *fakeNotifier) takes(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.work = func(ctx context.Context) error {
		select {
		case <-time.After(delay):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// alwaysReturn is an answer that is the same for all.
func alwaysReturn(err error) func(laneswap.Notification) error {
	return func(laneswap.Notification) error { return err }
}

// calls are all calls, and forgets them.
func (d *fakeNotifier) calls() []delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	visits := d.deliveries
	d.deliveries = nil
	return visits
}

// took are the messages that were taken since the last time somebody asked.
func (d *fakeNotifier) took() (notes []laneswap.Notification) {
	for _, v := range d.calls() {
		if v.err == nil {
			notes = append(notes, v.note)
		}
	}
	return notes
}

// one is the only message that was taken since the last time.
func (d *fakeNotifier) one(t *testing.T) laneswap.Notification {
	t.Helper()
	notes := d.took()
	require.Len(t, notes, 1, "messages: %v", texts(notes))
	return notes[0]
}

// requireNoOverlap asserts that no two calls were made at once.
func (d *fakeNotifier) requireNoOverlap(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.LessOrEqual(t, d.maxConcurrent, 1, "calls at once")
}

func texts(notes []laneswap.Notification) (out []string) {
	for _, n := range notes {
		out = append(out, n.Text)
	}
	return out
}

// eventsIn returns the events of messages, in their order.
func eventsIn(notes ...laneswap.Notification) (evs []laneswap.Event) {
	for _, n := range notes {
		for _, item := range n.Items {
			if item.Reminder == 0 {
				evs = append(append(evs, item.Earlier...), item.Event)
			}
		}
	}
	return evs
}

func idsOf(evs []laneswap.Event) (ids []string) {
	for _, ev := range evs {
		ids = append(ids, ev.ID)
	}
	return ids
}

// noticeEventIDs returns the ids of the events that notifiers get, in their order.
func noticeEventIDs(t *testing.T, m *laneswap.Manager, service laneswap.ServiceID) (ids []string) {
	t.Helper()
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{Service: service}) {
		if ev.Kind != laneswap.EventUp && ev.Kind != laneswap.EventUnknown {
			ids = append(ids, ev.ID)
		}
	}
	return ids
}

// servicesIn are the services that messages tell of, each once, sorted.
func servicesIn(notes ...laneswap.Notification) (ids []laneswap.ServiceID) {
	for _, n := range notes {
		for _, item := range n.Items {
			ids = append(ids, item.Event.Service)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// startWithNotifier starts a Manager that sends to d, with the default grouping, and
// stops it with the test.
func startWithNotifier(t *testing.T, d *fakeNotifier, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(append([]laneswap.Option{laneswap.WithNotifier(d)}, opts...)...)
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { _ = m.Stop(context.Background()) })
	return m
}

// trace returns what was decided about an event for d.
func (d *fakeNotifier) trace(t *testing.T, m *laneswap.Manager, event string) laneswap.NoticeTrace {
	t.Helper()
	x, err := m.Explain(t.Context(), event)
	require.NoError(t, err)
	require.Equal(t, event, x.Event.ID)
	for _, tr := range x.Notices {
		if tr.Notifier == d.name {
			return tr
		}
	}
	require.Fail(t, "no trace", "of %s for %s: %+v", event, d.name, x)
	return laneswap.NoticeTrace{}
}

// traceLines is a trace as lines.
func traceLines(tr laneswap.NoticeTrace) (lines []string) {
	for _, s := range tr.Steps {
		lines = append(lines, s.Text)
	}
	return append(lines, "state: "+string(tr.State))
}

// status returns the status of d as the Manager reports it.
func (d *fakeNotifier) status(t *testing.T, m *laneswap.Manager) laneswap.NotifierStatus {
	t.Helper()
	all, err := m.Notifiers(t.Context())
	require.NoError(t, err)
	for _, s := range all {
		if s.Name == d.name {
			return s
		}
	}
	require.Fail(t, "no such notifier")
	return laneswap.NotifierStatus{}
}

// errAway is the error of a receiver that cannot be reached.
var errAway = errors.New("no answer")

// startUngrouped starts a Manager that gathers nothing.
func startUngrouped(t *testing.T, d *fakeNotifier, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	return startWithNotifier(t, d, ungrouped(opts...)...)
}

// namedNotifier is a notifier with a name of its own. While it hangs, each call
// blocks until its context ends.
type namedNotifier struct {
	recorder
	name  string
	hangs atomic.Bool
}

func (p *namedNotifier) Name() string { return p.name }

func (p *namedNotifier) Notify(ctx context.Context, n laneswap.Notification) error {
	if p.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return p.recorder.Notify(ctx, n)
}

// ids returns the ids of the events that were sent.
func (p *namedNotifier) ids() (ids []string) {
	for _, ev := range p.events() {
		ids = append(ids, ev.ID)
	}
	return ids
}

func newHangingNotifier(name string) *namedNotifier {
	p := &namedNotifier{name: name}
	p.hangs.Store(true)
	return p
}

// recorder is a notifier that remembers.
type recorder struct {
	mu    sync.Mutex
	notes []laneswap.Notification
}

func (r *recorder) Notify(_ context.Context, n laneswap.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, n)
	return nil
}

func (r *recorder) texts() (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.notes {
		texts = append(texts, n.Text)
	}
	return texts
}

// events returns the events of all messages, in their order.
func (r *recorder) events() (evs []laneswap.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.notes {
		for _, item := range n.Items {
			evs = append(append(evs, item.Earlier...), item.Event)
		}
	}
	return evs
}

func (r *recorder) kinds() (kinds []laneswap.EventKind) {
	for _, ev := range r.events() {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

// of returns those of some events of a service that were sent, each once, in the
// order in which they were sent first.
func (r *recorder) of(id laneswap.ServiceID, among []string) (told []string) {
	for _, event := range r.events() {
		ev := event.ID + event.At.String()
		if event.Service == id && slices.Contains(among, ev) && !slices.Contains(told, ev) {
			told = append(told, ev)
		}
	}
	return told
}

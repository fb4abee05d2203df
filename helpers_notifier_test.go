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

// desk is a notifier whose answers a test decides. It remembers every call, and
// calls the messages that it takes "m1", "m2" and so on.
type desk struct {
	name string

	mu     sync.Mutex                             // guards what is below
	answer func(n laneswap.Notification) error    // nil takes everything
	work   func(ctx context.Context) (over error) // nil takes no time
	visits []visit
	inside int
	most   int // calls at once
	gave   int // messages taken
}

// visit is one call of a desk.
type visit struct {
	at   time.Time
	note laneswap.Notification
	err  error
}

func newDesk() *desk { return &desk{name: "desk"} }

func (d *desk) Name() string { return d.name }

func (d *desk) Notify(ctx context.Context, n laneswap.Notification) error {
	d.mu.Lock()
	d.inside++
	d.most = max(d.most, d.inside)
	v := visit{at: time.Now(), note: n}
	work, answer := d.work, d.answer
	d.mu.Unlock()
	defer func() { // also when the answer panics
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inside--
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
		d.gave++
		n.Receipt("m" + strconv.Itoa(d.gave))
	}
	d.visits = append(d.visits, v)
	return v.err
}

// says changes what the desk answers; nil takes everything.
func (d *desk) says(answer func(n laneswap.Notification) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

// takes changes how long an answer takes.
func (d *desk) takes(delay time.Duration) {
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

// always is an answer that is the same for all.
func always(err error) func(laneswap.Notification) error {
	return func(laneswap.Notification) error { return err }
}

// calls are all calls, and forgets them.
func (d *desk) calls() []visit {
	d.mu.Lock()
	defer d.mu.Unlock()
	visits := d.visits
	d.visits = nil
	return visits
}

// took are the messages that were taken since the last time somebody asked.
func (d *desk) took() (notes []laneswap.Notification) {
	for _, v := range d.calls() {
		if v.err == nil {
			notes = append(notes, v.note)
		}
	}
	return notes
}

// one is the only message that was taken since the last time.
func (d *desk) one(t *testing.T) laneswap.Notification {
	t.Helper()
	notes := d.took()
	require.Len(t, notes, 1, "messages: %v", texts(notes))
	return notes[0]
}

// alone asserts that no two calls were made at once.
func (d *desk) alone(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.LessOrEqual(t, d.most, 1, "calls at once")
}

func texts(notes []laneswap.Notification) (out []string) {
	for _, n := range notes {
		out = append(out, n.Text)
	}
	return out
}

// eventsIn are the events of messages, in the order in which they are told.
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

// noticesOf are the ids of the events that people are told of, in their order.
func noticesOf(t *testing.T, m *laneswap.Manager, service laneswap.ServiceID) (ids []string) {
	t.Helper()
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{Service: service}) {
		if ev.Kind != laneswap.EventUp && ev.Kind != laneswap.EventUnknown {
			ids = append(ids, ev.ID)
		}
	}
	return ids
}

// namesIn are the services that messages tell of, each once, sorted.
func namesIn(notes ...laneswap.Notification) (ids []laneswap.ServiceID) {
	for _, n := range notes {
		for _, item := range n.Items {
			ids = append(ids, item.Event.Service)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// open starts a Manager with the defaults of notices, for a desk, and stops it
// with the test.
func open(t *testing.T, d *desk, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(append([]laneswap.Option{laneswap.WithNotifier(d)}, opts...)...)
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { _ = m.Stop(context.Background()) })
	return m
}

// trace is what was decided about an event for the desk.
func (d *desk) trace(t *testing.T, m *laneswap.Manager, event string) laneswap.NoticeTrace {
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

// story is a trace as lines.
func story(tr laneswap.NoticeTrace) (lines []string) {
	for _, s := range tr.Steps {
		lines = append(lines, s.Text)
	}
	return append(lines, "state: "+string(tr.State))
}

// status is how the desk stands.
func (d *desk) status(t *testing.T, m *laneswap.Manager) laneswap.NotifierStatus {
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

// errAway is what a receiver answers that cannot be reached.
var errAway = errors.New("no answer")

// tellsAtOnce starts a Manager that gathers nothing.
func tellsAtOnce(t *testing.T, d *desk, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	return open(t, d, atOnce(opts...)...)
}

// people is a notifier with a name of its own. While it is deaf it takes nothing
// until it is given up.
type people struct {
	recorder
	name string
	deaf atomic.Bool
}

func (p *people) Name() string { return p.name }

func (p *people) Notify(ctx context.Context, n laneswap.Notification) error {
	if p.deaf.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return p.recorder.Notify(ctx, n)
}

// ids are the events that were told.
func (p *people) ids() (ids []string) {
	for _, ev := range p.events() {
		ids = append(ids, ev.ID)
	}
	return ids
}

func deafPeople(name string) *people {
	p := &people{name: name}
	p.deaf.Store(true)
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

// events are those that were told, in whatever messages.
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

// of are those of some events of a service that were told, each once, in the order
// in which they were told first.
func (r *recorder) of(id laneswap.ServiceID, among []string) (told []string) {
	for _, event := range r.events() {
		ev := event.ID + event.At.String()
		if event.Service == id && slices.Contains(among, ev) && !slices.Contains(told, ev) {
			told = append(told, ev)
		}
	}
	return told
}

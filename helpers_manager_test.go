package laneswap_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// atOnce has every notice told at once and by itself, unless opts say otherwise.
func atOnce(opts ...laneswap.Option) []laneswap.Option {
	return append([]laneswap.Option{laneswap.WithGroupWait(0), laneswap.WithFlapLimit(0)}, opts...)
}

// started makes a Manager that tells everything at once, starts it and stops it with
// the test.
func started(t *testing.T, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(atOnce(opts...)...)
	require.NoError(t, m.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, m.Stop(context.Background())) })
	return m
}

// register registers a service by its id.
func register(t *testing.T, m *laneswap.Manager, reg laneswap.Registration) *laneswap.Handle {
	t.Helper()
	st, err := m.Register(t.Context(), reg)
	require.NoError(t, err)
	h, err := m.Handle(st.ID)
	require.NoError(t, err)
	return h
}

// statusOf asks how a service stands.
func statusOf(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID) laneswap.ServiceStatus {
	t.Helper()
	st, err := m.Service(t.Context(), id)
	require.NoError(t, err)
	return st
}

// eventsOf collects the events that are kept.
func eventsOf(t *testing.T, m *laneswap.Manager, q laneswap.EventQuery) (evs []laneswap.Event) {
	t.Helper()
	for ev, err := range m.Events(t.Context(), q) {
		require.NoError(t, err)
		evs = append(evs, ev)
	}
	return evs
}

// kindsOf collects the kinds of the events that are kept.
func kindsOf(t *testing.T, m *laneswap.Manager) (kinds []laneswap.EventKind) {
	t.Helper()
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
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

const window = laneswap.DefaultStaleThreshold

// nap is enough for the loop to pass a deadline that is reached now.
const nap = time.Millisecond

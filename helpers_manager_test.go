package laneswap_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// ungrouped are options that send every notice at once and by itself; opts override
// them.
func ungrouped(opts ...laneswap.Option) []laneswap.Option {
	return append([]laneswap.Option{laneswap.WithGroupWait(0), laneswap.WithFlapLimit(0)}, opts...)
}

// started makes a Manager that tells everything at once, starts it and stops it with
// the test.
func started(t *testing.T, opts ...laneswap.Option) *laneswap.Manager {
	t.Helper()
	m := laneswap.NewManager(ungrouped(opts...)...)
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

func beats(n int) laneswap.Threshold { return laneswap.Threshold{Beats: n} }

func forTime(d time.Duration) laneswap.Threshold { return laneswap.Threshold{For: d} }

// reportEach has a service report statuses, ten seconds apart.
func reportEach(t *testing.T, h *laneswap.Handle, statuses ...laneswap.Status) {
	t.Helper()
	for _, s := range statuses {
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: s}))
		time.Sleep(10 * time.Second)
	}
}

const (
	bad  = laneswap.StatusError
	good = laneswap.StatusHealthy
)

// registerMany registers services without a deadline, which have beaten.
func registerMany(t *testing.T, m *laneswap.Manager, n int) []*laneswap.Handle {
	t.Helper()
	handles := make([]*laneswap.Handle, n)
	for i := range handles {
		handles[i] = registerHealthy(t, m, nthID(i))
	}
	return handles
}

// reportAll has services report a status at once.
func reportAll(t *testing.T, handles []*laneswap.Handle, status laneswap.Status) {
	t.Helper()
	for _, h := range handles {
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: status}))
	}
}

// errorsOf collects the errors that a service has reported.
func errorsOf(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID, q laneswap.ErrorQuery) (recs []laneswap.ErrorRecord) {
	t.Helper()
	for rec, err := range m.Errors(t.Context(), id, q) {
		require.NoError(t, err)
		recs = append(recs, rec)
	}
	return recs
}

// reportError reports an error of a service.
func reportError(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID, rep laneswap.ErrorReport) laneswap.ErrorRecord {
	t.Helper()
	rec, err := m.ReportError(t.Context(), id, rep)
	require.NoError(t, err)
	return rec
}

// registerHealthy registers a service without a deadline, which has beaten.
func registerHealthy(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID) *laneswap.Handle {
	t.Helper()
	h := register(t, m, laneswap.Registration{ID: id, NoDeadline: true})
	h.Beat()
	return h
}

// historyOf asks for the history of a service.
func historyOf(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID, q laneswap.HistoryQuery) laneswap.History {
	t.Helper()
	h, err := m.History(t.Context(), id, q)
	require.NoError(t, err)
	return h
}

// alternateHourly has a service be good and bad in turns, an hour each.
func alternateHourly(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID, times int) {
	t.Helper()
	require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id, NoDeadline: true}, laneswap.Heartbeat{}))
	for n := range times {
		time.Sleep(time.Hour)
		_, err := m.Report(t.Context(), id, laneswap.Heartbeat{Status: []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy}[n%2], Message: fmt.Sprint("turn ", n)})
		require.NoError(t, err)
	}
}

// logBuffer is a writer that remembers, for several loggers at once.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// handleOf is the handle of a service that is there.
func handleOf(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID) *laneswap.Handle {
	t.Helper()
	h, err := m.Handle(id)
	require.NoError(t, err)
	return h
}

// beatAll has services beat every second for a while.
func beatAll(handles []*laneswap.Handle, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		for _, h := range handles {
			h.Beat()
		}
	}
}

func nthID(n int) laneswap.ServiceID { return laneswap.ServiceID(fmt.Sprint("svc", n)) }

// kill ends a run as kill -9 does, where its storage is dead already.
func (r *run) kill() { r.crash(newCrashStorage(nil)) }

// run is one life of a Manager on a storage.
type run struct {
	*laneswap.Manager
	stopped bool
}

// startWithStorage starts a Manager on a storage. The test ends it by stop or crash.
func startWithStorage(t *testing.T, s laneswap.Storage, opts ...laneswap.Option) *run {
	t.Helper()
	r := &run{Manager: laneswap.NewManager(append(ungrouped(laneswap.WithStorage(s)), opts...)...)}
	require.NoError(t, r.Start(t.Context()))
	t.Cleanup(func() {
		if !r.stopped {
			_ = r.Stop(context.Background())
		}
	})
	return r
}

func (r *run) stop(t *testing.T) {
	t.Helper()
	r.stopped = true
	require.NoError(t, r.Stop(context.Background()))
}

// crash ends a run as kill -9 does: nothing is stored any more.
func (r *run) crash(s *crashStorage) {
	close(s.crashed)
	r.stopped = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.Stop(ctx)
}

// lastEvent is the latest event that is kept.
func lastEvent(t *testing.T, m *laneswap.Manager) laneswap.Event {
	t.Helper()
	evs := eventsOf(t, m, laneswap.EventQuery{})
	require.NotEmpty(t, evs)
	return evs[len(evs)-1]
}

func countKind(kinds []laneswap.EventKind, kind laneswap.EventKind) (n int) {
	for _, k := range kinds {
		if k == kind {
			n++
		}
	}
	return n
}

// alternate makes n events of a registered service.
func alternate(t *testing.T, h *laneswap.Handle, n int) {
	t.Helper()
	for i := range n {
		status := laneswap.StatusHealthy
		if i%2 == 1 {
			status = laneswap.StatusError
		}
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: status}))
	}
}

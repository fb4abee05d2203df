package laneswap_test

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// A recovery that waited for its threshold is told, or given up, when the service
// was removed while the notifier was not there.
func TestAddNotifier_delayedRecoveryOfARemovedService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", RecoverAfter: beats(3)})
		reportEach(t, h, good, bad, good)
		require.Len(t, d.took(), 1)
		m.crash(s)
		m = startWithStorage(t, disk)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		require.NoError(t, m.AddNotifier(d))
		time.Sleep(time.Hour)
		require.Len(t, d.took(), 1, "who was told that it is bad is told that this is over")
		require.Zero(t, pendingNotices(t, disk))
		m.stop(t)
	})
}

// A recovery that waited for its threshold is not told of a service that has turned
// bad again meanwhile.
func TestAddNotifier_delayedRecoveryOfAServiceBadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, RecoverAfter: beats(3)})
		reportEach(t, h, good, bad, good)
		require.Len(t, d.took(), 1)
		m.crash(s)
		m = startWithStorage(t, disk)
		reportEach(t, handleOf(t, m.Manager, "svc"), bad)
		require.NoError(t, m.AddNotifier(d))
		time.Sleep(time.Hour)
		for _, n := range d.took() {
			require.NotEqual(t, laneswap.EventRecovered, n.Event.Kind, "it is bad: %s", n.Text)
		}
		reportEach(t, handleOf(t, m.Manager, "svc"), good, good, good)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		m.stop(t)
	})
}

// The recovery is sent however much happened while the notifier was missing.
func TestAddNotifier_getsTheRecoveryAfterManyChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		require.Len(t, d.took(), 1)
		m.crash(s)
		m = startWithStorage(t, disk)
		for range 8 {
			reportEach(t, handleOf(t, m.Manager, "svc"), good, bad)
		}
		reportEach(t, handleOf(t, m.Manager, "svc"), good)
		require.NoError(t, m.AddNotifier(d))
		time.Sleep(time.Hour)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		require.Zero(t, pendingNotices(t, disk))
		m.stop(t)
	})
}

// The same of a service that was removed while the notifier was not there: nobody is
// left with an alarm.
func TestAddNotifier_getsTheEndOfARemovedService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		require.Len(t, d.took(), 1)
		m.crash(s)
		m = startWithStorage(t, disk)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		require.NoError(t, m.AddNotifier(d))
		time.Sleep(time.Hour)
		require.Zero(t, pendingNotices(t, disk))
		t.Log(texts(d.took()))
		m.stop(t)
	})
}

// A verdict about a typed nil is one too.
func TestNotifier_verdictOnTypedNilDoesNotPanic(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(error) error{
		"later": func(err error) error { return laneswap.RetryAfter(err, time.Second) }, "refused": laneswap.Refused, "permanent": laneswap.Permanent,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				d.answers(func(laneswap.Notification) error {
					var err *url.Error
					return wrap(err)
				})
				m := startWithNotifier(t, d, laneswap.WithGroupWait(0), laneswap.WithLogger(slog.New(slog.DiscardHandler)))
				reportEach(t, registerHealthy(t, m, "svc"), bad)
				require.NotEmpty(t, d.calls())
				_, err := m.TestNotifier(t.Context(), "desk")
				require.NoError(t, err)
			})
		})
	}
}

// A blocking logger does not stop the watching.
func TestNotices_blockingLoggerStopsNothing(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		m.crash(s)
		free := make(chan struct{})
		log := slog.New(&stuckHandler{free})
		m = startWithStorage(t, disk, laneswap.WithLogger(log))
		h := register(t, m.Manager, laneswap.Registration{ID: "watched", Interval: 24 * time.Hour, StaleAfter: 25 * time.Hour})
		h.Beat()
		time.Sleep(26 * time.Hour)
		var kinds []laneswap.EventKind
		for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: "watched"}) {
			kinds = append(kinds, ev.Kind)
		}
		_ = m.Health()
		evs := 0
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		_ = w.Close()
		_ = evs
		close(free)
		require.Contains(t, kinds, laneswap.EventDown)
		m.stop(t)
	})
}

// stuckHandler blocks on errors until it is freed.
type stuckHandler struct{ free chan struct{} }

func (h *stuckHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *stuckHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		<-h.free
	}
	return nil
}
func (h *stuckHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *stuckHandler) WithGroup(string) slog.Handler      { return h }

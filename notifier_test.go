package laneswap_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestNotifier_getsEventsInOrderButNoFirstGoodBeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		m := started(t, laneswap.WithNotifier(rec))
		h := register(t, m, laneswap.Registration{ID: "billing@web", Name: "Billing"})
		h.Beat()
		time.Sleep(window + 90*time.Second)
		h.Beat()
		synctest.Wait()
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk\nfull"}))
		time.Sleep(time.Second)
		h.Beat()
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusUnknown}))
		h.Beat()
		synctest.Wait()
		require.Equal(t, []string{
			"Billing (billing@web) is stale, was healthy, silent since 2000-01-01T00:00:00Z for 1m0s",
			"Billing (billing@web) recovered and is healthy after 1m30s, since 2000-01-01T00:01:00Z (it was: silent for longer than 1m0s)",
			"Billing (billing@web) is error, was healthy: disk full",
			"Billing (billing@web) recovered and is healthy after 1s, since 2000-01-01T00:02:30Z (it was: reported error: disk full)",
		}, rec.texts())
	})
}

func TestNotifier_blockingOneDelaysNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var logged bytes.Buffer
		stuck := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { <-release; return nil })
		panicking := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { panic("oh no") })
		failing := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { return errors.New("refused") })
		rec := &recorder{}
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(stuck), laneswap.WithNotifier(panicking), laneswap.WithNotifier(failing), laneswap.WithNotifier(rec),
			laneswap.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))...)
		require.NoError(t, m.Start(t.Context()))
		h := register(t, m, laneswap.Registration{ID: "svc"})
		before := time.Now()
		alternate(t, h, 1001)
		require.Equal(t, before, time.Now(), "not a moment passed")
		synctest.Wait()
		require.Len(t, rec.kinds(), 1000)
		require.Contains(t, logged.String(), "oh no")
		require.Contains(t, logged.String(), "refused")
		close(release)
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier, "two of them never took anything")
	})
}

// What a notifier panics with may be the error of a request, with the URL in it.
func TestNotifier_textOfAPanicIsNotLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		cause := &url.Error{Op: "Post", URL: "https://hooks.example/canary", Err: errors.New("away")}
		panicking := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { panic(cause) })
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(panicking), laneswap.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))...)
		require.NoError(t, m.Start(t.Context()))
		require.NoError(t, register(t, m, laneswap.Registration{ID: "svc"}).Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
		synctest.Wait()
		require.Contains(t, logged.String(), "panic=*url.Error")
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier)
		require.NotContains(t, logged.String(), "canary")
	})
}

func TestNotifier_addedWhileRunningGetsWhatFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc"})
		alternate(t, h, 4)
		rec := &recorder{}
		require.NoError(t, m.AddNotifier(rec))
		require.ErrorIs(t, m.AddNotifier(nil), laneswap.ErrNotifier)
		h.Beat()
		synctest.Wait()
		require.Equal(t, []laneswap.EventKind{"recovered"}, rec.kinds())
	})
}

func TestNotifier_stopDeliversPendingWithinItsBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		slow := laneswap.NotifierFunc(func(ctx context.Context, n laneswap.Notification) error {
			time.Sleep(100 * time.Millisecond)
			return rec.Notify(ctx, n)
		})
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(slow))...)
		require.NoError(t, m.Start(t.Context()))
		alternate(t, register(t, m, laneswap.Registration{ID: "svc"}), 51)
		require.NoError(t, m.Stop(context.Background()))
		require.Len(t, rec.kinds(), 50)
	})
}

func TestNotifier_ignoringItsContextDoesNotBlockStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		stuck := laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error { <-release; return nil })
		obedient := laneswap.NotifierFunc(func(ctx context.Context, _ laneswap.Notification) error { <-ctx.Done(); return ctx.Err() })
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(obedient), laneswap.WithNotifier(stuck))...)
		require.NoError(t, m.Start(t.Context()))
		alternate(t, register(t, m, laneswap.Registration{ID: "svc"}), 2)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		before := time.Now()
		require.ErrorIs(t, m.Stop(ctx), laneswap.ErrNotifier)
		require.LessOrEqual(t, time.Since(before), 5*time.Second)
	})
}

func TestNotifier_contextEndsAfterHalfAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		var waited time.Duration
		m := started(t, laneswap.WithNotifier(laneswap.NotifierFunc(func(ctx context.Context, n laneswap.Notification) error {
			if waited == 0 {
				before := time.Now()
				<-ctx.Done()
				waited = time.Since(before)
				return ctx.Err()
			}
			return rec.Notify(ctx, n)
		})))
		alternate(t, register(t, m, laneswap.Registration{ID: "svc"}), 3)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 30*time.Second, waited)
		require.Equal(t, []laneswap.EventKind{"down", "recovered"}, rec.kinds(), "it is tried again, with what followed")
	})
}

// Silence before Start makes no service stale: LaneSwap was not watching.
func TestManager_startIsAnAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		register(t, m, laneswap.Registration{ID: "svc"}).Beat()
		time.Sleep(10 * time.Minute)
		require.NoError(t, m.Start(t.Context()))
		time.Sleep(window)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "svc").Status)
		time.Sleep(moment)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "svc").Status)
		require.NoError(t, m.Stop(context.Background()))
	})
}

// nameless panics when it is asked for its name.
type nameless struct{ laneswap.NotifierFunc }

func (nameless) Name() string { panic("no name") }

func TestNotifier_mayMisbehaveInEveryWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, calls := 0, 0
		m := started(t, laneswap.WithNotifier(nameless{func(_ context.Context, n laneswap.Notification) error {
			if calls++; calls == 1 {
				runtime.Goexit() // as a failing test does
			}
			told += len(n.Items[0].Earlier) + 1
			return nil
		}}))
		alternate(t, register(t, m, laneswap.Registration{ID: "x"}), 7)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 6, told)
		require.Equal(t, 2, calls)
	})
}

func TestNotifier_getsNoReportedUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		m := started(t, laneswap.WithNotifier(rec))
		h := register(t, m, laneswap.Registration{ID: "x"})
		h.Beat()
		time.Sleep(2 * window)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusUnknown}))
		synctest.Wait()
		require.Equal(t, []laneswap.EventKind{"down"}, rec.kinds())
	})
}

package laneswap_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestPulse_beatsUntilTheContextEndsAndSaysGoodbye(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		for id, every := range map[laneswap.ServiceID]laneswap.Registration{
			"interval": {Interval: 10 * time.Second}, "window": {StaleAfter: 30 * time.Second}, "default": {}, "none": {NoDeadline: true},
		} {
			every.ID = id
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- laneswap.Pulse(ctx, m, every) }()
			time.Sleep(59 * time.Second)
			st := statusOf(t, m, id)
			require.Equal(t, laneswap.StatusHealthy, st.Status)
			require.EqualValues(t, map[laneswap.ServiceID]uint64{"interval": 6, "window": 6, "default": 3, "none": 3}[id], st.Beats, id)
			cancel()
			require.NoError(t, <-done)
			require.Equal(t, laneswap.StatusShutdown, statusOf(t, m, id).Status)
		}
		require.Equal(t, []laneswap.EventKind{"up", "up", "up", "up"}, kindsOf(t, m))
	})
}

func TestPulse_registersAgainWhatWasRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- laneswap.Pulse(ctx, m, laneswap.Registration{Name: "made up", Interval: 10 * time.Second})
		}()
		synctest.Wait()
		var id laneswap.ServiceID
		for st := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
			id = st.ID
		}
		require.NoError(t, m.Remove(t.Context(), id))
		time.Sleep(11 * time.Second)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, id).Status)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestPulse_returnsWhatCannotGetBetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		require.NoError(t, m.Start(t.Context()))
		require.ErrorIs(t, laneswap.Pulse(t.Context(), m, laneswap.Registration{}), laneswap.ErrInvalidRegistration)
		done := make(chan error, 1)
		go func() { done <- laneswap.Pulse(t.Context(), m, laneswap.Registration{ID: "svc"}) }()
		synctest.Wait()
		require.NoError(t, m.Stop(t.Context()))
		require.ErrorIs(t, <-done, laneswap.ErrStopped)
	})
}

func TestWatchdog_beatsOnlyWhileTheLoopTicks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		ctx, cancel := context.WithCancel(t.Context())
		dog := laneswap.NewWatchdog(m, laneswap.Registration{ID: "loop", Interval: 10 * time.Second})
		done := make(chan error, 1)
		go func() { done <- dog.Run(ctx) }()
		for range 100 {
			dog.Tick()
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "loop").Status)
		time.Sleep(window + 10*time.Second) // the loop hangs; the process lives
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "loop").Status)
		dog.Tick()
		time.Sleep(11 * time.Second)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "loop").Status)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestWrap_reportsBusyThenTheOutcomeAndHowLongItTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		register(t, m, laneswap.Registration{ID: "job"})
		var during laneswap.Status
		fail := errors.New("no space left")
		var outcome error
		job := laneswap.Wrap(m, "job", func(context.Context) error {
			during = statusOf(t, m, "job").Status
			time.Sleep(1500 * time.Millisecond)
			return outcome
		}, laneswap.WithSuccessStatus(laneswap.StatusIdle))
		require.NoError(t, job(t.Context()))
		require.Equal(t, laneswap.StatusBusy, during)
		st := statusOf(t, m, "job")
		require.Equal(t, laneswap.StatusIdle, st.Status)
		require.Equal(t, 1.5, st.Metadata["execution_time"])

		outcome = fail
		require.Same(t, fail, job(t.Context()))
		st = statusOf(t, m, "job")
		require.Equal(t, laneswap.StatusError, st.Status)
		require.Equal(t, "no space left", st.Message)

		require.Same(t, fail, job(t.Context()))
		require.Equal(t, laneswap.StatusError, during, "a failing job does not look recovered each time it starts")
		outcome = nil
		require.NoError(t, job(t.Context()))
		require.Equal(t, []laneswap.EventKind{"up", "down", "recovered"}, kindsOf(t, m))
	})
}

func TestWrap_reportsAPanicAndPanicsOn(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "job"})
	job := laneswap.Wrap(m, "job", func(context.Context) error { panic("boom") })
	require.PanicsWithValue(t, "boom", func() { _ = job(t.Context()) })
	st := statusOf(t, m, "job")
	require.Equal(t, laneswap.StatusError, st.Status)
	require.Equal(t, "panic: boom", st.Message)
}

func TestWrap_goroutineThatExitsIsAnError(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "job"})
	job := laneswap.Wrap(m, "job", func(context.Context) error { runtime.Goexit(); return nil })
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = job(t.Context())
	}()
	<-done
	require.Equal(t, laneswap.StatusError, statusOf(t, m, "job").Status)
}

func TestWrap_canceledIsNoFailureAndIsStillReported(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "job"})
	ctx, cancel := context.WithCancel(t.Context())
	job := laneswap.Wrap(m, "job", func(ctx context.Context) error { cancel(); return ctx.Err() })
	require.ErrorIs(t, job(ctx), context.Canceled)
	require.Equal(t, laneswap.StatusIdle, statusOf(t, m, "job").Status)
}

func TestWrap_failingHeartbeatsDoNotAffectTheFunction(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	var errs []error
	job := laneswap.Wrap(m, "absent", func(context.Context) error { return nil }, laneswap.WithBeatError(func(err error) { errs = append(errs, err) }))
	require.NoError(t, job(t.Context()))
	require.Len(t, errs, 3)
	for _, err := range errs {
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	}
}

func TestWrap_messageTooLongIsCutOrLeftOut(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{4096: 4096, 100: 0} {
		m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{MessageBytes: limit}))
		register(t, m, laneswap.Registration{ID: "job"})
		job := laneswap.Wrap(m, "job", func(context.Context) error { return errors.New(strings.Repeat("x", 10_000)) })
		require.Error(t, job(t.Context()))
		st := statusOf(t, m, "job")
		require.Equal(t, laneswap.StatusError, st.Status)
		require.Len(t, st.Message, want)
	}
}

// hanging is a monitor that answers nothing.
type hanging struct{ laneswap.Beater }

func (hanging) Service(ctx context.Context, _ laneswap.ServiceID) (laneswap.ServiceStatus, error) {
	<-ctx.Done()
	return laneswap.ServiceStatus{}, ctx.Err()
}

func (hanging) Beat(ctx context.Context, _ laneswap.ServiceID, _ laneswap.Heartbeat) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestWrap_isNotBlockedByAHangingMonitor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var began time.Duration
		job := laneswap.Wrap(hanging{}, "x", func(context.Context) error { began = time.Since(start); return nil }, laneswap.WithBeatError(nil))
		require.NoError(t, job(t.Context()))
		require.LessOrEqual(t, began, 4*time.Second)
	})
}

// careless is an error that cannot stand being nil.
type careless struct{ text string }

func (c *careless) Error() string { return c.text }

func TestWrap_survivesANilPointerAsError(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "job"})
	job := laneswap.Wrap(m, "job", func(context.Context) error { var c *careless; return c })
	require.NotPanics(t, func() { _ = job(t.Context()) })
	require.Equal(t, laneswap.StatusError, statusOf(t, m, "job").Status)
}

func TestWatchdog_followsALoopThatIsALittleUneven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		ctx, cancel := context.WithCancel(t.Context())
		dog := laneswap.NewWatchdog(m, laneswap.Registration{ID: "loop", Interval: 10 * time.Second, StaleAfter: 15 * time.Second})
		done := make(chan error, 1)
		go func() { done <- dog.Run(ctx) }()
		synctest.Wait()
		start := time.Now()
		for i := range 20 { // late by 0.2 s every other time
			time.Sleep(time.Duration(i)*10*time.Second + time.Duration(i%2)*200*time.Millisecond - time.Since(start))
			dog.Tick()
		}
		require.Equal(t, []laneswap.EventKind{"up"}, kindsOf(t, m))
		cancel()
		require.NoError(t, <-done)
	})
}

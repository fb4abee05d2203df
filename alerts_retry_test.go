package laneswap_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestRetry_pausesGrowToFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startUngrouped(t, d)
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		time.Sleep(6 * time.Hour)
		calls := d.calls()
		require.InDelta(t, 6*60/5+8, len(calls), 20)
		for i := range calls[1:] {
			pause := calls[i+1].at.Sub(calls[i].at)
			expected := min(time.Second<<min(i, 20), 5*time.Minute)
			require.GreaterOrEqual(t, pause, expected*8/10, "pause %d", i)
			require.LessOrEqual(t, pause, expected*12/10, "pause %d", i)
			require.Equal(t, i+2, calls[i+1].note.Attempt)
		}
		s := d.status(t, m)
		require.Equal(t, laneswap.NotifierRetrying, s.State)
		require.Equal(t, 1, s.Waiting)
		require.Equal(t, errAway.Error(), s.LastError)
		require.True(t, s.LastErrorAt.Equal(calls[len(calls)-1].at.Truncate(time.Millisecond)))
		require.True(t, s.RetryAt.After(time.Now()))
		require.True(t, s.Oldest.Equal(lastEvent(t, m).At))
		d.answers(nil)
		time.Sleep(6 * time.Minute)
		require.Len(t, d.took(), 1)
		s = d.status(t, m)
		require.Equal(t, laneswap.NotifierOK, s.State)
		require.Zero(t, s.RetryAt)
		require.Zero(t, s.Waiting)
		require.Zero(t, s.Oldest)
		require.Equal(t, uint64(1), s.Sent)
	})
}

func TestRetry_expiresVisiblyAfterADay(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for name, storage := range map[string]laneswap.Storage{"memory": nil, "stored": memorystore.New()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, logged := newFakeNotifier(), &logBuffer{}
				d.answers(alwaysReturn(errAway))
				opts := []laneswap.Option{laneswap.WithLogger(slog.New(slog.NewTextHandler(logged, nil)))}
				if storage != nil {
					opts = append(opts, laneswap.WithStorage(storage))
				}
				m := startUngrouped(t, d, opts...)
				h := registerHealthy(t, m, "svc")
				reportEach(t, h, bad)
				began := lastEvent(t, m).At
				time.Sleep(23*time.Hour + 50*time.Minute)
				require.Zero(t, d.status(t, m).Dead)
				time.Sleep(10 * time.Minute)
				calls := d.calls()
				require.InDelta(t, 24*time.Hour.Seconds(), calls[len(calls)-1].at.Sub(began).Seconds(), 6*60, "it was tried to the end")
				s := d.status(t, m)
				require.Equal(t, uint64(1), s.Dead)
				require.Zero(t, s.Waiting)
				id := noticeEventIDs(t, m, "svc")[0]
				require.Contains(t, logged.String(), "notice dropped")
				require.Contains(t, logged.String(), id)
				tr := d.trace(t, m, id)
				require.Equal(t, laneswap.NoticeDead, tr.State)
				require.Equal(t, len(calls), tr.Attempts)
				require.Equal(t, "dropped: not delivered within 24 hours", tr.Steps[len(tr.Steps)-1].Text)
				require.Len(t, tr.Steps, 16, "the first and the last of some hundred")
				require.Contains(t, tr.Steps[0].Text, "attempt 1 failed: no answer; next attempt at 00:00:0")
				require.Contains(t, tr.Steps[7].Text, "attempt 8 failed")
				for i := range tr.Steps[1:] {
					require.False(t, tr.Steps[i+1].At.Before(tr.Steps[i].At))
				}
				time.Sleep(time.Hour)
				require.Empty(t, d.calls(), "nothing is owed")
				d.answers(nil)
				h.Beat()
				time.Sleep(time.Minute)
				require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind, "what follows is told")
			})
		})
	}
}

func TestRetryAfter_isObeyedAndNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := registerHealthy(t, m, "svc")
		slowDown := laneswap.RetryAfter(errors.New("429 too many requests"), 40*time.Second)
		d.answers(alwaysReturn(slowDown))
		reportEach(t, h, bad)
		for range 20 {
			reportEach(t, registerHealthy(t, m, "other"), bad, good)
		}
		time.Sleep(10 * time.Minute)
		calls := d.calls()
		require.Greater(t, len(calls), 10)
		for i := range calls[1:] {
			require.GreaterOrEqual(t, calls[i+1].at.Sub(calls[i].at), 40*time.Second, "not one request while a delay runs, for whatever service")
			require.LessOrEqual(t, calls[i+1].at.Sub(calls[i].at), 41*time.Second, "and no growing pause")
		}
		s := d.status(t, m)
		require.Equal(t, laneswap.NotifierRetrying, s.State)
		require.True(t, s.RetryAt.Equal(calls[len(calls)-1].at.Add(40*time.Second).Truncate(time.Millisecond)))
		require.Zero(t, s.Dead)
		d.answers(nil)
		time.Sleep(41 * time.Second)
		require.Len(t, servicesIn(d.took()...), 2)
		tr := d.trace(t, m, noticeEventIDs(t, m, "svc")[0])
		require.Contains(t, tr.Steps[0].Text, "429 too many requests; the receiver asked to wait until 00:00:40")
		require.Regexp(t, `^sent as message m\d+, attempt \d+$`, tr.Steps[len(tr.Steps)-1].Text)

		d.answers(alwaysReturn(errAway))
		h.Beat()
		time.Sleep(moment)
		d.answers(nil)
		time.Sleep(1200 * time.Millisecond)
		require.Len(t, d.took(), 1, "the first failure in a row: a second")
	})
}

// A receiver that says "at once" again and again must not be asked in a circle.
func TestRetryAfter_nothingIsNotAtOnce(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, -time.Hour, 1} {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startUngrouped(t, d)
			d.answers(alwaysReturn(laneswap.RetryAfter(errAway, after)))
			require.NoError(t, registerHealthy(t, m, "svc").Report(laneswap.Heartbeat{Status: bad}))
			time.Sleep(time.Minute)
			require.LessOrEqual(t, len(d.calls()), 250)
		})
	}
}

// A time out of all proportion, milliseconds taken for seconds, must not be all the
// time for which a notice is owed.
func TestRetryAfter_aLongOneDoesNotUseUpTheDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		d.answers(alwaysReturn(laneswap.RetryAfter(errAway, 120_000*time.Second)))
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		d.answers(nil)
		time.Sleep(25 * time.Hour)
		require.Len(t, d.took(), 1)
		require.Zero(t, d.status(t, m).Dead)
	})
}

func TestRetryAfter_overADayEndsWithTheDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		d.answers(alwaysReturn(laneswap.RetryAfter(errAway, 1000*time.Hour)))
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		time.Sleep(25 * time.Hour)
		require.Equal(t, uint64(1), d.status(t, m).Dead)
		d.answers(nil)
		reportEach(t, registerHealthy(t, m, "other"), bad)
		require.Len(t, d.took(), 1)
	})
}

func TestPermanent_disablesUntilATestMessageGetsThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, logged := newFakeNotifier(), &logBuffer{}
		m := startUngrouped(t, d, laneswap.WithLogger(slog.New(slog.NewTextHandler(logged, nil))))
		h := registerHealthy(t, m, "svc")
		d.answers(alwaysReturn(laneswap.Permanent(errors.New("404 unknown webhook"))))
		reportEach(t, h, bad, good, laneswap.StatusWarning)
		time.Sleep(time.Hour)
		require.Len(t, d.calls(), 1, "asked once")
		s := d.status(t, m)
		require.Equal(t, laneswap.NotifierDisabled, s.State)
		require.Equal(t, 3, s.Waiting)
		require.Contains(t, logged.String(), "404 unknown webhook")
		require.Contains(t, traceLines(d.trace(t, m, noticeEventIDs(t, m, "svc")[0]))[0], "404 unknown webhook; the notifier is disabled")

		result, err := m.TestNotifier(t.Context(), "desk")
		require.NoError(t, err)
		require.Equal(t, laneswap.NotifierTest{Notifier: "desk", Error: "404 unknown webhook"}, result)
		require.Len(t, d.calls(), 1)
		require.Equal(t, laneswap.NotifierDisabled, d.status(t, m).State)

		d.answers(nil)
		result, err = m.TestNotifier(t.Context(), "desk")
		require.NoError(t, err)
		require.Equal(t, laneswap.NotifierTest{Notifier: "desk", Delivered: true, MessageID: "m1"}, result)
		time.Sleep(time.Second)
		notes := d.took()
		require.Len(t, notes, 2)
		require.Equal(t, laneswap.NoticeTest, notes[0].Kind)
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(notes[1])), "what was owed")
		require.Equal(t, laneswap.NotifierOK, d.status(t, m).State)
	})
}

func TestPermanent_endsWithARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		d.answers(alwaysReturn(laneswap.Permanent(errAway)))
		m := startWithStorage(t, disk, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		require.Len(t, d.calls(), 1)
		m.stopped = true
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier)
		require.Empty(t, d.calls(), "Stop does not ask it either")
		d.answers(nil)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d))
		time.Sleep(time.Second)
		require.Equal(t, noticeEventIDs(t, m.Manager, "svc"), idsOf(eventsIn(d.one(t))))
		m.stop(t)
	})
}

func TestRetry_notifierErrorsAreReadThroughWrapping(t *testing.T) {
	t.Parallel()
	for _, err := range []error{laneswap.Permanent(nil), laneswap.Refused(nil), laneswap.RetryAfter(nil, time.Second)} {
		require.NoError(t, err)
	}
	cause := errors.New("cause")
	wrapped := errors.Join(errors.New("other"), laneswap.RetryAfter(cause, 3*time.Second))
	after, ok := laneswap.RetryDelay(wrapped)
	require.True(t, ok)
	require.Equal(t, 3*time.Second, after)
	require.ErrorIs(t, wrapped, cause)
	require.False(t, laneswap.IsPermanent(wrapped) || laneswap.IsRefused(wrapped))
	require.True(t, laneswap.IsPermanent(errors.Join(laneswap.Permanent(laneswap.Refused(cause)))), "the outermost counts")
	require.True(t, laneswap.IsRefused(laneswap.Refused(cause)))
	_, ok = laneswap.RetryDelay(cause)
	require.False(t, ok)
	after, _ = laneswap.RetryDelay(laneswap.RetryAfter(cause, 1000*time.Hour))
	require.Equal(t, 6*time.Hour, after)
}

package laneswap_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestRefused_endsOneMessageOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, logged := newFakeNotifier(), &logBuffer{}
		m := startUngrouped(t, d, laneswap.WithLogger(slog.New(slog.NewTextHandler(logged, nil))))
		d.answers(func(n laneswap.Notification) error {
			if strings.Contains(n.Text, "poison") {
				return laneswap.Refused(errors.New("400 bad embed"))
			}
			return nil
		})
		h := registerHealthy(t, m, "svc")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad, Message: "poison"}))
		time.Sleep(time.Minute)
		require.Len(t, d.calls(), 1, "not tried again")
		tr := d.trace(t, m, noticeEventIDs(t, m, "svc")[0])
		require.Equal(t, []string{"dropped: the receiver refused it: 400 bad embed", "state: dead"}, traceLines(tr))
		require.Equal(t, 1, tr.Attempts)
		s := d.status(t, m)
		require.Equal(t, laneswap.NotifierOK, s.State)
		require.Equal(t, uint64(1), s.Dead)
		require.Contains(t, logged.String(), "notice dropped")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusCritical, Message: "food"}))
		time.Sleep(time.Second)
		require.Equal(t, laneswap.EventWorse, d.one(t).Event.Kind)
	})
}

func TestRefused_aDigestThatIsTooLongIsAFewMessages(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			d.answers(func(n laneswap.Notification) error { // 413
				if len(n.Items) > 300 {
					return laneswap.Refused(errAway)
				}
				return nil
			})
			m := startWithNotifier(t, d)
			if silent {
				for i := range 1000 {
					register(t, m, laneswap.Registration{ID: nthID(i)}).Beat()
				}
			} else {
				reportAll(t, registerMany(t, m, 1000), bad)
			}
			time.Sleep(10 * time.Minute)
			calls := d.calls()
			require.Len(t, calls, 1+2+4)
			var notes []laneswap.Notification
			for _, c := range calls {
				if c.err == nil {
					notes = append(notes, c.note)
					require.Equal(t, silent, c.note.Kind == laneswap.NoticeMassSilence)
				}
			}
			require.Len(t, servicesIn(notes...), 1000)
			require.Len(t, eventsIn(notes...), 1000, "each once")
		})
	}
}

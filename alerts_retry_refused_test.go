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

func TestRefused_digestDropsOnlyTheRefusedItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		d.answers(func(n laneswap.Notification) error {
			for _, item := range n.Items {
				if item.Event.Service == "svc7" {
					return laneswap.Refused(errors.New("400 bad embed"))
				}
			}
			return nil
		})
		reportAll(t, registerMany(t, m, 30), bad)
		time.Sleep(time.Minute)
		notes := d.took()
		require.Len(t, servicesIn(notes...), 29)
		require.NotContains(t, servicesIn(notes...), nthID(7))
		require.Len(t, eventsIn(notes...), 29, "each once")
		require.Equal(t, uint64(1), d.status(t, m).Dead)
		require.Equal(t, []string{
			"grouped with other notices until 00:00:05", "digest 1 was refused and split in two: 400 bad embed", "digest 2 was refused and split in two: 400 bad embed",
			"digest 4 was refused and split in two: 400 bad embed", "digest 7 was refused and split in two: 400 bad embed",
			"digest 9 was refused and split in two: 400 bad embed", "dropped: the receiver refused it: 400 bad embed", "state: dead",
		}, traceLines(d.trace(t, m, noticeEventIDs(t, m, nthID(7))[0])))
		tr := d.trace(t, m, noticeEventIDs(t, m, nthID(8))[0])
		require.Equal(t, laneswap.NoticeSent, tr.State)
		require.Equal(t, "digest 1 was refused and split in two: 400 bad embed", tr.Steps[1].Text)
		require.Regexp(t, `^sent as message m\d+, attempt \d`, tr.Steps[len(tr.Steps)-1].Text)
	})
}

// 413, say, for all that happened while the receiver was away.
func TestRefused_currentStateIsTriedWithoutEarlierOnes(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			d.answers(alwaysReturn(errAway))
			m := startUngrouped(t, d)
			h := registerHealthy(t, m, "svc")
			for i := range 2001 {
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: []laneswap.Status{bad, good}[i%2]}))
				time.Sleep(10 * time.Millisecond)
			}
			d.answers(func(n laneswap.Notification) error {
				if 1+len(n.Items[0].Earlier) > most {
					return laneswap.Refused(errAway)
				}
				return nil
			})
			time.Sleep(time.Hour)
			ids := noticeEventIDs(t, m, "svc")
			s := d.status(t, m)
			require.Zero(t, s.Waiting)
			if most == 0 {
				require.Equal(t, uint64(len(ids)), s.Dead)
				return
			}
			require.Equal(t, uint64(len(ids)-1), s.Dead)
			require.Equal(t, bad, d.one(t).Event.To)
			reportEach(t, h, good)
			require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		})
	}
}

func TestRefused_showsThatTheReceiverIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startUngrouped(t, d)
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		time.Sleep(time.Minute)
		d.answers(alwaysReturn(laneswap.Refused(errAway)))
		time.Sleep(10 * time.Minute)
		s := d.status(t, m)
		require.Zero(t, s.Waiting)
		require.Equal(t, laneswap.NotifierOK, s.State)
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

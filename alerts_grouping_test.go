package laneswap_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestGrouping_simultaneousNoticesAreOneDigest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := registerMany(t, m, 20)
		reportAll(t, handles[:6], laneswap.StatusError)
		time.Sleep(3 * time.Second)
		reportAll(t, handles[6:12], laneswap.StatusError)
		time.Sleep(2*time.Second - moment)
		require.Empty(t, d.took(), "the first waits for 5 seconds")
		time.Sleep(2 * moment)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeDigest, n.Kind)
		require.Len(t, n.Items, 12, "and those that came meanwhile wait no longer than it")
		for i, item := range n.Items {
			require.Equal(t, nthID(i), item.Event.Service, "in the order in which they came")
		}
	})
}

func TestGrouping_zeroTurnsItOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithGroupWait(0))
		handles := registerMany(t, m, 3)
		for _, h := range handles {
			reportAll(t, []*laneswap.Handle{h}, laneswap.StatusError)
			synctest.Wait()
			n := d.one(t)
			require.Equal(t, laneswap.NoticeEvent, n.Kind)
			require.Equal(t, h.ID(), n.Event.Service)
		}
	})
}

func TestGrouping_tenAreTenMessagesAndElevenADigest(t *testing.T) {
	t.Parallel()
	for services, messages := range map[int]int{1: 1, 2: 2, 9: 9, 10: 10, 11: 1, 12: 1, 60: 1, 200: 1} {
		t.Run(fmt.Sprint(services), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startWithNotifier(t, d)
				handles := registerMany(t, m, services)
				reportAll(t, handles, laneswap.StatusError)
				sleepPast(laneswap.DefaultGroupWait)
				notes := d.took()
				require.Len(t, notes, messages)
				require.Len(t, servicesIn(notes...), services, "everybody is named")
				for _, n := range notes {
					if messages > 1 || services == 1 {
						require.Equal(t, laneswap.NoticeEvent, n.Kind)
						require.Len(t, n.Items, 1)
						continue
					}
					require.Equal(t, laneswap.NoticeDigest, n.Kind)
					require.Equal(t, fmt.Sprintf("%d services: %d error", services, services), n.Title)
					require.Contains(t, n.Text, "svc0 is error, was healthy")
					if services > 50 {
						require.Contains(t, n.Text, fmt.Sprintf("and %d more", services-50))
					}
					require.Equal(t, n.Items[0].Event, n.Event)
					for _, item := range n.Items {
						require.NotEmpty(t, item.Text)
						require.Zero(t, item.Flapping)
					}
				}
				require.Equal(t, services, int(d.status(t, m).Sent)+services-messages)
			})
		})
	}
}

func TestGrouping_titlesCountWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := registerMany(t, m, 14)
		reportAll(t, handles[:3], laneswap.StatusCritical)
		reportAll(t, handles[3:12], laneswap.StatusWarning)
		sleepPast(laneswap.DefaultGroupWait)
		require.Equal(t, "12 services: 3 critical, 9 warning", d.one(t).Title)
		reportAll(t, handles[:11], laneswap.StatusHealthy)
		reportAll(t, handles[12:], laneswap.StatusError)
		require.NoError(t, m.Remove(t.Context(), handles[11].ID()))
		sleepPast(time.Minute)
		n := d.one(t)
		require.Equal(t, "14 services: 11 recovered, 2 error, 1 removed", n.Title)
	})
}

// After a digest more is gathered, for longer, as long as many come.
func TestGrouping_digestsFollowEachOtherInABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		const perSecond, seconds = 10, 120
		handles := registerMany(t, m, perSecond*seconds)
		for s := range seconds {
			reportAll(t, handles[s*perSecond:(s+1)*perSecond], laneswap.StatusError)
			time.Sleep(time.Second + moment) // never at the moment at which a wait ends
		}
		time.Sleep(time.Minute)
		calls := d.calls()
		require.LessOrEqual(t, len(calls), 6, "1,200 alarms in two minutes")
		total := 0
		for i, c := range calls {
			require.Equal(t, laneswap.NoticeDigest, c.note.Kind)
			total += len(c.note.Items)
			if i > 0 {
				require.GreaterOrEqual(t, c.at.Sub(calls[i-1].at), 25*time.Second)
			}
		}
		require.Equal(t, len(handles), total, "each once")
		time.Sleep(10 * time.Minute)
		reportAll(t, handles[:2], laneswap.StatusHealthy)
		sleepPast(laneswap.DefaultGroupWait)
		require.Len(t, d.took(), 2, "once it is over all is as before")
	})
}

// Two notices shortly after a burst are a digest: the burst is not over.
func TestGrouping_fewAfterADigestAreTogetherToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := registerMany(t, m, 20)
		reportAll(t, handles[:15], laneswap.StatusError)
		sleepPast(laneswap.DefaultGroupWait)
		d.one(t)
		reportAll(t, handles[15:18], laneswap.StatusError)
		sleepPast(30 * time.Second)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeDigest, n.Kind)
		require.Len(t, n.Items, 3)
		tr := d.trace(t, m, noticeEventIDs(t, m, nthID(16))[0])
		require.Equal(t, []string{"grouped with other notices until 00:00:35", "sent as message m2 (in digest 2, with 2 others)", "state: sent"}, traceLines(tr))
	})
}

func TestGrouping_burstDelaysNoAlarmBeyondTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := registerMany(t, m, 1000)
		reportAll(t, handles[:20], laneswap.StatusError)
		owedSince := map[laneswap.ServiceID]time.Time{}
		for i := 20; i < len(handles); i++ {
			reportAll(t, handles[i:i+1], laneswap.StatusError)
			owedSince[handles[i].ID()] = time.Now()
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		told := 0
		for _, c := range d.calls() {
			for _, item := range c.note.Items {
				if since, ok := owedSince[item.Event.Service]; ok {
					told++
					require.LessOrEqual(t, c.at.Sub(since), 30*time.Second+moment)
				}
			}
		}
		require.Equal(t, 980, told)
	})
}

func TestGrouping_stopSendsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithGroupWait(time.Minute))
		reportAll(t, registerMany(t, m, 12), laneswap.StatusError)
		before := time.Now()
		require.NoError(t, m.Stop(context.Background()))
		require.Zero(t, time.Since(before))
		require.Len(t, d.one(t).Items, 12)
	})
}

func TestGrouping_waitsAreBounded(t *testing.T) {
	t.Parallel()
	for wait, ok := range map[time.Duration]bool{-1: false, 0: true, laneswap.MaxGroupWait: true, laneswap.MaxGroupWait + 1: false} {
		m := laneswap.NewManager(laneswap.WithGroupWait(wait))
		err := m.Start(t.Context())
		if !ok {
			require.ErrorIs(t, err, laneswap.ErrInvalidOption)
			require.ErrorContains(t, err, "group_wait")
			continue
		}
		require.NoError(t, err)
		require.NoError(t, m.Stop(context.Background()))
	}
}

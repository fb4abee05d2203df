package laneswap_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// Of a service that says itself that it does not know how it is nobody is reminded
// until it is bad again.
func TestReminders_noneWhileTheServiceReportsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d, laneswap.WithRemindEvery(time.Hour))
		h := registerHealthy(t, m, "svc")
		reportEach(t, h, bad)
		d.one(t)
		reportEach(t, h, laneswap.StatusUnknown)
		time.Sleep(2 * time.Hour)
		require.Empty(t, d.took(), "nobody knows")
		reportEach(t, h, bad)
		d.took()
		time.Sleep(time.Hour)
		require.Contains(t, d.one(t).Text, "still error")
	})
}

func TestReminders_noneAfterARestartOfAnUnknownService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		life := func() *run {
			return startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithRemindEvery(10*time.Minute))
		}
		m := life()
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", Interval: time.Hour, StaleAfter: 65 * time.Minute})
		reportEach(t, h, good, bad)
		time.Sleep(55 * time.Minute)
		m.stop(t)
		time.Sleep(20 * time.Minute) // the heartbeat falls into it
		m = life()
		time.Sleep(3 * time.Minute)
		d.took()
		m.stop(t)
		m = life()
		time.Sleep(15 * time.Minute)
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "svc").Status)
		require.Empty(t, d.took(), "nobody knows")
		m.stop(t)
	})
}

// What a service says before the storage is read is younger than what is stored.
func TestReminders_afterALateLoadSayHowItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		m := startWithStorage(t, disk, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		m.stop(t)
		faulty := storagetest.NewFaulty(disk)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, Times: -1})
		m = startWithStorage(t, faulty, laneswap.WithNotifier(d), laneswap.WithRemindEvery(time.Hour))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{Status: laneswap.StatusCritical}))
		time.Sleep(time.Second)
		faulty.Heal()
		time.Sleep(10 * time.Second)
		st := statusOf(t, m.Manager, "svc")
		require.Equal(t, laneswap.StatusCritical, st.Status)
		require.True(t, slices.IsSortedFunc(st.Events, func(a, b laneswap.Event) int { return cmp.Compare(a.Sequence, b.Sequence) }), "%v", st.Events)
		d.took()
		time.Sleep(61 * time.Minute)
		require.Contains(t, d.one(t).Text, "still critical")
		m.stop(t)
	})
}

// A recovery that waits for its threshold may be given up for want of room: nobody is
// reminded of what is over.
func TestReminders_endWithADroppedRecovery(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d, laneswap.WithEventBuffer(1), laneswap.WithRemindEvery(time.Hour))
		h := staleAndAlerted(t, m, d, forTime(2*time.Hour))
		h.Beat()
		d.answers(alwaysReturn(laneswap.RetryAfter(errAway, 10*time.Minute)))
		noise := registerHealthy(t, m, "noise")
		long := strings.Repeat("x", 4000)
		for i := range 18_000 {
			status := []laneswap.Status{laneswap.StatusWarning, bad}[i%2]
			require.NoError(t, noise.Report(laneswap.Heartbeat{Status: status, Message: fmt.Sprint(i) + long[6:]}))
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		noise.Beat()
		time.Sleep(time.Minute)
		d.answers(nil)
		time.Sleep(5 * time.Hour)
		require.Equal(t, good, statusOf(t, m, "svc").Status)
		for _, n := range d.took() {
			for _, it := range n.Items {
				require.False(t, it.Event.Service == "svc" && it.Reminder > 0, it.Text)
			}
		}
	})
}

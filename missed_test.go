package laneswap_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// loud is a desk that is told of errors only.
func loud(d *desk) laneswap.Notifier { return laneswap.Only(d, laneswap.MinLevel(laneswap.LevelError)) }

// One start without its notifier, by a slip in the settings, does not cost people the
// end of an incident, however long that lasts.
func TestTakeUp_oneStartWithoutTheNotifierLosesNoEnd(t *testing.T) {
	for name, without := range map[string]time.Duration{"a moment": time.Second, "two days": 48 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newDesk()
				m := launch(t, disk, laneswap.WithNotifier(loud(d)))
				says(t, well(t, m.Manager, "svc"), bad)
				d.one(t)
				time.Sleep(25 * time.Hour)
				m.stop(t)
				m = launch(t, disk)
				time.Sleep(without)
				m.stop(t)
				m = launch(t, disk, laneswap.WithNotifier(loud(d)), laneswap.WithRemindEvery(time.Hour))
				time.Sleep(time.Minute)
				require.Equal(t, laneswap.NoticeReminder, d.one(t).Kind)
				says(t, mustHandle(t, m.Manager, "svc"), good)
				time.Sleep(time.Minute)
				require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
				m.stop(t)
				require.Zero(t, owed(t, disk))
			})
		})
	}
}

func TestAddNotifier_afterStartHearsTheEndOfALongIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newDesk()
		m := launch(t, disk)
		require.NoError(t, m.AddNotifier(loud(d)))
		says(t, well(t, m.Manager, "svc"), bad)
		d.one(t)
		time.Sleep(25 * time.Hour)
		m.stop(t)
		m = launch(t, disk)
		require.NoError(t, m.AddNotifier(loud(d)))
		says(t, mustHandle(t, m.Manager, "svc"), good)
		time.Sleep(time.Minute)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		m.stop(t)
	})
}

// What is owed to a notifier that is not there is given up after a day without it,
// however old it is, and what it was told is remembered no longer than that once it
// is over.
func TestTakeUp_notifierThatIsGoneIsOwedNothingAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newDesk()
		m := launch(t, disk, laneswap.WithNotifier(d))
		says(t, well(t, m.Manager, "told"), bad)
		d.one(t)
		d.says(always(laneswap.Permanent(errAway)))
		says(t, well(t, m.Manager, "owed"), bad)
		time.Sleep(23*time.Hour + 50*time.Minute)
		m.stopped = true
		_ = m.Stop(context.Background())
		m = launch(t, disk)
		time.Sleep(20 * time.Minute)
		id := noticesOf(t, m.Manager, "owed")[0]
		require.Equal(t, laneswap.NoticeWaiting, d.trace(t, m.Manager, id).State, "its notifier has been away for 20 minutes")
		says(t, mustHandle(t, m.Manager, "told"), good)
		time.Sleep(24 * time.Hour)
		tr := d.trace(t, m.Manager, id)
		require.Equal(t, laneswap.NoticeDead, tr.State)
		require.Contains(t, story(tr), "given up: its notifier has not been there for 24 hours")
		m.stop(t)
		require.Zero(t, owed(t, disk))
	})
}

package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// unreliable is a receiver that fails in every way, at random. Some of what it fails
// has arrived: the answer was lost.
type unreliable struct {
	*fakeNotifier

	guard   sync.Mutex // guards what is below
	random  *rand.Rand
	barred  time.Time // it asked to be left alone until then
	early   int       // calls before that
	trouble float64   // how often it fails
	arrived []arrival
}

// arrival is a message that the receiver has.
type arrival struct {
	note laneswap.Notification
	at   time.Time
	lost bool // nobody was told that it has
}

func (d *unreliable) Notify(ctx context.Context, n laneswap.Notification) error {
	err := d.fakeNotifier.Notify(ctx, n)
	if errors.Is(err, errSlow) {
		time.Sleep(29 * time.Second) // it hangs, and then the connection breaks
	}
	return err
}

var errSlow = errors.New("timeout")

// decide is the answer of a moody receiver; the courier calls it one at a time.
func (d *unreliable) decide(n laneswap.Notification) error {
	d.guard.Lock()
	defer d.guard.Unlock()
	if time.Now().Before(d.barred) {
		d.early++
	}
	if d.random.Float64() >= d.trouble || n.Kind == laneswap.NoticeTest {
		d.arrived = append(d.arrived, arrival{n, time.Now(), false})
		return nil
	}
	switch d.random.IntN(8) {
	case 0:
		d.arrived = append(d.arrived, arrival{n, time.Now(), true})
		return errors.New("reset after the body")
	case 1:
		after := time.Duration(1+d.random.IntN(90)) * time.Second
		d.barred = time.Now().Add(after)
		return laneswap.RetryAfter(errors.New("429"), after)
	case 2:
		panic("moody")
	case 3:
		return errSlow
	case 4:
		return laneswap.Permanent(errors.New("404"))
	case 5:
		if len(n.Items) > 1 {
			return laneswap.Refused(errors.New("too long"))
		}
	}
	return errAway
}

func newUnreliable(seed uint64, trouble float64) *unreliable {
	d := &unreliable{fakeNotifier: newFakeNotifier(), random: rand.New(rand.NewPCG(seed, 5)), trouble: trouble}
	d.answers(d.decide)
	return d
}

// stopFailing ends all trouble.
func (d *unreliable) stopFailing() {
	d.guard.Lock()
	defer d.guard.Unlock()
	d.trouble = 0
}

// check asserts what holds of all messages that arrived: of each service all
// events, in order, each of which its receiver acknowledged once, and which comes
// again only where an answer was lost.
func (d *unreliable) check(t *testing.T, m *laneswap.Manager, services []laneswap.ServiceID) {
	t.Helper()
	d.guard.Lock()
	defer d.guard.Unlock()
	require.Zero(t, d.early, "a request while a delay runs")
	d.requireNoOverlap(t)
	told := map[laneswap.ServiceID][]string{}
	known, sure := map[string]bool{}, map[string]bool{}
	for _, a := range d.arrived {
		if a.note.Kind == laneswap.NoticeTest {
			continue
		}
		for _, ev := range eventsIn(a.note) {
			require.False(t, sure[ev.ID], "%s is told again, and no answer was lost", ev.ID)
			if !known[ev.ID] {
				told[ev.Service] = append(told[ev.Service], ev.ID)
			}
			known[ev.ID], sure[ev.ID] = true, !a.lost
		}
	}
	for _, id := range services {
		require.Equal(t, noticeEventIDs(t, m, id), told[id], "of %s", id)
	}
	for ev, ok := range sure {
		require.True(t, ok, "%s was never acknowledged", ev)
		require.Equal(t, laneswap.NoticeSent, d.trace(t, m, ev).State)
	}
}

func TestOrder_isKeptPerServiceThroughRandomFailures(t *testing.T) {
	t.Parallel()
	for seed := range scaled[uint64](5, 15, 150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 4))
				d := newUnreliable(seed, []float64{0.2, 0.5, 0.9}[seed%3])
				opts := []laneswap.Option{
					laneswap.WithGroupWait([]time.Duration{0, 5 * time.Second, time.Minute}[random.IntN(3)]),
					laneswap.WithFlapLimit([]int{0, 3, 5}[random.IntN(3)]),
					laneswap.WithEventBuffer(100_000),
				}
				if random.IntN(2) == 0 {
					opts = append(opts, laneswap.WithStorage(exactStore()))
				}
				m := laneswap.NewManager(append(opts, laneswap.WithNotifier(d))...)
				require.NoError(t, m.Start(t.Context()))
				defer func() { require.NoError(t, m.Stop(context.Background())) }()
				ids := ups(t, m, random, 1+random.IntN(40))
				enable(t, m, d) // it may be disabled
				d.stopFailing()
				time.Sleep(25 * time.Minute)
				enable(t, m, d)
				time.Sleep(10 * time.Minute)
				require.Zero(t, d.status(t, m).Waiting)
				d.check(t, m, ids)
			})
		})
	}
}

// enable has a test message reach a receiver that is disabled.
func enable(t *testing.T, m *laneswap.Manager, d *unreliable) {
	t.Helper()
	if d.status(t, m).State == laneswap.NotifierDisabled {
		_, err := m.TestNotifier(t.Context(), d.name)
		require.NoError(t, err)
	}
}

// ups has services change their statuses at random for an hour.
func ups(t *testing.T, m *laneswap.Manager, random *rand.Rand, services int) (ids []laneswap.ServiceID) {
	t.Helper()
	for i := range services {
		ids = append(ids, nthID(i))
		registerHealthy(t, m, nthID(i))
	}
	statuses := []laneswap.Status{good, good, bad, laneswap.StatusWarning, laneswap.StatusCritical, laneswap.StatusUnknown}
	for end := time.Now().Add(time.Hour); time.Now().Before(end); {
		for range 1 + random.IntN(services) {
			require.NoError(t, m.Beat(t.Context(), ids[random.IntN(len(ids))], laneswap.Heartbeat{Status: statuses[random.IntN(len(statuses))]}))
		}
		time.Sleep(time.Duration(random.IntN(120_000)) * time.Millisecond)
		if random.IntN(10) == 0 {
			for _, s := range notifiersOf(t, m) {
				if s.State == laneswap.NotifierDisabled {
					_, err := m.TestNotifier(t.Context(), s.Name)
					require.NoError(t, err)
				}
			}
		}
	}
	return ids
}

func notifiersOf(t *testing.T, m *laneswap.Manager) []laneswap.NotifierStatus {
	t.Helper()
	all, err := m.Notifiers(t.Context())
	require.NoError(t, err)
	return all
}

// refusesFirst is a receiver that cannot take anything that tells of svc0, and does
// not know why.
func refusesFirst(n laneswap.Notification) error {
	for _, item := range n.Items {
		if item.Event.Service == nthID(0) {
			return errors.New("500")
		}
	}
	return nil
}

// One message that a receiver breaks on must not silence the others.
func TestFailingMessage_doesNotBlockOthersForLong(t *testing.T) {
	t.Parallel()
	for range scaled(1, 3, 20) { // goroutines of one instant run in any order
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startUngrouped(t, d)
			d.answers(refusesFirst)
			reportEach(t, registerHealthy(t, m, nthID(0)), bad)
			h := registerHealthy(t, m, "svc")
			for i := range 30 {
				time.Sleep(13 * time.Minute)
				status := []laneswap.Status{bad, good}[i%2]
				d.calls()
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: status}))
				time.Sleep(6*time.Minute + time.Second)
				require.Len(t, d.took(), 1, "change %d is told within the longest pause", i)
			}
			require.Equal(t, uint64(30), d.status(t, m).Sent)
		})
	}
}

// A notifier that hangs or panics delays no other.
func TestOrder_hangingOneDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hanging, panicking, d := newFakeNotifier(), newFakeNotifier(), newFakeNotifier()
		hanging.name, panicking.name = "hanging", "panicking"
		hanging.takes(24 * time.Hour) // until it is told to end
		panicking.answers(func(laneswap.Notification) error { panic("oh no") })
		m := startWithNotifier(t, d, laneswap.WithNotifier(hanging), laneswap.WithNotifier(panicking))
		handles := registerMany(t, m, 5)
		for i := range 40 {
			reportAll(t, handles[i%5:i%5+1], []laneswap.Status{bad, good}[i/5%2])
			time.Sleep(7 * time.Second)
		}
		total := 0
		for _, c := range d.calls() {
			for _, ev := range eventsIn(c.note) {
				total++
				if c.note.Kind == laneswap.NoticeEvent {
					require.LessOrEqual(t, c.at.Sub(ev.At), laneswap.DefaultGroupWait)
				}
			}
		}
		require.GreaterOrEqual(t, total, 25)
		require.Equal(t, laneswap.NotifierRetrying, panicking.status(t, m).State)
		require.Contains(t, panicking.status(t, m).LastError, "panic")
		require.NotEqual(t, laneswap.NotifierOK, hanging.status(t, m).State)
		require.Equal(t, 40, hanging.status(t, m).Waiting)
	})
}

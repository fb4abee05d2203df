package laneswap_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// tornStorage is a storage without transactions whose machine dies in the middle of a
// commit: of the first batch that tear wants it applies a beginning, and nothing
// after that.
type tornStorage struct {
	*memorystore.Store

	mu   sync.Mutex // guards what is below
	tear func(laneswap.Batch) bool
	keep int // things of that batch that are applied
	dead bool
	size int           // things that were in that batch
	held chan struct{} // commits wait until it is closed
}

func (s *tornStorage) Commit(ctx context.Context, b laneswap.Batch) error {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dead:
		return errCrashed
	case s.tear != nil && s.tear(b):
		s.dead, s.size = true, len(b.Insert)+len(b.Put)+len(b.Delete)+len(b.Seen)
		if err := s.Store.Commit(ctx, first(b, s.keep)); err != nil {
			return err
		}
		return errCrashed
	}
	return s.Store.Commit(ctx, b)
}

// arm makes the storage die at the next commit that stores an event of a kind.
func (s *tornStorage) arm(kind laneswap.EventKind, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = keep
	s.tear = func(b laneswap.Batch) bool {
		return slices.ContainsFunc(b.Insert, func(row laneswap.Row) bool { return row.Kind == laneswap.KindEvent && holdsEvent(row, kind) })
	}
}

// died is how many things the batch had at which the storage died.
func (s *tornStorage) died() (size int, dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.dead
}

// hold has commits wait until release is called.
func (s *tornStorage) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return func() { close(held) }
}

// first is a beginning of a batch, in the order in which it is applied.
func first(b laneswap.Batch, n int) laneswap.Batch {
	out := laneswap.Batch{Epoch: b.Epoch}
	take := func(have int) int {
		k := min(n, have)
		n -= k
		return k
	}
	out.Insert = b.Insert[:take(len(b.Insert))]
	out.Put = b.Put[:take(len(b.Put))]
	out.Delete = b.Delete[:take(len(b.Delete))]
	out.Seen = b.Seen[:take(len(b.Seen))]
	return out
}

// tearing is a change of status in the middle of whose commit the machine dies.
type tearing struct {
	kind    laneswap.EventKind
	reg     laneswap.Registration
	prepare func(m *laneswap.Manager) // what is stored before
	act     func(m *laneswap.Manager)
	absent  time.Duration // how long LaneSwap is away between the two
	over    bool          // no heartbeat is expected afterwards
}

func say(t *testing.T, m *laneswap.Manager, hb laneswap.Heartbeat) {
	t.Helper()
	require.NoError(t, m.Beat(t.Context(), "svc", hb))
}

// tearings are all kinds of events that belong to a service.
func tearings(t *testing.T) map[string]tearing {
	status := func(s laneswap.Status) func(m *laneswap.Manager) {
		return func(m *laneswap.Manager) { say(t, m, laneswap.Heartbeat{Status: s, Message: "now " + string(s)}) }
	}
	both := func(fs ...func(m *laneswap.Manager)) func(m *laneswap.Manager) {
		return func(m *laneswap.Manager) {
			for _, f := range fs {
				time.Sleep(time.Second)
				f(m)
			}
		}
	}
	healthy, bad := status(laneswap.StatusHealthy), status(laneswap.StatusError)
	silence := func(*laneswap.Manager) { time.Sleep(window + moment) }
	made := laneswap.Registration{ID: "svc", ForgetAfter: time.Hour}
	return map[string]tearing{
		"up":             {kind: laneswap.EventUp, act: healthy},
		"late up":        {kind: laneswap.EventUp, reg: laneswap.Registration{ID: "svc", StaleAfter: 40 * time.Minute}, prepare: func(*laneswap.Manager) { time.Sleep(30 * time.Minute) }, act: healthy},
		"first is bad":   {kind: laneswap.EventDown, act: bad},
		"down":           {kind: laneswap.EventDown, prepare: healthy, act: bad},
		"down, final":    {kind: laneswap.EventDown, over: true, prepare: healthy, act: func(m *laneswap.Manager) { say(t, m, laneswap.Heartbeat{Status: laneswap.StatusError, Final: true}) }},
		"down, silent":   {kind: laneswap.EventDown, prepare: healthy, act: silence},
		"never beat":     {kind: laneswap.EventDown, act: silence},
		"worse":          {kind: laneswap.EventWorse, prepare: both(healthy, bad), act: status(laneswap.StatusCritical)},
		"worse, silent":  {kind: laneswap.EventWorse, prepare: bad, act: silence},
		"better":         {kind: laneswap.EventBetter, prepare: bad, act: status(laneswap.StatusWarning)},
		"recovered":      {kind: laneswap.EventRecovered, prepare: bad, act: healthy},
		"back":           {kind: laneswap.EventRecovered, prepare: both(healthy, silence), act: healthy},
		"goodbye":        {kind: laneswap.EventRecovered, over: true, reg: made, prepare: bad, act: status(laneswap.StatusShutdown)},
		"goodbye, wrong": {kind: laneswap.EventDown, over: true, reg: laneswap.Registration{ID: "svc", MustRun: true, ForgetAfter: time.Hour}, prepare: healthy, act: status(laneswap.StatusShutdown)},
		"unknown":        {kind: laneswap.EventUnknown, prepare: healthy, act: status(laneswap.StatusUnknown)},
		"unheard": {
			kind: laneswap.EventUnheard, reg: laneswap.Registration{ID: "svc", Interval: time.Hour, StaleAfter: 65 * time.Minute}, absent: 20 * time.Minute,
			prepare: both(healthy, func(*laneswap.Manager) { time.Sleep(55 * time.Minute) }), act: func(*laneswap.Manager) { time.Sleep(3 * time.Minute) },
		},
		"removed": {kind: laneswap.EventRemoved, prepare: bad, act: func(m *laneswap.Manager) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.Error(t, m.Remove(ctx, "svc"))
		}},
	}
}

func TestReplay_stateFollowsTheEventOfATornCommit(t *testing.T) {
	t.Parallel()
	for name := range tearings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size := 1
			for keep := 0; keep <= size; keep++ {
				synctest.Test(t, func(t *testing.T) { size = tear(t, tearings(t)[name], keep) })
			}
			require.Greater(t, size, 1, "nothing was torn")
		})
	}
}

// tear plays a change whose commit is applied in part, and returns how many
// things that commit had.
func tear(t *testing.T, c tearing, keep int) (size int) {
	disk := &tornStorage{Store: memorystore.New()}
	told := newHangingNotifier("people")
	m := startWithStorage(t, disk, laneswap.WithNotifier(told))
	if c.reg.ID == "" {
		c.reg.ID = "svc"
	}
	_, err := m.Register(t.Context(), c.reg)
	require.NoError(t, err)
	if c.prepare != nil {
		c.prepare(m.Manager)
	}
	time.Sleep(3 * time.Second)
	require.NoError(t, m.Sync(t.Context()))
	crash := func() {
		disk.mu.Lock()
		disk.dead = true
		disk.mu.Unlock()
		m.crash(newCrashStorage(disk))
		disk.mu.Lock()
		disk.dead, disk.tear = false, nil
		disk.mu.Unlock()
	}
	if c.absent > 0 {
		crash()
		time.Sleep(c.absent)
		m = startWithStorage(t, disk, laneswap.WithNotifier(told))
	}
	disk.arm(c.kind, keep)
	c.act(m.Manager)
	synctest.Wait()
	size, dead := disk.died()
	require.True(t, dead)
	var want laneswap.ServiceStatus
	var past laneswap.History
	if c.kind != laneswap.EventRemoved {
		want = statusOf(t, m.Manager, "svc")
		past, err = m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
	}
	events := eventsOf(t, m.Manager, laneswap.EventQuery{Service: "svc"})
	crash()

	heard := &namedNotifier{name: "people"}
	m = startWithStorage(t, disk, laneswap.WithNotifier(heard))
	now := time.Now()
	if !slices.ContainsFunc(eventsOf(t, m.Manager, laneswap.EventQuery{}), func(ev laneswap.Event) bool { return ev.ID == events[len(events)-1].ID }) {
		require.Less(t, keep, 2, "it was stored")
		m.stop(t)
		return size
	}
	synctest.Wait()
	where := fmt.Sprintf("%d of %d things were stored", keep, size)
	if c.kind == laneswap.EventUp || c.kind == laneswap.EventUnknown {
		require.NotContains(t, heard.kinds(), c.kind, where)
	} else {
		require.Contains(t, heard.kinds(), c.kind, "notices, %s", where)
	}
	if c.kind == laneswap.EventRemoved {
		_, err := m.Service(t.Context(), "svc")
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound, where)
		m.stop(t)
		return size
	}
	got := statusOf(t, m.Manager, "svc")
	require.Equal(t, want.Status, got.Status, where)
	require.Equal(t, want.ReportedStatus, got.ReportedStatus, where)
	require.Equal(t, want.Message, got.Message, where)
	require.Equal(t, want.Since, got.Since, where)
	require.Equal(t, want.Incident, got.Incident, where)
	require.Equal(t, want.LastHeartbeat, got.LastHeartbeat, where)
	require.Equal(t, want.Events, got.Events, where)
	h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{To: now})
	require.NoError(t, err)
	require.InDelta(t, past.Up.Seconds(), h.Up.Seconds(), 4, where)
	require.InDelta(t, past.Down.Seconds(), h.Down.Seconds(), 4, where)
	require.Equal(t, past.IncidentCount, h.IncidentCount, where)
	require.Equal(t, past.Recovered, h.Recovered, where)
	require.NoError(t, m.CheckBooks())
	if c.over {
		time.Sleep(10 * time.Minute)
		require.Equal(t, got, statusOf(t, m.Manager, "svc"), "nothing more is expected of it, and it is kept; %s", where)
	}
	m.stop(t)

	// And it stays so.
	m = startWithStorage(t, disk, laneswap.WithNotifier(heard))
	require.Equal(t, got, statusOf(t, m.Manager, "svc"), where)
	m.stop(t)
	return size
}

func TestReplay_seesEventsBeyondTheBuffer(t *testing.T) {
	t.Parallel()
	for _, kept := range []int{1, 2, 16} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const services = 20
				disk := &tornStorage{Store: memorystore.New()}
				m := startWithStorage(t, disk, laneswap.WithEventBuffer(kept))
				id := func(i int) laneswap.ServiceID { return laneswap.ServiceID(fmt.Sprint("svc", i)) }
				for i := range services {
					require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id(i)}, laneswap.Heartbeat{}))
				}
				require.NoError(t, m.Sync(t.Context()))
				release := disk.hold()
				time.Sleep(2 * time.Second) // a commit is under way
				for i := range services {
					require.NoError(t, m.Beat(t.Context(), id(i), laneswap.Heartbeat{Status: laneswap.StatusError}))
				}
				disk.arm(laneswap.EventDown, services) // of all of them, and no state
				release()
				synctest.Wait()
				_, dead := disk.died()
				require.True(t, dead)
				m.crash(newCrashStorage(disk))
				m = startWithStorage(t, disk.Store, laneswap.WithEventBuffer(kept))
				for i := range services {
					require.Equal(t, laneswap.StatusError, statusOf(t, m.Manager, id(i)).Status, "of %d", i)
				}
				m.stop(t)
			})
		})
	}
}

func TestNotices_areStoredBeforeTheStateThatMadeThem(t *testing.T) {
	t.Parallel()
	size := 1
	for keep := 0; keep <= size; keep++ {
		synctest.Test(t, func(t *testing.T) {
			disk := &tornStorage{Store: memorystore.New()}
			m := startWithStorage(t, disk, laneswap.WithNotifier(newHangingNotifier("people")))
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
			require.NoError(t, m.Sync(t.Context()))
			release := disk.hold()
			time.Sleep(2 * time.Second) // a commit is under way
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := m.Register(ctx, laneswap.Registration{ID: "svc", Name: "Service"}) // its state waits
			require.NoError(t, err)
			say(t, m.Manager, laneswap.Heartbeat{Status: laneswap.StatusError})
			disk.arm(laneswap.EventDown, keep)
			release()
			synctest.Wait()
			things, dead := disk.died()
			require.True(t, dead)
			size = things
			m.crash(newCrashStorage(disk))
			heard := &namedNotifier{name: "people"}
			m = startWithStorage(t, disk.Store, laneswap.WithNotifier(heard))
			synctest.Wait()
			var want []laneswap.EventKind
			if statusOf(t, m.Manager, "svc").Status == laneswap.StatusError {
				want = append(want, laneswap.EventDown)
			}
			require.Equal(t, want, heard.kinds(), "%d of %d things were stored", keep, size)
			m.stop(t)
		})
	}
}

// What was told while the storage was away is not told again where the commit that was
// to store it was torn behind the row that says so.
func TestReplay_sentDuringAnOutageIsNotSentAgain(t *testing.T) {
	skipShort(t)
	t.Parallel()
	size, known := 1, 0
	for keep := 0; keep <= size; keep++ {
		synctest.Test(t, func(t *testing.T) {
			disk := &tornStorage{Store: memorystore.New()}
			d := newFakeNotifier()
			m := startWithStorage(t, disk, laneswap.WithNotifier(d))
			h := registerHealthy(t, m.Manager, "svc")
			reportEach(t, h, laneswap.StatusError)
			release := disk.hold()
			time.Sleep(2 * time.Second) // a commit is under way
			h.Beat()
			time.Sleep(8 * time.Second)
			end := noticeEventIDs(t, m.Manager, "svc")[1]
			require.Contains(t, idsOf(eventsIn(d.took()...)), end)
			disk.arm(laneswap.EventRecovered, keep)
			release()
			time.Sleep(2 * time.Second)
			size, _ = disk.died()
			m.crash(newCrashStorage(disk))
			stored := false
			for row, err := range disk.Rows(t.Context(), laneswap.RowQuery{Kind: "outbox", Service: "svc"}) {
				require.NoError(t, err)
				stored = stored || row.ID == "desk/"+end
			}
			m = startWithStorage(t, disk.Store, laneswap.WithNotifier(d), laneswap.WithRemindEvery(time.Hour))
			time.Sleep(2 * time.Hour)
			if stored {
				known++
				require.NotContains(t, servicesIn(d.took()...), laneswap.ServiceID("svc"), "%d of %d things were stored", keep, size)
			}
			m.stop(t)
		})
	}
	require.Greater(t, known, 1)
}

func TestReplay_keepsARemovedServiceThatRegisters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &tornStorage{Store: memorystore.New()}
		m := startWithStorage(t, disk)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{Status: laneswap.StatusError}))
		require.NoError(t, m.Sync(t.Context()))
		disk.arm(laneswap.EventRemoved, 1)
		require.ErrorIs(t, m.Remove(t.Context(), "svc"), laneswap.ErrDegraded)
		m.crash(newCrashStorage(disk))

		faulty := storagetest.NewFaulty(disk.Store)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, Times: -1})
		s := newCrashStorage(faulty)
		m = startWithStorage(t, s)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Name: "again"})
		require.NoError(t, err)
		faulty.Heal()
		time.Sleep(10 * time.Second)
		require.Equal(t, "again", statusOf(t, m.Manager, "svc").Name)
		require.NoError(t, m.Sync(t.Context()))
		m.crash(s)
		m = startWithStorage(t, disk.Store)
		require.Equal(t, "again", statusOf(t, m.Manager, "svc").Name)
		m.stop(t)
	})
}

// Of a removal only the end of the run was stored: it has not happened, and the run
// goes on.
func TestHistory_aTornRemovalDoesNotEndTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &tornStorage{Store: memorystore.New()}
		m := startWithStorage(t, disk)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		time.Sleep(time.Hour)
		disk.mu.Lock()
		disk.tear = func(b laneswap.Batch) bool {
			disk.keep = len(b.Insert) + len(b.Put)
			return slices.ContainsFunc(b.Delete, func(k laneswap.Key) bool { return k.Kind == laneswap.KindService })
		}
		disk.mu.Unlock()
		require.ErrorIs(t, m.Remove(t.Context(), "svc"), laneswap.ErrDegraded)
		m.crash(newCrashStorage(disk))

		m = startWithStorage(t, disk.Store)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		time.Sleep(10 * time.Hour)
		require.Greater(t, historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{}).Up, 10*time.Hour)
		_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Greater(t, h.Up, 10*time.Hour)
		require.Equal(t, time.Hour, h.Down)
		m.stop(t)
	})
}

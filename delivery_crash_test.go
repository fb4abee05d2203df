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
	"github.com/laneswap/laneswap/examples/memorystore"
)

// mortalStorage is a storage whose process is killed at one of its commits: before it is
// applied, or after it, when nobody hears that it was.
type mortalStorage struct {
	laneswap.Storage
	at      int  // the commit at which it dies; 0 for never
	applied bool // that one is

	mu      sync.Mutex // guards what is below
	commits int
	died    chan struct{} // closed when it has
	when    time.Time
}

func (s *mortalStorage) Commit(ctx context.Context, b laneswap.Batch) error {
	s.mu.Lock()
	s.commits++
	n := s.commits
	s.mu.Unlock()
	if s.at == 0 || n < s.at {
		return s.Storage.Commit(ctx, b)
	}
	if n == s.at {
		if s.applied {
			if err := s.Storage.Commit(ctx, b); err != nil {
				return err
			}
		}
		s.when = time.Now()
		close(s.died)
	}
	<-ctx.Done() // a dead process waits for nothing
	return ctx.Err()
}

func (s *mortalStorage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

func (s *mortalStorage) dead() bool {
	select {
	case <-s.died:
		return true
	default:
		return false
	}
}

// crashScenario is a process that is killed, and others after it on the same storage.
type crashScenario struct {
	t    *testing.T
	disk *memorystore.Store
	s    *mortalStorage
	m    *run

	deaths []time.Time // of the processes

	mu   sync.Mutex // guards what is below
	told []delivery // in all lives
}

// Name is "team". It receives the notices. A notice that is sent after the process died does not count.
func (k *crashScenario) Name() string { return "team" }

func (k *crashScenario) Notify(_ context.Context, n laneswap.Notification) error {
	if k.s.dead() {
		return errCrashed
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = append(k.told, delivery{at: time.Now(), note: n})
	return nil
}

// begin starts a process that dies at a commit.
func (k *crashScenario) begin(at int, applied bool) {
	k.s = &mortalStorage{Storage: k.disk, at: at, applied: applied, died: make(chan struct{})}
	k.m = startWithStorage(k.t, k.s, laneswap.WithNotifier(k), laneswap.WithGroupWait(2*time.Second), laneswap.WithFlapLimit(3), laneswap.WithRemindEvery(20*time.Second))
}

var crashServices = []laneswap.ServiceID{"short", "long", "gone", "flapping", "slow"}

// act plays what happens until the process is dead: a short one and a long one,
// one that flaps, one with thresholds, a removal, and a reminder.
func (k *crashScenario) act() {
	beat := func(id laneswap.ServiceID, status laneswap.Status) {
		_ = k.m.Beat(k.t.Context(), id, laneswap.Heartbeat{Status: status, Message: "now " + string(status)})
	}
	for _, reg := range []laneswap.Registration{
		{ID: "short", NoDeadline: true}, {ID: "long", NoDeadline: true}, {ID: "gone", NoDeadline: true}, {ID: "flapping", NoDeadline: true},
		{ID: "slow", NoDeadline: true, AlertAfter: beats(2), RecoverAfter: forTime(3 * time.Second)},
	} {
		_ = k.m.AnnounceBeat(k.t.Context(), reg, laneswap.Heartbeat{})
	}
	for second := range 40 {
		if k.s.dead() {
			return
		}
		switch second {
		case 1:
			beat("short", bad)
			beat("long", laneswap.StatusWarning)
			beat("gone", bad)
		case 2:
			beat("short", good)
		case 3, 4, 20:
			beat("slow", bad)
		case 8:
			beat("long", laneswap.StatusCritical)
		case 11, 21:
			beat("slow", good)
		case 15:
			_ = k.m.Remove(k.t.Context(), "gone")
		}
		if second > 2 && second < 12 {
			beat("flapping", []laneswap.Status{bad, good}[second%2])
		}
		time.Sleep(time.Second)
	}
}

// check asserts that what is stored was told: all of it, in order, and again only
// what was sent at the moment of the death.
func (k *crashScenario) check(t *testing.T) {
	var notes []laneswap.Notification
	seen := map[string]time.Time{}
	for _, v := range k.told {
		notes = append(notes, v.note)
		for _, ev := range eventsIn(v.note) {
			if before, ok := seen[ev.ID]; ok {
				require.Contains(t, k.deaths, before, "%s is told twice", ev.ID)
				continue
			}
			seen[ev.ID] = v.at
		}
	}
	for _, id := range crashServices {
		var told []string
		for _, ev := range eventsIn(notes...) {
			if ev.Service == id && !slices.Contains(told, ev.ID) {
				told = append(told, ev.ID)
			}
		}
		var owed []string
		for _, ev := range noticeEventIDs(t, k.m.Manager, id) {
			x, err := k.m.Explain(t.Context(), ev)
			require.NoError(t, err)
			require.Len(t, x.Notices, 1)
			switch tr := x.Notices[0]; tr.State {
			case laneswap.NoticeSent:
				owed = append(owed, ev)
			default:
				require.Equal(t, laneswap.NoticeSkipped, tr.State, "%s: %v", ev, traceLines(tr))
				require.Equal(t, laneswap.ServiceID("slow"), id, "%v", traceLines(tr))
			}
		}
		require.Equal(t, owed, told, "of %s", id)
	}
}

// survive has the process start once more, live on, and tell what it owes.
func (k *crashScenario) survive() {
	time.Sleep(3 * time.Second)
	k.begin(0, false)
	time.Sleep(25 * time.Second)
	for _, id := range crashServices { // not all are there
		_ = k.m.Beat(k.t.Context(), id, laneswap.Heartbeat{})
	}
	time.Sleep(20 * time.Minute)
	require.Zero(k.t, notifiersOf(k.t, k.m.Manager)[0].Waiting)
	k.check(k.t)
	k.m.stop(k.t)
}

// crashAt runs processes that die at the given commits, and then one that lives.
func crashAt(t *testing.T, applied bool, at ...int) (commits int) {
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		k := &crashScenario{t: t, disk: memorystore.New()}
		for i, n := range at {
			k.begin(n, applied)
			if i == 0 {
				k.act()
			} else {
				time.Sleep(20 * time.Second)
			}
			commits = k.s.count()
			if k.s.dead() {
				k.deaths = append(k.deaths, k.s.when)
			} else {
				k.s.when = time.Now()
				close(k.s.died)
			}
			k.m.kill()
		}
		k.survive()
	})
	return commits
}

func TestCrash_atAnyCommitLosesNoNotice(t *testing.T) {
	t.Parallel()
	all := crashAt(t, false, 0)
	require.Greater(t, all, 40)
	for n := 1; n <= all; n += scaled(13, 1, 1) {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, applied %v", n, applied), func(t *testing.T) { crashAt(t, applied, n) })
		}
	}
}

func TestCrash_twiceLosesNoNotice(t *testing.T) {
	t.Parallel()
	for n := 3; n <= 50; n += scaled(47, 7, 3) {
		for second := 1; second <= 20; second += scaled(9, 6, 1) {
			t.Run(fmt.Sprint(n, " ", second), func(t *testing.T) { crashAt(t, n%2 == 0, n, second) })
		}
	}
}

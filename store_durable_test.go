package laneswap_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestRegister_isNotDurableWhereTheCommitIsFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &hookStorage{Storage: memorystore.New()}
		m := startWithStorage(t, p)
		time.Sleep(1500 * time.Millisecond) // between two rounds of the writer
		require.NoError(t, m.Sync(t.Context()))
		p.replace(func() {
			p.commit = func(context.Context, laneswap.Batch) error {
				time.Sleep(100 * time.Millisecond)
				return laneswap.ErrFenced
			}
		})
		st, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		require.True(t, st.NotDurable, "nothing of it was taken")
		require.ErrorIs(t, m.Sync(t.Context()), laneswap.ErrDegraded)
		require.Equal(t, "fenced", m.Health().Storage.State)
		m.kill()
	})
}

func TestReport_repeatedOneIsNoMoreDurableThanTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		faulty := storagetest.NewFaulty(disk)
		m := startWithStorage(t, faulty)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		require.NoError(t, m.Sync(t.Context()))
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
		bad := laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk"}
		for range 3 {
			st, err := m.Report(t.Context(), "svc", bad)
			require.NoError(t, err)
			require.True(t, st.NotDurable)
			durable, err := m.BeatAndWait(t.Context(), "svc", bad)
			require.NoError(t, err)
			require.False(t, durable)
		}
		faulty.Heal()
		time.Sleep(20 * time.Second)
		st, err := m.Report(t.Context(), "svc", bad)
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		durable, err := m.BeatAndWait(t.Context(), "svc", bad)
		require.NoError(t, err)
		require.True(t, durable)
		m.kill()
		m = startWithStorage(t, disk)
		require.Equal(t, laneswap.StatusError, statusOf(t, m.Manager, "svc").Status)
		m.stop(t)
	})
}

func TestLoading_pendingIsAcknowledgedOnceStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		})
		p := &hookStorage{Storage: disk, load: failingRows}
		m := startWithStorage(t, p)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Name: "new name"})
		require.NoError(t, err)
		busy := laneswap.Heartbeat{Status: laneswap.StatusBusy}
		st, err := m.Report(t.Context(), "svc", busy)
		require.NoError(t, err)
		require.True(t, st.NotDurable)
		p.replace(func() {
			p.load = nil
			commits := 0
			p.commit = func(ctx context.Context, b laneswap.Batch) error {
				if commits++; commits == 1 {
					return disk.Commit(ctx, b) // the claim of numbers
				}
				return errCrashed
			}
		})
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Ready(t.Context()))
		for range 2 { // the second changes nothing
			st, err = m.Report(t.Context(), "svc", busy)
			require.NoError(t, err)
			require.True(t, st.NotDurable)
			durable, err := m.BeatAndWait(t.Context(), "svc", busy)
			require.NoError(t, err)
			require.False(t, durable)
			require.ErrorIs(t, m.Sync(t.Context()), laneswap.ErrDegraded)
		}
		p.heal()
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		m.kill()

		m = startWithStorage(t, disk)
		after := statusOf(t, m.Manager, "svc")
		require.Equal(t, laneswap.StatusBusy, after.ReportedStatus)
		require.Equal(t, "new name", after.Name)
		m.stop(t)
	})
}

func TestLoading_aRegistrationIsNoHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		before := statusOf(t, m.Manager, "svc")
		time.Sleep(2 * time.Second)
		m.stop(t)
		time.Sleep(10 * time.Second)
		faulty := storagetest.NewFaulty(disk)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load})
		m = startWithStorage(t, faulty)
		require.ErrorIs(t, m.Ready(t.Context()), laneswap.ErrLoading)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		time.Sleep(time.Second)
		after := statusOf(t, m.Manager, "svc")
		require.Equal(t, before.LastHeartbeat, after.LastHeartbeat)
		require.Equal(t, before.Beats, after.Beats)
		m.stop(t)
	})
}

// silentMany has services beat once, and fall silent together; a commit is cut
// off as a test says.
func silentMany(t *testing.T, p *hookStorage, services int, commit func(ctx context.Context, b laneswap.Batch) error, opts ...laneswap.Option) *run {
	t.Helper()
	m := startWithStorage(t, p, opts...)
	for n := range services {
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n)}, laneswap.Heartbeat{}))
	}
	require.NoError(t, m.Sync(t.Context()))
	p.replace(func() { p.commit = commit })
	time.Sleep(window + 5*time.Second)
	return m
}

// More than one commit is needed, and the machine dies after the first full one.
func TestNotices_ofAMassSilenceSurviveACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 1200
		disk := memorystore.New()
		commits := 0
		m := silentMany(t, &hookStorage{Storage: disk}, services, func(ctx context.Context, b laneswap.Batch) error {
			if commits >= 2 {
				return errCrashed
			}
			time.Sleep(time.Second) // the rest waits meanwhile
			if events(b) > 0 {
				commits++
			}
			return disk.Commit(ctx, b)
		}, laneswap.WithNotifier(newHangingNotifier("people")))
		m.kill()
		stored := countRows(t, disk, laneswap.KindEvent)
		require.Greater(t, stored, services, "some of them are stored")
		require.Less(t, stored, 2*services, "and not all")

		heard := &namedNotifier{name: "people"}
		m = startWithStorage(t, disk, laneswap.WithNotifier(heard))
		time.Sleep(10 * time.Minute)
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, services, sum.Counts[laneswap.StatusStale])
		m.stop(t)
		told := map[laneswap.ServiceID]bool{}
		for _, ev := range heard.events() {
			told[ev.Service] = true
		}
		require.Equal(t, services, len(told), "each is told of")
	})
}

func TestReplay_ofSeveralCommitsKnowsEachNumber(t *testing.T) {
	t.Parallel()
	services := 2000
	if raceEnabled {
		services = 600 // that is more than a commit has, still
	}
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		stored := 0
		m := silentMany(t, &hookStorage{Storage: disk}, services, func(ctx context.Context, b laneswap.Batch) error {
			n := events(b)
			if stored > 0 && stored+n > services*3/4 {
				return errCrashed // dead, after a first part that may be larger
			}
			stored += n
			return disk.Commit(ctx, b)
		}, laneswap.WithEventBuffer(100))
		m.kill()
		require.Greater(t, countRows(t, disk, laneswap.KindEvent), services)

		m = startWithStorage(t, disk, laneswap.WithEventBuffer(100))
		time.Sleep(5 * time.Minute)
		require.Zero(t, countKind(kindsOf(t, m.Manager), laneswap.EventStorageLost), "a number was given twice")
		m.stop(t)
		require.Equal(t, 2*services, countRows(t, disk, laneswap.KindEvent), "each is up and down once")
	})
}

// A storage without transactions has taken the inserts of a commit, when the
// process is killed; the beat that made the event came close to the deadline.
func TestReplay_beatWithoutStoredStateMovesTheDeadline(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprint("first beat ", first), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				p := &hookStorage{Storage: disk}
				m := startWithStorage(t, p)
				_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", StaleAfter: time.Hour})
				require.NoError(t, err)
				if !first {
					require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
				}
				time.Sleep(55 * time.Minute)
				dead := false
				p.replace(func() {
					p.commit = func(ctx context.Context, b laneswap.Batch) error {
						if dead {
							return errCrashed
						}
						if dead = events(b) > 0; dead {
							require.NoError(t, disk.Commit(ctx, laneswap.Batch{Epoch: b.Epoch, Insert: b.Insert}))
							return errCrashed
						}
						return disk.Commit(ctx, b)
					}
				})
				require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusWarning}))
				synctest.Wait()
				require.True(t, dead)
				m.kill()

				m = startWithStorage(t, disk)
				time.Sleep(30 * time.Minute)
				require.Equal(t, laneswap.StatusWarning, statusOf(t, m.Manager, "svc").Status, "it beats hourly")
				time.Sleep(40 * time.Minute)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
				m.stop(t)
			})
		})
	}
}

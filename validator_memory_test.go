package laneswap_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestBacklog_isBoundedWithNotices(t *testing.T) {
	skipHeavy(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 5
		_, faulty, _, m := startThenLoseStorage(t, services, laneswap.WithNotifier(&recorder{}))
		for range 10 { // an event, a run and a notice each
			changeStatuses(t, m.Manager, services, 1000)
			synctest.Wait() // they are told
		}
		require.LessOrEqual(t, m.Health().Storage.Backlog, backlogRows+backlogSlack)
		faulty.Heal()
		time.Sleep(30 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		m.stop(t)
	})
}

func TestBacklog_isBoundedWhileServicesComeAndGo(t *testing.T) {
	skipHeavy(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, faulty, _, m := startThenLoseStorage(t, 1)
		most := 0
		var refused error
		for most < 40_000 && refused == nil {
			var st laneswap.ServiceStatus
			if st, refused = m.Register(t.Context(), laneswap.Registration{Name: "short-lived"}); refused == nil {
				most++
				require.NoError(t, m.Beat(t.Context(), st.ID, laneswap.Heartbeat{}))
				require.ErrorIs(t, m.Remove(t.Context(), st.ID), laneswap.ErrDegraded)
			}
		}
		require.ErrorIs(t, refused, laneswap.ErrDegraded, "a new service is refused while there is no room")
		require.Greater(t, most, 10_000)
		require.LessOrEqual(t, m.Health().Storage.Backlog, backlogRows+backlogSlack)
		st, err := m.Report(t.Context(), nthID(0), laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err, "who is known is heard")
		require.True(t, st.NotDurable)
		faulty.Heal()
		time.Sleep(30 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		require.Equal(t, 1, countRows(t, disk, laneswap.KindService))
		st, err = m.Register(t.Context(), laneswap.Registration{Name: "short-lived"})
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		m.stop(t)
	})
}

func TestBacklog_ofASlowStorageCountsWhatIsLost(t *testing.T) {
	skipHeavy(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 5
		_, faulty, _, m := startThenLoseStorage(t, services)
		faulty.Heal()
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1, How: storagetest.Slow, Delay: 4 * time.Second})
		time.Sleep(time.Minute)
		require.Equal(t, "ok", m.Health().Storage.State, "it is slow, not away")
		changeStatuses(t, m.Manager, services, backlogOverflow)
		require.NotZero(t, m.Health().Storage.Lost)
		faulty.Heal()
		time.Sleep(time.Minute)
		require.NoError(t, m.Sync(t.Context()))
		require.Zero(t, m.Health().Storage.Backlog)
		require.Contains(t, kindsOf(t, m.Manager), laneswap.EventStorageLost)
		m.stop(t)
	})
}

func TestLoading_repeatedRegistrationsTakeLittleMemory(t *testing.T) {
	skipHeavy(t)
	synctest.Test(t, func(t *testing.T) { // not parallel: it measures the heap
		const services, times, text = 20, 150, 7000
		m := startWithStorage(t, &hookStorage{Storage: memorystore.New(), load: failingRows})
		heap := func() int {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			return int(stats.HeapAlloc)
		}
		before := heap()
		for i := range times {
			for n := range services {
				reg := laneswap.Registration{ID: nthID(n), Metadata: map[string]any{"k": strings.Repeat("x", text) + fmt.Sprint(i)}}
				_, err := m.Register(t.Context(), reg)
				require.NoError(t, err)
			}
		}
		require.Less(t, (heap()-before)/services, times*text/10, "bytes per service")
		m.kill()
	})
}

func TestAbsence_shortPausesMakeNoRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		for range 500 {
			m.JumpSeen(800 * time.Millisecond)
			time.Sleep(5 * time.Second)
		}
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status, "nor do they hide a silence")
		m.JumpSeen(time.Minute)
		time.Sleep(time.Second)
		m.stop(t)
		n := countRows(t, disk, kindAbsence)
		require.NotZero(t, n, "long ones do")
		require.Less(t, n, 50)
	})
}

// A storage that needs a time for each thing of a batch never finishes one with
// all services in it.
func TestStorage_manySightingsAreStoredInParts(t *testing.T) {
	skipHeavy(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services, perThing = 20_000, 600 * time.Microsecond // 12 s in all: one commit may have 10
		disk := memorystore.New()
		p := &hookStorage{Storage: disk}
		m := startWithStorage(t, p)
		var handles [services]*laneswap.Handle
		for n := range handles {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n), Interval: 30 * time.Second}, laneswap.Heartbeat{}))
			handles[n] = handleOf(t, m.Manager, nthID(n))
		}
		require.NoError(t, m.Sync(t.Context()))
		seen := map[string]time.Time{}
		p.replace(func() {
			p.commit = func(ctx context.Context, b laneswap.Batch) error {
				n := len(b.Insert) + len(b.Put) + len(b.Delete) + len(b.Seen)
				select {
				case <-time.After(time.Duration(n) * perThing):
				case <-ctx.Done():
					return ctx.Err()
				}
				for _, s := range b.Seen {
					seen[s.Service] = s.At
				}
				return disk.Commit(ctx, b)
			}
		})
		var last time.Time
		for range 4 {
			for _, h := range handles {
				h.Beat()
			}
			last = time.Now().UTC().Truncate(time.Millisecond)
			st, err := m.Register(t.Context(), laneswap.Registration{ID: "other"})
			require.NoError(t, err)
			require.False(t, st.NotDurable, "nobody waits long behind them")
			time.Sleep(30 * time.Second)
		}
		require.Len(t, seen, services)
		for id, at := range seen {
			require.Equal(t, last, at, "of %s", id)
		}
		p.heal()
		m.kill()
	})
}

// Pauses in which nothing was lost are as many as a machine is busy.
func TestHistory_shortPausesHideNoLongOne(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := []laneswap.Option{}
				if stored {
					opts = append(opts, laneswap.WithStorage(memorystore.New()))
				}
				m := started(t, opts...)
				require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
				time.Sleep(2 * time.Hour)
				m.JumpSeen(time.Hour) // as if the machine had slept
				time.Sleep(2 * time.Second)
				for range 300 {
					m.JumpSeen(time.Second) // as if it was busy for a second
					time.Sleep(3 * time.Second)
				}
				h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
				require.NoError(t, err)
				require.GreaterOrEqual(t, h.Absent, time.Hour)
			})
		})
	}
}

// flappy yields as many runs of one service as asked for.
type flappy struct {
	*memorystore.Store
	runs int
	from time.Time
	peak uint64
}

func (s *flappy) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	if q.Kind != "span" {
		return s.Store.Rows(ctx, q)
	}
	return func(yield func(laneswap.Row, error) bool) {
		for i := range s.runs {
			from := s.from.Add(time.Duration(i) * time.Second)
			to := from.Add(time.Second)
			data := fmt.Appendf(nil, `{"v":1,"born":1,"number":%d,"state":"down","status":"error","from":%d,"to":%d,"beats":1,"message":"it failed, and here is a message of a hundred bytes or so that says why that was and what to do about","incident":{"id":"svc/1-%d","started_at":%d,"cause":"reported error"}}`, i+1, from.UnixMilli(), to.UnixMilli(), i+1, from.UnixMilli())
			if !yield(laneswap.Row{Kind: "span", ID: fmt.Sprint(i), Service: "svc", At: to, Data: data}, nil) {
				return
			}
		}
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		s.peak = stats.HeapAlloc
	}
}

// A service that changes each second has 30 million runs a year.
func TestHistory_ofManySpansTakesNoMoreMemory(t *testing.T) { // not parallel: it looks at the heap
	synctest.Test(t, func(t *testing.T) {
		s := &flappy{Store: memorystore.New(), from: time.Now().Add(-24 * time.Hour)}
		m := startWithStorage(t, s)
		register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true})
		ask := func(runs int) uint64 {
			s.runs = runs
			h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: s.from, Limit: 10})
			require.NoError(t, err)
			require.Len(t, h.Spans, 10)
			require.Len(t, h.Incidents, 10)
			require.Equal(t, runs, h.IncidentCount)
			require.Equal(t, time.Duration(runs)*time.Second, h.Down)
			require.True(t, h.Truncated)
			return s.peak
		}
		few, many := ask(100), ask(80_000)
		require.Less(t, many, few+1<<20)
		m.stop(t)
	})
}

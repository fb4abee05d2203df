package laneswap_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestHistory_isTheSameWithAndWithoutAStorage(t *testing.T) {
	t.Parallel()
	for seed := range 4 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { withAndWithout(t, rand.New(rand.NewPCG(uint64(seed), 1))) })
		})
	}
}

func withAndWithout(t *testing.T, random *rand.Rand) {
	begun := time.Now().Truncate(time.Millisecond)
	both := []*laneswap.Manager{started(t), startWithStorage(t, memorystore.New()).Manager}
	time.Sleep(time.Second) // ids hold the time, and that of a start is taken
	for _, m := range both {
		register(t, m, laneswap.Registration{ID: "svc"})
	}
	for range 25 { // without a storage the last 100 runs are kept
		hb := laneswap.Heartbeat{Message: fmt.Sprint(random.IntN(5))}
		for hb.Status == "" || hb.Status == laneswap.StatusStale {
			hb.Status = laneswap.Statuses()[random.IntN(len(laneswap.Statuses()))]
		}
		beats := random.IntN(5)
		for _, m := range both {
			_, err := m.Report(t.Context(), "svc", hb)
			require.NoError(t, err)
		}
		time.Sleep(time.Millisecond)
		for _, m := range both {
			for range beats {
				require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
			}
		}
		time.Sleep(time.Millisecond * time.Duration(1+random.Int64N(100_000)))
	}
	lived := time.Since(begun)
	for range 200 {
		q := laneswap.HistoryQuery{Limit: 1 + random.IntN(200)}
		q.From = begun.Add(time.Duration(random.Int64N(int64(lived)))).Truncate(time.Millisecond)
		if q.To = q.From.Add(time.Duration(random.Int64N(int64(lived)))).Truncate(time.Millisecond); !q.To.After(q.From) {
			continue
		}
		require.Equal(t, historyOf(t, both[0], "svc", q), historyOf(t, both[1], "svc", q))
	}
}

func TestHistory_isTheSameBeforeAndAfterARestart(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newCrashStorage(memorystore.New())
				begun := time.Now()
				m := startWithStorage(t, s)
				alternateHourly(t, m.Manager, "svc", 6)
				require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
				time.Sleep(90 * time.Minute)
				require.NoError(t, m.Sync(t.Context()))
				until := time.Now().Add(-2 * time.Second)
				var queries []laneswap.HistoryQuery
				for from := begun.Add(-time.Hour); from.Before(until); from = from.Add(17 * time.Minute) {
					for to := from.Add(20 * time.Minute); to.Before(until); to = to.Add(43 * time.Minute) {
						queries = append(queries, laneswap.HistoryQuery{From: from, To: to})
					}
				}
				before := make([]laneswap.History, len(queries))
				for i, q := range queries {
					before[i] = historyOf(t, m.Manager, "svc", q)
				}
				for range 3 {
					if crash {
						m.crash(s)
					} else {
						m.stop(t)
					}
					time.Sleep(25 * time.Minute)
					s = newCrashStorage(s.Storage)
					m = startWithStorage(t, s)
					for i, q := range queries {
						require.Equal(t, before[i], historyOf(t, m.Manager, "svc", q))
					}
					time.Sleep(5 * time.Minute)
				}
				h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun})
				require.InDelta(t, float64(75*time.Minute), float64(h.Absent), float64(4*time.Second))
				require.Len(t, h.Absences, 3)
				m.stop(t)
			})
		})
	}
}

func TestHistory_saysFromWhenOnItKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now().UTC()
		m := startWithStorage(t, memorystore.New())
		alternateHourly(t, m.Manager, "svc", 1)
		now := time.Now().UTC()

		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun.Add(-30 * 24 * time.Hour)})
		require.Equal(t, begun, h.KnownFrom)
		require.Equal(t, 30*24*time.Hour, h.Unknown)
		require.Equal(t, time.Hour, h.Up)
		percent, ok := h.Uptime()
		require.True(t, ok)
		require.InDelta(t, 100, percent, 0)

		h = historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun.Add(-48 * time.Hour), To: begun.Add(-24 * time.Hour)})
		require.Equal(t, h.To, h.KnownFrom, "nothing is known")
		require.Equal(t, 24*time.Hour, h.Unknown)
		require.Empty(t, h.Spans)
		_, ok = h.Uptime()
		require.False(t, ok)

		h = historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{To: now.Add(time.Hour)})
		require.Equal(t, now, h.To, "what is not over yet means now")
		require.Equal(t, now.Add(-24*time.Hour), h.From)

		h = historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun.Add(time.Minute), To: begun.Add(2 * time.Minute)})
		require.Equal(t, h.From, h.KnownFrom)
		require.Equal(t, time.Minute, h.Up)
		m.stop(t)
	})
}

func TestHistory_listsTheNewestUpToItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := newCrashStorage(memorystore.New())
		m := startWithStorage(t, s, laneswap.WithEventBuffer(4))
		alternateHourly(t, m.Manager, "svc", 12)
		for range 5 {
			time.Sleep(time.Minute)
			m.crash(s)
			time.Sleep(time.Minute)
			s = newCrashStorage(s.Storage)
			m = startWithStorage(t, s, laneswap.WithEventBuffer(4))
		}
		whole := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun})
		require.False(t, whole.Truncated)
		require.Len(t, whole.Spans, 14, "of unknown at the registration, and 13")
		require.Len(t, whole.Incidents, 6)
		require.Len(t, whole.Events, 13)
		require.Len(t, whole.Absences, 5)
		for _, limit := range []int{1, 2, 4, 5, 6, 12, 13} {
			h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun, Limit: limit})
			require.True(t, h.Truncated, limit)
			require.Equal(t, whole.Spans[max(0, 14-limit):], h.Spans)
			require.Equal(t, whole.Incidents[max(0, 6-limit):], h.Incidents)
			require.Equal(t, whole.Events[max(0, 13-limit):], h.Events)
			require.Equal(t, whole.Absences[max(0, 5-limit):], h.Absences)
			require.Equal(t, []any{whole.Up, whole.Down, whole.Absent, whole.Unknown, 6, 6, whole.MeanTimeToRecovery},
				[]any{h.Up, h.Down, h.Absent, h.Unknown, h.IncidentCount, h.Recovered, h.MeanTimeToRecovery})
		}
		require.False(t, historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun, Limit: 14}).Truncated)
		m.stop(t)
	})
}

func TestHistory_refusesWhatIsOutOfRangeAndNamesIt(t *testing.T) {
	t.Parallel()
	m := started(t)
	register(t, m, laneswap.Registration{ID: "svc"})
	now := time.Now()
	for name, c := range map[string]struct {
		q     laneswap.HistoryQuery
		field string
	}{
		"begins in the future":  {laneswap.HistoryQuery{From: now.Add(time.Hour)}, "from"},
		"ends before it begins": {laneswap.HistoryQuery{From: now.Add(-time.Hour), To: now.Add(-2 * time.Hour)}, "from"},
		"is empty":              {laneswap.HistoryQuery{From: now.Add(-time.Hour), To: now.Add(-time.Hour)}, "from"},
		"negative limit":        {laneswap.HistoryQuery{Limit: -1}, "limit"},
		"limit above 10,000":    {laneswap.HistoryQuery{Limit: 10_001}, "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.History(t.Context(), "svc", c.q)
			require.ErrorIs(t, err, laneswap.ErrInvalidQuery)
			var bad *laneswap.ValidationError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.field, bad.Field)
		})
	}
	_, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{Limit: 10_000})
	require.NoError(t, err)
	_, err = m.History(t.Context(), "nobody", laneswap.HistoryQuery{})
	require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	_, err = m.History(t.Context(), "no such id", laneswap.HistoryQuery{})
	require.ErrorIs(t, err, laneswap.ErrInvalidServiceID)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.History(ended, "svc", laneswap.HistoryQuery{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestHistory_goesOnWhenARemovedServiceReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now().UTC()
		m := startWithStorage(t, memorystore.New())
		alternateHourly(t, m.Manager, "svc", 2)
		time.Sleep(time.Hour)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		_, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
		time.Sleep(5 * time.Hour)
		alternateHourly(t, m.Manager, "svc", 2)
		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Equal(t, begun, h.KnownFrom)
		require.Equal(t, 3*time.Hour, h.Up)
		require.Equal(t, 2*time.Hour, h.Down)
		require.Equal(t, 19*time.Hour, h.Unknown, "14 before it was there, and 5 while it was removed")
		require.Equal(t, 2, h.Recovered)
		require.Equal(t, time.Hour, h.MeanTimeToRecovery)
		require.NotEqual(t, h.Incidents[0].ID, h.Incidents[1].ID)
		m.stop(t)
	})
}

func TestHistory_unreadableStorageIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		m := startWithStorage(t, faulty)
		alternateHourly(t, m.Manager, "svc", 4)
		want := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		for call := 1; call <= 3; call++ {
			for _, how := range []storagetest.How{storagetest.Refuse, storagetest.Half} {
				faulty.Inject(storagetest.Fault{Op: storagetest.Rows, At: call, How: how})
				_, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
				require.ErrorIs(t, err, laneswap.ErrStorage)
				faulty.Heal()
			}
		}
		faulty.Inject(storagetest.Fault{Op: storagetest.Rows, How: storagetest.Hang})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := m.History(ctx, "svc", laneswap.HistoryQuery{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, laneswap.ErrStorage)
		require.Equal(t, want.Up+time.Second, historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{}).Up)
		m.stop(t)
	})
}

// While the storage takes nothing, what waits for it is part of history.
func TestHistory_includesTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		disk := memorystore.New()
		faulty := storagetest.NewFaulty(disk)
		m := startWithStorage(t, faulty)
		alternateHourly(t, m.Manager, "svc", 2)
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
		alternateHourly(t, m.Manager, "svc", 3)
		time.Sleep(time.Minute)
		away := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun})
		require.Equal(t, []time.Duration{3 * time.Hour, 2*time.Hour + time.Minute}, []time.Duration{away.Up, away.Down})
		require.Equal(t, 3, away.IncidentCount)
		until := time.Now()
		faulty.Heal()
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		back := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun, To: until})
		require.Equal(t, []time.Duration{away.Up, away.Down}, []time.Duration{back.Up, back.Down})
		require.Len(t, back.Spans, len(away.Spans))
		require.Equal(t, len(away.Spans)-1, countRows(t, disk, "span"))
		m.stop(t)
	})
}

func TestHistory_periodEndHasTheSpanBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		from := time.Now()
		say := func(s laneswap.Status) {
			_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: s})
			require.NoError(t, err)
		}
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		for n := 1; n < 9; n++ { // the first beat was transition 1
			time.Sleep(time.Second)
			say([]laneswap.Status{laneswap.StatusHealthy, laneswap.StatusError}[n%2])
		}
		time.Sleep(time.Hour)
		at := time.Now()
		say(laneswap.StatusError) // 10
		say(laneswap.StatusHealthy)
		time.Sleep(time.Second)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: from, To: at})
		require.NoError(t, err)
		require.Equal(t, time.Hour+4*time.Second, h.Up, "down %v unknown %v", h.Down, h.Unknown)
		m.stop(t)
	})
}

func TestHistory_goesOnWhenReplacedInOneMillisecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		reg := laneswap.Registration{ID: "svc", NoDeadline: true}
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{}))
		require.NoError(t, m.Remove(t.Context(), "svc"))
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{}))
		time.Sleep(time.Hour)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Equal(t, time.Hour, h.Up, "%+v", h.Spans)
		m.stop(t)
	})
}

func TestHistory_replacedWhileDownIsNotDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		time.Sleep(time.Second)
		_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		at := time.Now()
		time.Sleep(time.Hour)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Equal(t, time.Hour+time.Second, h.Up)
		require.Equal(t, 1, h.IncidentCount)
		require.Equal(t, at.UTC(), h.Incidents[0].EndedAt, "%+v", h.Spans)
		m.stop(t)
	})
}

func TestHistory_removalEndsTheIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{Status: laneswap.StatusError}))
		time.Sleep(time.Minute)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		removed := time.Now().UTC()
		time.Sleep(time.Hour)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		time.Sleep(time.Minute)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Len(t, h.Incidents, 1)
		require.Equal(t, time.Minute, h.Incidents[0].Duration, "%+v", h.Incidents[0])
		require.Equal(t, removed, h.Incidents[0].EndedAt)
		m.stop(t)
	})
}

func TestHistory_recoveryAtABoundaryCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		from := time.Now()
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		time.Sleep(time.Minute)
		_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = m.Report(t.Context(), "svc", laneswap.Heartbeat{})
		require.NoError(t, err)
		at := time.Now()
		now, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: from, To: at})
		require.NoError(t, err)
		require.Equal(t, 1, now.Recovered)
		time.Sleep(time.Minute)
		before, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: from, To: at})
		require.NoError(t, err)
		after, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: at})
		require.NoError(t, err)
		require.Equal(t, 1, before.Recovered+after.Recovered, "before %+v, after %+v", before.Incidents, after.Incidents)
		require.Equal(t, now.Incidents, before.Incidents, "the same period, asked later")
		m.stop(t)
	})
}

func TestHistory_aChangedMustRunDoesNotChangeThePast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		reg := laneswap.Registration{ID: "svc", NoDeadline: true, MustRun: true}
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		time.Sleep(time.Hour)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Equal(t, time.Hour, h.Down)
		reg.MustRun = false
		_, err = m.Register(t.Context(), reg)
		require.NoError(t, err)
		h, err = m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Equal(t, time.Hour, h.Down, "up %v", h.Up)
		time.Sleep(time.Second)
		_, err = m.Report(t.Context(), "svc", laneswap.Heartbeat{})
		require.NoError(t, err)
		h, err = m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.GreaterOrEqual(t, h.Down, time.Hour, "up %v", h.Up)
		m.stop(t)
	})
}

func TestHistory_goodShutdownIsNotDowntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		reg := laneswap.Registration{ID: "svc", NoDeadline: true}
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		time.Sleep(time.Hour)
		reg.MustRun = true
		_, err := m.Register(t.Context(), reg)
		require.NoError(t, err)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Equal(t, time.Hour, h.Up, "down %v", h.Down)
		m.stop(t)
	})
}

func TestHistory_afterStopNothingIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		time.Sleep(10 * time.Second)
		m.stop(t)
		time.Sleep(24 * time.Hour)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.LessOrEqual(t, h.Up, 10*time.Second)
	})
}

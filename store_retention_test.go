package laneswap_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

const day = 24 * time.Hour

// archive writes what a Manager of earlier years has left.
type archive struct {
	t    *testing.T
	disk *memorystore.Store
	now  time.Time
	born map[string]time.Time
}

func newArchive(t *testing.T) *archive {
	return &archive{t, memorystore.New(), time.Now().UTC(), map[string]time.Time{}}
}

func (a *archive) put(kind laneswap.Kind, id, service string, at time.Time, open bool, data any) {
	a.t.Helper()
	encoded, err := json.Marshal(data)
	require.NoError(a.t, err)
	row := laneswap.Row{Kind: kind, ID: id, Service: service, At: at, Open: open, Data: encoded}
	require.NoError(a.t, a.disk.Commit(a.t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
}

// ago is a time before now.
func (a *archive) ago(d time.Duration) time.Time { return a.now.Add(-d) }

// alive says that somebody listened until now, and which number no event has had.
func (a *archive) alive(next uint64) {
	a.put("alive", "alive", "", a.now, true, map[string]any{"v": 1, "journal": "j", "next": next, "born": 1})
}

// service leaves a service that is up since then, after so many transitions.
func (a *archive) service(id string, created, since time.Time, transitions int) {
	a.born[id] = created
	a.put(laneswap.KindService, id, id, created, true, map[string]any{
		"v": 1, "id": id, "name": id, "status": "healthy", "created_at": created, "last_heartbeat": a.now, "born": ms(created),
		"since": ms(since), "stamped": ms(a.now), "armed": true, "armed_at": ms(created), "side": "up", "no_deadline": true, "beats": 7, "transitions": transitions, "errors": transitions,
	})
}

func (a *archive) span(id string, created time.Time, number int, state string, from, to time.Time) {
	status := map[string]string{"up": "healthy", "down": "error", "unknown": "unknown"}[state]
	span := map[string]any{"v": 1, "born": ms(created), "number": number, "state": state, "status": status, "from": ms(from), "to": ms(to), "beats": 3}
	if state == "down" {
		span["incident"] = map[string]any{"id": fmt.Sprintf("%s/x-%d", id, number), "started_at": ms(from), "cause": "reported error"}
	}
	a.put("span", fmt.Sprintf("%s/%d/%d", id, ms(created), number), id, to, false, span)
}

func (a *archive) event(id string, sequence int, at time.Time) {
	key := fmt.Sprintf("%s/%s-0/%d", id, strconv.FormatInt(ms(a.born[id]), 36), sequence)
	a.put(laneswap.KindEvent, key, id, at, false, map[string]any{"v": 1, "event": laneswap.Event{
		ID: key, Sequence: uint64(sequence), Kind: laneswap.EventUp, Service: laneswap.ServiceID(id),
		From: laneswap.StatusUnknown, To: laneswap.StatusHealthy, At: at,
	}})
}

func (a *archive) absence(from, back time.Time) {
	a.put("absence", fmt.Sprintf("%d-%d", ms(from), ms(back)), "", back, false, map[string]any{"v": 1, "from": ms(from), "back": ms(back), "lost": true})
}

func (a *archive) reported(id string, created time.Time, number int, at time.Time) {
	key := fmt.Sprintf("%s/%s-e%010d", id, strconv.FormatInt(ms(created), 36), number)
	a.put(laneswap.KindError, key, id, at, false, map[string]any{"v": 1, "id": key, "service_id": id, "timestamp": at, "type": "E", "message": "m"})
}

// pruner notes what is asked of Prune.
type pruner struct {
	laneswap.Storage
	mu     sync.Mutex
	limits map[int]int
	most   map[laneswap.Kind]int // that were deleted at once
}

func (p *pruner) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	n, err := p.Storage.Prune(ctx, k, before, limit)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits[limit]++
	p.most[k] = max(p.most[k], n)
	return n, err
}

func TestRetention_deletesWhatIsOlderInSmallSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		born := a.ago(1000 * day)
		a.service("svc", born, a.ago(100*day), 3000)
		a.alive(5000)
		for n := range 1300 {
			at := a.ago(401*day + time.Duration(n)*time.Minute)
			a.event("svc", 1300-n, at)
			a.span("svc", born, 1300-n, "up", at.Add(-time.Minute), at)
			a.absence(at.Add(-time.Second), at)
			a.reported("svc", born, 1300-n, at)
		}
		for n := range 10 {
			at := a.ago(400*day - time.Hour - time.Duration(n)*day)
			a.event("svc", 2000+n, at)
			a.span("svc", born, 2000+n, "up", at.Add(-day), at)
			a.absence(at.Add(-time.Second), at)
			a.reported("svc", born, 2000+n, at)
		}
		kinds := []laneswap.Kind{laneswap.KindEvent, "span", "absence", laneswap.KindError}
		p := &pruner{Storage: a.disk, limits: map[int]int{}, most: map[laneswap.Kind]int{}}
		m := startWithStorage(t, p)
		time.Sleep(time.Minute)
		for _, kind := range kinds {
			require.Equal(t, 10, countRows(t, a.disk, kind), kind)
		}
		p.mu.Lock()
		require.Len(t, p.limits, 1)
		for limit := range p.limits {
			require.LessOrEqual(t, limit, 1000)
			for _, kind := range kinds {
				require.Equal(t, limit, p.most[kind], "a step is full while there is more")
			}
		}
		p.mu.Unlock()
		require.Len(t, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}), 10)

		// What comes of age later goes later.
		time.Sleep(2 * time.Hour)
		for _, kind := range []laneswap.Kind{laneswap.KindEvent, "span", laneswap.KindError} {
			require.Equal(t, 9, countRows(t, a.disk, kind), kind)
		}
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "svc").Status)
		m.stop(t)
	})
}

func TestRetention_anOpenRunIsKnownHoweverOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.service("old", a.ago(3000*day), a.ago(2000*day), 5)
		a.put(laneswap.KindService, "ill", "ill", a.ago(900*day), true, map[string]any{
			"v": 1, "id": "ill", "name": "ill", "status": "error", "created_at": a.ago(900 * day), "last_heartbeat": a.ago(800 * day), "born": 7,
			"since": ms(a.ago(800 * day)), "stamped": ms(a.now), "armed_at": ms(a.ago(900 * day)), "side": "down", "no_deadline": true, "beats": 7, "transitions": 4, "incidents": 1,
			"incident": map[string]any{"id": "ill/7-1", "started_at": ms(a.ago(800 * day)), "cause": "reported error"},
		})
		a.alive(5000)
		m := startWithStorage(t, a.disk, laneswap.WithRetention(30*day))
		time.Sleep(10 * time.Minute)
		for range 2 {
			h := historyOf(t, m.Manager, "old", laneswap.HistoryQuery{From: a.ago(1500 * day), To: a.now})
			require.Equal(t, 1500*day, h.Up)
			require.Equal(t, h.From, h.KnownFrom)
			require.Equal(t, a.ago(2000*day), h.Spans[0].From)
			h = historyOf(t, m.Manager, "ill", laneswap.HistoryQuery{From: a.ago(day), To: a.now})
			require.Equal(t, day, h.Down)
			require.Equal(t, 1, h.IncidentCount)
			require.Equal(t, a.ago(800*day), h.Incidents[0].StartedAt)
			require.Equal(t, 800*day, h.Incidents[0].Duration)
			m.stop(t)
			m = startWithStorage(t, a.disk, laneswap.WithRetention(30*day))
		}
		_, err := m.Report(t.Context(), "ill", laneswap.Heartbeat{})
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Equal(t, 800*day, historyOf(t, m.Manager, "ill", laneswap.HistoryQuery{}).MeanTimeToRecovery.Truncate(day), "it is kept from its end on")
		m.stop(t)
	})
}

func TestRetention_historySaysFromWhenOnItIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		born := a.ago(600 * day)
		a.service("svc", born, a.ago(100*day), 5)
		a.span("svc", born, 0, "unknown", born, born.Add(time.Second))
		a.span("svc", born, 1, "up", born.Add(time.Second), a.ago(500*day))
		a.span("svc", born, 2, "down", a.ago(500*day), a.ago(450*day))
		a.span("svc", born, 3, "up", a.ago(450*day), a.ago(390*day))
		a.span("svc", born, 4, "down", a.ago(390*day), a.ago(100*day))
		a.alive(5000)
		m := startWithStorage(t, a.disk)
		q := laneswap.HistoryQuery{From: a.ago(700 * day), To: a.now}
		whole := historyOf(t, m.Manager, "svc", q)
		require.Equal(t, born, whole.KnownFrom)
		require.Equal(t, 340*day, whole.Down)
		require.Equal(t, 2, whole.Recovered)
		time.Sleep(time.Minute)
		pruned := historyOf(t, m.Manager, "svc", q)
		require.Equal(t, a.ago(450*day), pruned.KnownFrom, "a run is kept from its end on")
		require.Equal(t, 160*day, pruned.Up)
		require.Equal(t, 290*day, pruned.Down)
		require.Equal(t, 250*day, pruned.Unknown)
		require.Equal(t, 1, pruned.Recovered)
		young := laneswap.HistoryQuery{From: a.ago(400 * day), To: a.now}
		require.Equal(t, young.From, historyOf(t, m.Manager, "svc", young).KnownFrom, "all of the 400 days")
		require.Equal(t, 110*day, historyOf(t, m.Manager, "svc", young).Up)
		m.stop(t)
	})
}

func TestRetention_deletedEventsAreGoneAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.service("svc", a.ago(600*day), a.ago(300*day), 20)
		for n := 1; n <= 10; n++ {
			a.event("svc", n, a.ago(500*day-time.Duration(n)*time.Hour))
			a.event("svc", n+10, a.ago(300*day-time.Duration(n)*time.Hour))
		}
		a.alive(21)
		m := startWithStorage(t, a.disk)
		require.Len(t, eventsOf(t, m.Manager, laneswap.EventQuery{}), 20)
		time.Sleep(time.Minute)
		m.stop(t)
		m = startWithStorage(t, a.disk)
		evs := eventsOf(t, m.Manager, laneswap.EventQuery{})
		require.Len(t, evs, 10)
		require.Equal(t, uint64(11), evs[0].Sequence)
		require.Equal(t, evs, eventsOf(t, m.Manager, laneswap.EventQuery{After: 10}))
		for _, err := range m.Events(t.Context(), laneswap.EventQuery{After: 9}) {
			require.ErrorIs(t, err, laneswap.ErrGone)
		}
		require.Len(t, statusOf(t, m.Manager, "svc").Events, 10)
		m.stop(t)
	})
}

func TestRetention_failingPruneIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]storagetest.How{
		"refused": storagetest.Refuse, "half": storagetest.Half, "hanging": storagetest.Hang, "lost": storagetest.LoseAnswer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newArchive(t)
				a.service("svc", a.ago(600*day), a.ago(300*day), 2000)
				for n := range 700 {
					a.event("svc", n+1, a.ago(500*day-time.Duration(n)*time.Minute))
				}
				a.event("svc", 2000, a.ago(day))
				a.alive(5000)
				faulty := storagetest.NewFaulty(a.disk)
				faulty.Inject(storagetest.Fault{Op: storagetest.Prune, Times: -1, How: how})
				m := startWithStorage(t, faulty)
				for range 10 {
					time.Sleep(time.Minute)
					require.Equal(t, "ok", m.Health().Storage.State)
					st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusBusy})
					require.NoError(t, err)
					require.False(t, st.NotDurable)
				}
				require.Equal(t, 1, countRows(t, faulty, laneswap.KindEvent)-overdue(t, a.disk, a.ago(400*day)))
				faulty.Heal()
				time.Sleep(time.Minute)
				require.Equal(t, 1, countRows(t, faulty, laneswap.KindEvent), "what is younger stays")
				faulty.Inject(storagetest.Fault{Op: storagetest.Prune, Times: -1, How: how})
				time.Sleep(35 * time.Second)
				begun := time.Now()
				m.stop(t)
				require.Less(t, time.Since(begun), 2*time.Second, "nobody waits for a prune")
			})
		})
	}
}

// overdue counts the events that are to be deleted.
func overdue(t *testing.T, s laneswap.Storage, before time.Time) (n int) {
	t.Helper()
	for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent, To: before}) {
		require.NoError(t, err)
		n++
	}
	return n
}

func TestRetention_isADayToTenYears(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{-1, 0, day - 1, 3650*day + 1} {
		m := laneswap.NewManager(laneswap.WithRetention(d))
		err := m.Start(t.Context())
		require.ErrorIs(t, err, laneswap.ErrInvalidOption)
		var bad *laneswap.ValidationError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "retention", bad.Field)
	}
	for _, d := range []time.Duration{laneswap.MinRetention, laneswap.DefaultRetention, laneswap.MaxRetention} {
		started(t, laneswap.WithRetention(d))
	}
}

func TestRetention_aLiveServiceKeepsItsDaysOnly(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk, laneswap.WithRetention(laneswap.MinRetention), laneswap.WithCheckInterval(5*time.Minute))
		alternateHourly(t, m.Manager, "svc", 30) // an hour each
		reportError(t, m.Manager, "svc", laneswap.ErrorReport{Type: "E"})
		time.Sleep(30 * time.Minute)
		require.InDelta(t, 25, countRows(t, disk, "span"), 1)
		require.InDelta(t, 25, countRows(t, disk, laneswap.KindEvent), 1)
		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Equal(t, h.From, h.KnownFrom, "the last 24 hours are whole")
		require.Equal(t, day, h.Up+h.Down)
		require.Len(t, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}), 1)
		m.stop(t)
	})
}

// oneAtATime is a storage for one write at a time, whose Prune lasts until its context
// ends.
type oneAtATime struct {
	laneswap.Storage
	free chan struct{}
}

func (s *oneAtATime) Commit(ctx context.Context, b laneswap.Batch) error {
	select {
	case <-s.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.free <- struct{}{} }()
	return s.Storage.Commit(ctx, b)
}

func (s *oneAtATime) Prune(ctx context.Context, _ laneswap.Kind, _ time.Time, _ int) (int, error) {
	<-s.free
	defer func() { s.free <- struct{}{} }()
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestRetention_pruningDelaysNoStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &oneAtATime{Storage: memorystore.New(), free: make(chan struct{}, 1)}
		s.free <- struct{}{}
		m := startWithStorage(t, s)
		time.Sleep(laneswap.DefaultCheckInterval + 500*time.Millisecond)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		began := time.Now()
		m.stop(t)
		require.Less(t, time.Since(began), time.Second)
	})
}

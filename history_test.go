package laneswap_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// world is a storage, the Manager on it, and what a test knows to be true of the
// services in it: when they were there, what was answered, and when nobody heard.
type world struct {
	t     *testing.T
	rand  *rand.Rand
	disk  *memorystore.Store
	cable *crashStorage
	m     *run
	begun int64 // ms
	lives map[laneswap.ServiceID][]*life
	gone  []stretch
	bound []int64 // ms at which something happened
}

// life is the time from a registration to a removal.
type life struct {
	from, to int64   // ms; to is 0 while it lasts
	last     uint64  // the latest event of it; set with to
	must     []bool  // whether it may not say goodbye, by turns
	turn     []int64 // from which ms on each of them counts
	seen     []sight
}

// sight is how a service stood, by its answer.
type sight struct {
	at     int64
	status laneswap.Status
}

type stretch struct{ from, to int64 }

func ms(at time.Time) int64 { return at.UnixMilli() }

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 7)), disk: memorystore.New(), lives: map[laneswap.ServiceID][]*life{}}
	w.boot()
	w.begun = ms(time.Now())
	for _, id := range []laneswap.ServiceID{"plain", "must", "fast", "calm"} {
		w.register(id)
	}
	return w
}

func (w *world) boot() {
	w.cable = newCrashStorage(w.disk)
	w.m = startWithStorage(w.t, w.cable)
}

func (w *world) register(id laneswap.ServiceID) {
	w.lives[id] = append(w.lives[id], &life{from: ms(time.Now())})
	w.demand(id, id == "must")
}

// demand registers a service, again if need be.
func (w *world) demand(id laneswap.ServiceID, must bool) {
	reg := laneswap.Registration{ID: id, MustRun: must, NoDeadline: id == "calm"}
	if id == "fast" {
		reg.Interval, reg.StaleAfter = 5*time.Second, 12*time.Second
	}
	_, err := w.m.Register(w.t.Context(), reg)
	require.NoError(w.t, err)
	l := w.life(id)
	l.must, l.turn = append(l.must, must), append(l.turn, ms(time.Now()))
	w.mark()
}

func (w *world) mark() { w.bound = append(w.bound, ms(time.Now())) }

func (w *world) life(id laneswap.ServiceID) *life { return w.lives[id][len(w.lives[id])-1] }

// look notes how a service stands.
func (w *world) look(id laneswap.ServiceID) {
	l := w.life(id)
	l.seen = append(l.seen, sight{ms(time.Now()), statusOf(w.t, w.m.Manager, id).Status})
}

// remove takes a service out for a while.
func (w *world) remove(id laneswap.ServiceID) {
	require.NoError(w.t, w.m.Remove(w.t.Context(), id))
	l := w.life(id)
	sum, err := w.m.Summary(w.t.Context())
	require.NoError(w.t, err)
	l.to, l.last = ms(time.Now()), sum.Sequence
	w.mark()
	if w.rand.IntN(3) > 0 {
		time.Sleep(w.some())
	}
	w.register(id)
}

// restart ends the Manager and starts the next one.
func (w *world) restart() {
	clean := w.rand.IntN(2) == 0
	if clean {
		w.m.stop(w.t)
	} else {
		w.m.crash(w.cable)
	}
	var alive time.Time
	for row, err := range w.disk.Rows(w.t.Context(), laneswap.RowQuery{Kind: "alive"}) {
		require.NoError(w.t, err)
		alive = row.At
	}
	if clean {
		require.Equal(w.t, time.Now().UTC(), alive)
	}
	require.LessOrEqual(w.t, time.Since(alive), time.Second, "the last second before a crash")
	if w.rand.IntN(4) > 0 {
		time.Sleep(w.some())
	}
	w.boot()
	from := ms(alive)
	if n := len(w.gone); n > 0 {
		from = max(from, w.gone[n-1].to) // it lived too shortly to say so
	}
	w.gone = append(w.gone, stretch{from, ms(time.Now())})
	w.bound = append(w.bound, ms(alive))
	w.mark()
}

// some is a time of any order of magnitude.
func (w *world) some() time.Duration {
	most := []time.Duration{20 * time.Millisecond, 2 * time.Second, 50 * time.Second, 3 * time.Minute, 20 * time.Minute}
	return time.Millisecond * (1 + time.Duration(w.rand.Int64N(int64(most[w.rand.IntN(len(most))]/time.Millisecond))))
}

// step lets something happen, and time pass.
func (w *world) step() {
	for id := range w.lives {
		w.look(id)
	}
	ids := []laneswap.ServiceID{"plain", "must", "fast", "calm"}
	id := ids[w.rand.IntN(len(ids))]
	switch n := w.rand.IntN(40); {
	case n == 0:
		for range 1 + w.rand.IntN(3) {
			w.restart()
			time.Sleep(time.Duration(w.rand.IntN(900)) * time.Millisecond)
		}
	case n == 1:
		w.remove(id)
	case n == 2:
		time.Sleep(time.Millisecond)
		w.demand(id, w.rand.IntN(2) == 0)
		time.Sleep(time.Millisecond)
	case n < 8:
		for range w.rand.IntN(30) {
			require.NoError(w.t, w.m.Beat(w.t.Context(), id, laneswap.Heartbeat{}))
			time.Sleep(time.Duration(w.rand.Int64N(int64(4 * time.Second))).Truncate(time.Millisecond))
		}
	case n < 34:
		hb := laneswap.Heartbeat{Message: fmt.Sprint("message ", n)}
		for hb.Status == "" || hb.Status == laneswap.StatusStale {
			hb.Status = laneswap.Statuses()[w.rand.IntN(len(laneswap.Statuses()))]
		}
		hb.Final = w.rand.IntN(20) == 0
		st, err := w.m.Report(w.t.Context(), id, hb)
		require.NoError(w.t, err)
		require.Equal(w.t, hb.Status, st.Status)
		w.mark()
		w.look(id)
	}
	if w.rand.IntN(8) > 0 {
		time.Sleep(w.some())
	}
}

// truth is what was of a service, by its events and by what the world knows.
type truth struct {
	runs      []truthRun
	incidents []*truthIncident
	gone      []stretch
	now       int64
}

type truthRun struct {
	stretch
	status   laneswap.Status
	state    laneswap.SpanState
	incident *truthIncident
}

type truthIncident struct {
	id       string
	from, to int64 // to is 0 while it lasts
}

// truth reads the events of a service. It knows nothing of spans.
func (w *world) truth(id laneswap.ServiceID) truth {
	tr := truth{gone: w.gone, now: ms(time.Now())}
	evs := eventsOf(w.t, w.m.Manager, laneswap.EventQuery{Service: id})
	for _, l := range w.lives[id] {
		present := truthRun{stretch: stretch{from: l.from}, status: laneswap.StatusUnknown, state: laneswap.SpanUnknown}
		var open *truthIncident
		for ; len(evs) > 0 && (l.to == 0 || evs[0].Sequence <= l.last); evs = evs[1:] {
			ev := evs[0]
			at := ms(ev.At)
			w.bound = append(w.bound, at)
			if ev.Kind == laneswap.EventRemoved {
				open.to = at
				continue
			}
			present.to = at
			tr.runs = append(tr.runs, present)
			present = truthRun{stretch: stretch{from: at}, status: ev.To, state: laneswap.SpanUnknown}
			switch {
			case ev.To.Bad() || l.demands(at) && ev.To == laneswap.StatusShutdown:
				present.state = laneswap.SpanDown
			case ev.To.Good():
				present.state = laneswap.SpanUp
			}
			switch ev.Kind {
			case laneswap.EventDown:
				open = &truthIncident{id: ev.Incident, from: at}
				tr.incidents = append(tr.incidents, open)
			case laneswap.EventRecovered:
				open.to, open = at, nil
			}
			present.incident = open
		}
		if present.to = l.to; l.to == 0 {
			present.to = tr.now
		}
		tr.runs = append(tr.runs, present)
		tr.agrees(w.t, id, l)
	}
	return tr
}

// demands reports whether the service had to run.
func (l *life) demands(at int64) bool {
	i, _ := slices.BinarySearch(l.turn, at+1)
	return l.must[i-1]
}

// agrees checks the events against what was answered.
func (tr truth) agrees(t *testing.T, id laneswap.ServiceID, l *life) {
	t.Helper()
	for _, s := range l.seen {
		var fits bool
		for _, r := range tr.runs {
			same := r.status == s.status || r.status.Good() && s.status.Good()
			fits = fits || r.from <= s.at && s.at <= r.to && same
		}
		require.True(t, fits, "%s was %s at %v", id, s.status, time.UnixMilli(s.at).UTC())
	}
}

// heard is a stretch without our absences.
func (tr truth) heard(s stretch) (ms int64) {
	ms = s.to - s.from
	for _, g := range tr.gone {
		ms -= max(0, min(s.to, g.to)-max(s.from, g.from))
	}
	return ms
}

// check compares the history of a period with the truth. to is at most now.
func (tr truth) check(t *testing.T, h laneswap.History, from, to int64) {
	t.Helper()
	running := to == tr.now
	var up, down, absent int64
	known := to
	worst := map[*truthIncident]int{}
	for i, r := range tr.runs {
		s := stretch{max(r.from, from), min(r.to, to)}
		begins := running && i == len(tr.runs)-1 && r.from == to
		if s.from >= s.to && !begins && (r.from != r.to || r.from < from || r.from >= to) {
			continue
		}
		known = min(known, s.from)
		absent += s.to - s.from - tr.heard(s)
		switch r.state {
		case laneswap.SpanUp:
			up += tr.heard(s)
		case laneswap.SpanDown:
			down += tr.heard(s)
		}
		if r.incident != nil {
			for i, status := range laneswap.Statuses() {
				if before, ok := worst[r.incident]; status == r.status && (!ok || i < before) {
					worst[r.incident] = i
				}
			}
		}
	}
	what := fmt.Sprintf("from %v to %v", h.From, h.To)
	require.Equal(t, []int64{from, to}, []int64{ms(h.From), ms(h.To)})
	require.Equal(t, time.Duration(up)*time.Millisecond, h.Up, "up %s", what)
	require.Equal(t, time.Duration(down)*time.Millisecond, h.Down, "down %s", what)
	require.Equal(t, time.Duration(absent)*time.Millisecond, h.Absent, "absent %s", what)
	require.Equal(t, h.To.Sub(h.From), h.Up+h.Down+h.Unknown+h.Absent, what)
	require.Equal(t, known, ms(h.KnownFrom), "known from, %s", what)
	percent, ok := h.Uptime()
	require.Equal(t, up+down > 0, ok)
	if ok {
		require.InDelta(t, 100*float64(up)/float64(up+down), percent, 1e-9)
	}
	tr.checkIncidents(t, h, worst, to)
}

func (tr truth) checkIncidents(t *testing.T, h laneswap.History, worst map[*truthIncident]int, to int64) {
	t.Helper()
	require.Len(t, h.Incidents, len(worst), "from %v to %v", h.From, h.To)
	require.Equal(t, len(worst), h.IncidentCount)
	recovered, took, n := 0, time.Duration(0), 0
	for _, i := range tr.incidents {
		rank, touches := worst[i]
		if !touches {
			continue
		}
		got := h.Incidents[n]
		n++
		require.Equal(t, i.id, got.ID)
		require.Equal(t, i.from, ms(got.StartedAt))
		require.Equal(t, laneswap.Statuses()[rank], got.Worst)
		end, ended := to, i.to != 0 && (i.to < to || i.to == to && !got.EndedAt.IsZero())
		if ended {
			end = i.to
			recovered++
			took += time.Duration(end-i.from) * time.Millisecond
			require.Equal(t, end, ms(got.EndedAt))
		}
		require.Equal(t, ended, !got.EndedAt.IsZero(), "%+v from %v to %v", got, h.From, h.To)
		require.Equal(t, time.Duration(end-i.from)*time.Millisecond, got.Duration)
	}
	require.Equal(t, recovered, h.Recovered)
	if recovered > 0 {
		require.InDelta(t, float64(took)/float64(recovered), float64(h.MeanTimeToRecovery), float64(time.Millisecond))
	} else {
		require.Zero(t, h.MeanTimeToRecovery)
	}
}

// period is a random one: mostly with its ends where something happened.
func (w *world) period() (from, to int64) {
	now := ms(time.Now())
	at := func() int64 {
		if w.rand.IntN(3) > 0 {
			return w.bound[w.rand.IntN(len(w.bound))] + w.rand.Int64N(3) - 1
		}
		return w.begun - 3_600_000 + w.rand.Int64N(now-w.begun+2*3_600_000)
	}
	for from >= min(to, now) {
		from, to = at(), at()
	}
	if w.rand.IntN(8) == 0 {
		to = now
	}
	return from, to
}

func (w *world) history(id laneswap.ServiceID, from, to int64) laneswap.History {
	w.t.Helper()
	h, err := w.m.History(w.t.Context(), id, laneswap.HistoryQuery{From: time.UnixMilli(from), To: time.UnixMilli(to)})
	require.NoError(w.t, err)
	return h
}

func TestHistory_agreesWithTheTruthOfRandomLives(t *testing.T) {
	t.Parallel()
	for seed := range scaled(1, 3, 16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { liveAndCompare(t, uint64(seed)) })
		})
	}
}

func liveAndCompare(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	for range 3 {
		for range 60 {
			w.step()
		}
		if w.rand.IntN(2) == 0 {
			w.restart()
		}
		for id := range w.lives {
			tr := w.truth(id)
			for range 25 {
				from, to := w.period()
				h := w.history(id, from, to)
				to = min(to, tr.now)
				tr.check(t, h, from, to)
				w.split(id, h)
			}
		}
	}
	w.m.stop(t)
}

// split has two adjacent periods add up to the whole.
func (w *world) split(id laneswap.ServiceID, whole laneswap.History) {
	from, to := ms(whole.From), ms(whole.To)
	if to-from < 2 {
		return
	}
	middle := w.bound[w.rand.IntN(len(w.bound))]
	if middle <= from || middle >= to {
		middle = from + 1 + w.rand.Int64N(to-from-1)
	}
	a, b := w.history(id, from, middle), w.history(id, middle, to)
	require.Equal(w.t, whole.Up, a.Up+b.Up)
	require.Equal(w.t, whole.Down, a.Down+b.Down)
	require.Equal(w.t, whole.Unknown, a.Unknown+b.Unknown)
	require.Equal(w.t, whole.Absent, a.Absent+b.Absent)
	require.Equal(w.t, whole.Recovered, a.Recovered+b.Recovered, "of %s from %v over %v to %v", id, a.From, b.From, b.To)
	require.GreaterOrEqual(w.t, a.IncidentCount+b.IncidentCount, whole.IncidentCount)
}

// A Duration holds 292 years, and 1970 is not the zero time.
func TestHistory_goesBackTo1970(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		alternateHourly(t, m.Manager, "svc", 1)
		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: time.UnixMilli(0)})
		require.True(t, h.From.Equal(time.UnixMilli(0)))
		require.Equal(t, time.Hour, h.Up)
		require.Equal(t, h.To.Sub(h.From)-time.Hour, h.Unknown)
		_, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: time.Date(1500, 1, 2, 0, 0, 0, 0, time.UTC)})
		require.ErrorIs(t, err, laneswap.ErrInvalidQuery)
		var bad *laneswap.ValidationError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "from", bad.Field)
		m.stop(t)
	})
}

package laneswap_test

import (
	"cmp"
	"errors"
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

// A drama is one scenario of three lives on one storage, ended by crashes, at
// fixed times: what is the same in two dramas must end in the same. Deeds are
// clients that wait for their answers; each is done at its time, whatever the one
// before it waits for.
type drama struct {
	t       *testing.T
	begun   time.Time
	faulty  *storagetest.Faulty
	told    recorder // in all lives
	m       *run
	deeds   sync.WaitGroup
	done    int // deeds
	crashes []time.Duration
	away    time.Duration // how long the storage takes nothing, once struck

	mu     sync.Mutex // guards what is below
	ledger []deed
	late   bool // a start has found no storage
}

// deed is what a client was told: that something is so, or that it is not sure.
type deed struct {
	at      time.Duration
	service laneswap.ServiceID
	what    string // register, remove, report or error; missing when the service was not there
	status  laneswap.Status
	record  laneswap.ErrorRecord
	made    time.Time // when the event happened that it made; zero for none
	durable bool
}

const (
	playThreshold = 20 * time.Second
	playLife      = 50*time.Second + 600*time.Millisecond
	playSleep     = 3 * time.Second // between two lives
)

// perform plays it all; faults are injected by who calls. At the end the last
// life has been crashed as well.
func (p *drama) perform() {
	p.begun = time.Now()
	p.live(p.childhood)
	p.live(p.youth)
	p.live(p.age)
}

func (p *drama) elapsed() time.Duration { return time.Since(p.begun) }

// struck is when the first fault met a call; before it all where none did. How
// many calls there are, and so which one is the n-th, differs from run to run.
func (p *drama) struck() time.Duration {
	met := p.faulty.Met()
	if len(met) == 0 {
		return -24 * time.Hour
	}
	return met[0].Sub(p.begun)
}

// locate says where the fault of a drama that failed was; it is deferred.
func (p *drama) locate(name string, n int) {
	if p.t.Failed() {
		p.t.Logf("%s at call %d of %d, at %v", name, n, p.faulty.Calls(storagetest.Any), p.struck())
	}
}

// live is one life: deeds at their times, beats all along, and a crash.
func (p *drama) live(deeds func(begin time.Duration)) {
	begin := p.elapsed()
	s := newSevered(p.faulty)
	p.m = launch(p.t, s, laneswap.WithStaleThreshold(playThreshold), laneswap.WithNotifier(&p.told))
	p.late = p.late || p.elapsed() > begin || p.m.Health().Stage != "running"
	over := make(chan struct{})
	p.beat(over, "steady", 2*time.Second)
	if begin < playLife {
		p.beat(over, "worker", 3*time.Second)
	}
	deeds(begin)
	time.Sleep(begin + playLife - p.elapsed())
	require.Equal(p.t, begin+playLife, p.elapsed())
	if since := p.elapsed() - p.struck(); 6*time.Second < since && since < p.away {
		require.NotEqual(p.t, "ok", p.m.Health().Storage.State, "it says so")
		if p.m.Health().Stage == "running" {
			require.Contains(p.t, kindsOf(p.t, p.m.Manager), laneswap.EventStorageAway, "it says so")
		}
	}
	p.crashes = append(p.crashes, p.elapsed())
	close(over)
	p.m.crash(s)
	p.deeds.Wait() // who waits for the dead is told
	time.Sleep(begin + playLife + playSleep - p.elapsed())
}

// beat keeps a service beating until a life is over.
func (p *drama) beat(over <-chan struct{}, id laneswap.ServiceID, interval time.Duration) {
	m := p.m
	go func() { // ended with the life
		time.Sleep(137 * time.Millisecond) // never together with a deed
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				began := time.Now()
				_ = m.Beat(p.t.Context(), id, laneswap.Heartbeat{})
				if !time.Now().Equal(began) {
					p.t.Error("a beat has waited")
				}
			case <-over:
				return
			}
		}
	}()
}

// do has a client do something at a time of the drama.
func (p *drama) do(at time.Duration, id laneswap.ServiceID, what string, f func(m *laneswap.Manager, d *deed) error) {
	time.Sleep(at + 400*time.Millisecond - p.elapsed())
	m := p.m.Manager
	p.done++
	pause := time.Second + time.Duration(p.done)*time.Millisecond // no two at once
	p.deeds.Go(func() {
		for {
			d := deed{at: p.elapsed(), service: id, what: what}
			err := f(m, &d)
			if waited := p.elapsed() - d.at; waited > 5*time.Second {
				p.t.Errorf("%s of %s has waited %v", what, id, waited)
			}
			switch {
			case errors.Is(err, laneswap.ErrLoading): // told to come again
				p.mu.Lock()
				p.late = true
				p.mu.Unlock()
				time.Sleep(pause)
				continue
			case errors.Is(err, laneswap.ErrServiceNotFound):
				d.what, d.durable = "missing", false
			case errors.Is(err, laneswap.ErrStopped), errors.Is(err, laneswap.ErrDegraded):
				d.durable = false
			case err != nil:
				p.t.Errorf("%s of %s: %v", what, id, err)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ledger = append(p.ledger, d)
			return
		}
	})
	synctest.Wait()
}

func (p *drama) register(at time.Duration, reg laneswap.Registration) {
	p.do(at, reg.ID, "register", func(m *laneswap.Manager, d *deed) error {
		st, err := m.Register(p.t.Context(), reg)
		d.durable = !st.NotDurable
		return err
	})
}

func (p *drama) report(at time.Duration, id laneswap.ServiceID, hb laneswap.Heartbeat) {
	p.do(at, id, "report", func(m *laneswap.Manager, d *deed) error {
		st, err := m.Report(p.t.Context(), id, hb)
		d.status, d.durable = st.ReportedStatus, !st.NotDurable
		if err == nil && m.Ready(p.t.Context()) == nil {
			for _, ev := range eventsOf(p.t, m, laneswap.EventQuery{Service: id}) {
				if ev.To == st.Status && ev.At.Equal(p.begun.Add(d.at)) {
					d.made = ev.At
				}
			}
		}
		return err
	})
}

func (p *drama) remove(at time.Duration, id laneswap.ServiceID) {
	p.do(at, id, "remove", func(m *laneswap.Manager, d *deed) error {
		d.durable = true
		return m.Remove(p.t.Context(), id)
	})
}

func (p *drama) fail(at time.Duration, id laneswap.ServiceID, message string) {
	p.do(at, id, "error", func(m *laneswap.Manager, d *deed) error {
		rec, err := m.ReportError(p.t.Context(), id, laneswap.ErrorReport{Type: "Oops", Message: message})
		d.record, d.durable = rec, !rec.NotDurable
		return err
	})
}

// childhood registers them all; "silent" goes stale and recovers.
func (p *drama) childhood(b time.Duration) {
	p.register(b+1*time.Second, laneswap.Registration{ID: "steady", Name: "Steady", Interval: 2 * time.Second, Tags: []string{"x"}})
	p.register(b+2*time.Second, laneswap.Registration{ID: "worker", Metadata: map[string]any{"host": "a"}})
	p.register(b+3*time.Second, laneswap.Registration{ID: "silent"})
	p.register(b+4*time.Second, laneswap.Registration{ID: "doomed"})
	p.report(b+5*time.Second, "silent", laneswap.Heartbeat{Message: "once"})
	p.report(b+6*time.Second, "worker", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk <full>", Metadata: map[string]any{"free": 0.0}})
	p.fail(b+7*time.Second, "steady", "first")
	p.report(b+8*time.Second, "doomed", laneswap.Heartbeat{Status: laneswap.StatusCritical})
	p.report(b+14*time.Second, "steady", laneswap.Heartbeat{Status: laneswap.StatusBusy, Message: "much to do"})
	p.remove(b+16*time.Second, "doomed")
	p.fail(b+18*time.Second, "steady", "second")
	p.report(b+27*time.Second, "silent", laneswap.Heartbeat{Message: "again"}) // stale since 25
	p.report(b+30*time.Second, "steady", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "hot"})
}

// youth brings "doomed" back and lets "worker" die.
func (p *drama) youth(b time.Duration) {
	p.register(b+11*time.Second, laneswap.Registration{ID: "doomed", Name: "Doomed no more"})
	p.report(b+13*time.Second, "doomed", laneswap.Heartbeat{Message: "hello"})
	p.report(b+14*time.Second, "steady", laneswap.Heartbeat{Status: laneswap.StatusError})
	p.register(b+16*time.Second, laneswap.Registration{ID: "steady", Interval: 2 * time.Second, Metadata: map[string]any{"v": "2"}})
	p.report(b+18*time.Second, "steady", laneswap.Heartbeat{})
	p.report(b+22*time.Second, "silent", laneswap.Heartbeat{})
	p.fail(b+24*time.Second, "steady", "third")
	p.report(b+28*time.Second, "doomed", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "doomed after all"})
}

// age has "worker" back, and says goodbye.
func (p *drama) age(b time.Duration) {
	p.report(b+11*time.Second, "worker", laneswap.Heartbeat{Message: "back"})
	p.report(b+13*time.Second, "doomed", laneswap.Heartbeat{Status: laneswap.StatusShutdown, Message: "bye"})
	p.report(b+15*time.Second, "silent", laneswap.Heartbeat{Status: laneswap.StatusDegraded})
	p.fail(b+17*time.Second, "worker", "fourth")
	p.report(b+19*time.Second, "worker", laneswap.Heartbeat{Status: laneswap.StatusShutdown})
}

// outcome is what is there after the last crash.
type outcome struct {
	Services map[laneswap.ServiceID]laneswap.ServiceStatus
	Events   map[laneswap.ServiceID][]laneswap.Event
	Errors   map[laneswap.ServiceID][]laneswap.ErrorRecord
	History  map[laneswap.ServiceID]laneswap.History
	own      []laneswap.Event // LaneSwap's
}

// outcome starts once more and reads it all.
func (p *drama) outcome(disk *memorystore.Store) outcome {
	t := p.t
	m := launch(t, disk, laneswap.WithStaleThreshold(playThreshold), laneswap.WithNotifier(&p.told))
	o := outcome{
		Services: map[laneswap.ServiceID]laneswap.ServiceStatus{}, Events: map[laneswap.ServiceID][]laneswap.Event{},
		Errors: map[laneswap.ServiceID][]laneswap.ErrorRecord{}, History: map[laneswap.ServiceID]laneswap.History{},
	}
	for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
		require.NoError(t, err)
		o.Services[st.ID] = st
		for rec, err := range m.Errors(t.Context(), st.ID, laneswap.ErrorQuery{}) {
			require.NoError(t, err)
			o.Errors[st.ID] = append(o.Errors[st.ID], rec)
		}
		h, err := m.History(t.Context(), st.ID, laneswap.HistoryQuery{From: p.begun, To: p.begun.Add(p.crashes[2])})
		require.NoError(t, err)
		require.Equal(t, h.To.Sub(h.From), h.Up+h.Down+h.Unknown+h.Absent, "of %s", st.ID)
		o.History[st.ID] = h
	}
	last, ids := uint64(0), map[string]bool{}
	for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{}) {
		require.Greater(t, ev.Sequence, last, "of %s", ev.ID)
		require.False(t, ids[ev.ID], "%s is there twice", ev.ID)
		last, ids[ev.ID] = ev.Sequence, true
		if ev.Service == "" {
			o.own = append(o.own, ev)
		} else {
			o.Events[ev.Service] = append(o.Events[ev.Service], ev)
		}
	}
	require.NoError(t, m.CheckBooks())
	m.stop(t)
	return o
}

// check compares what is there with what clients were told.
func (p *drama) check(o outcome) {
	t := p.t
	slices.SortStableFunc(p.ledger, func(a, b deed) int { return cmp.Compare(a.at, b.at) })
	for i, d := range p.ledger {
		at := fmt.Sprintf("%s of %s at %v was acknowledged", d.what, d.service, d.at)
		about := func(deeds []deed, what ...string) bool {
			return slices.ContainsFunc(deeds, func(l deed) bool { return l.service == d.service && slices.Contains(what, l.what) })
		}
		later := func(what ...string) bool { return about(p.ledger[i+1:], what...) }
		switch {
		case d.what == "missing":
			known := slices.IndexFunc(p.ledger[:i], func(l deed) bool { return l.service == d.service && l.what == "register" && l.durable })
			require.True(t, known < 0 || about(p.ledger[known:i], "remove"), "%s was lost before %v", d.service, d.at)
		case !d.durable:
		case d.what == "register" && !later("remove"):
			require.Contains(t, o.Services, d.service, at)
		case d.what == "remove" && !later("register"):
			require.NotContains(t, o.Services, d.service, at)
		case d.what == "error" && !later("remove"):
			require.Contains(t, o.Errors[d.service], d.record, at)
		case d.what == "report":
			// A beat says that all is well, and some beat all the time.
			beats := d.service == "steady" || d.service == "worker" && d.at < playLife
			if !later("report", "remove") && !beats {
				require.Equal(t, d.status, o.Services[d.service].ReportedStatus, at)
			}
			if !d.made.IsZero() {
				n := 0
				for _, ev := range o.Events[d.service] {
					if ev.To == d.status && ev.At.Equal(d.made) {
						n++
					}
				}
				require.Equal(t, 1, n, "the event of the %s", at)
			}
		}
	}
	for _, ev := range o.Events["steady"] {
		require.NotEqual(t, laneswap.StatusStale, ev.To, "it was never silent: %+v", ev)
	}
	// What is stored was told, in its order. What was told may be lost, where
	// nothing was acknowledged.
	for id, evs := range o.Events {
		var want []string
		for _, ev := range evs {
			if ev.Kind != laneswap.EventUp {
				want = append(want, ev.ID+ev.At.String())
			}
		}
		require.Equal(t, want, p.told.of(id, want))
	}
}

// same compares with the outcome of the scenario without a fault.
func (o outcome) same(t *testing.T, want outcome) {
	require.Equal(t, want.bare().Services, o.bare().Services)
	require.Equal(t, want.bare().Events, o.bare().Events)
	require.Equal(t, want.Errors, o.Errors)
	for id, w := range want.bare().History {
		h := o.bare().History[id]
		for _, d := range [][2]time.Duration{{w.Up, h.Up}, {w.Down, h.Down}, {w.Unknown, h.Unknown}, {w.Absent, h.Absent}} {
			require.InDelta(t, d[0].Seconds(), d[1].Seconds(), 1.5, "of %s", id) // the alive row is a second old at most
		}
		require.Equal(t, w.Spans, h.Spans)
		require.Equal(t, w.Incidents, h.Incidents)
		require.Equal(t, w.IncidentCount, h.IncidentCount)
		require.Equal(t, w.Recovered, h.Recovered)
		require.Equal(t, w.MeanTimeToRecovery, h.MeanTimeToRecovery)
	}
}

// bare is an outcome without what may differ by a second, or by the events of
// LaneSwap itself.
func (o outcome) bare() outcome {
	events := func(evs []laneswap.Event) []laneswap.Event {
		evs = slices.Clone(evs)
		for i := range evs {
			evs[i].Sequence = 0
		}
		return evs
	}
	out := outcome{
		Services: map[laneswap.ServiceID]laneswap.ServiceStatus{}, Events: map[laneswap.ServiceID][]laneswap.Event{},
		History: map[laneswap.ServiceID]laneswap.History{},
	}
	for id, st := range o.Services {
		st.Beats, st.LastHeartbeat, st.Deadline, st.Late = 0, time.Time{}, time.Time{}, false
		st.Events = events(st.Events)
		out.Services[id] = st
	}
	for id, evs := range o.Events {
		out.Events[id] = events(evs)
	}
	for id, h := range o.History {
		h.Spans = slices.Clone(h.Spans)
		for i := range h.Spans {
			h.Spans[i].Beats, h.Spans[i].LongestGap = 0, 0
		}
		out.History[id] = h
	}
	return out
}

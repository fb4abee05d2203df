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

// A scenario has three runs of a Manager on one storage, each ended by a crash, at
// fixed times: without faults it always has the same outcome. Clients call at their
// times and wait for their answers; one that waits delays no other.
type scenario struct {
	t        *testing.T
	begun    time.Time
	faulty   *storagetest.Faulty
	notifier recorder // of all runs
	m        *run
	calls    sync.WaitGroup
	done     int // calls of clients
	crashes  []time.Duration
	away     time.Duration // how long the storage takes nothing, once struck

	mu           sync.Mutex // guards what is below
	acknowledged []clientCall
	late         bool // a start has found no storage
}

// clientCall is a call of a client and what its answer acknowledged.
type clientCall struct {
	at      time.Duration
	service laneswap.ServiceID
	what    string // register, remove, report or error; missing when the service was not there
	status  laneswap.Status
	record  laneswap.ErrorRecord
	made    time.Time // when the event happened that it made; zero for none
	durable bool
}

const (
	scenarioThreshold = 20 * time.Second
	runLength         = 50*time.Second + 600*time.Millisecond
	scenarioPause     = 3 * time.Second // between two runs
)

// playAll plays the three runs; the caller injects faults. At the end the last
// run has crashed as well.
func (p *scenario) playAll() {
	p.begun = time.Now()
	p.playRun(p.firstRun)
	p.playRun(p.secondRun)
	p.playRun(p.thirdRun)
}

func (p *scenario) elapsed() time.Duration { return time.Since(p.begun) }

// firstFault is when the first fault met a call; before it all where none did. How
// many calls there are, and so which one is the n-th, differs from run to run.
func (p *scenario) firstFault() time.Duration {
	met := p.faulty.Met()
	if len(met) == 0 {
		return -24 * time.Hour
	}
	return met[0].Sub(p.begun)
}

// locate logs where the fault was when the test has failed; it is deferred.
func (p *scenario) locate(name string, n int) {
	if p.t.Failed() {
		p.t.Logf("%s at call %d of %d, at %v", name, n, p.faulty.Calls(storagetest.Any), p.firstFault())
	}
}

// playRun is one run: calls at their times, beats all along, and a crash.
func (p *scenario) playRun(calls func(begin time.Duration)) {
	begin := p.elapsed()
	s := newCrashStorage(p.faulty)
	p.m = startWithStorage(p.t, s, laneswap.WithStaleThreshold(scenarioThreshold), laneswap.WithNotifier(&p.notifier))
	p.late = p.late || p.elapsed() > begin || p.m.Health().Stage != "running"
	over := make(chan struct{})
	p.beat(over, "steady", 2*time.Second)
	if begin < runLength {
		p.beat(over, "worker", 3*time.Second)
	}
	calls(begin)
	time.Sleep(begin + runLength - p.elapsed())
	require.Equal(p.t, begin+runLength, p.elapsed())
	if since := p.elapsed() - p.firstFault(); 6*time.Second < since && since < p.away {
		require.NotEqual(p.t, "ok", p.m.Health().Storage.State, "it says so")
		if p.m.Health().Stage == "running" {
			require.Contains(p.t, kindsOf(p.t, p.m.Manager), laneswap.EventStorageAway, "it says so")
		}
	}
	p.crashes = append(p.crashes, p.elapsed())
	close(over)
	p.m.crash(s)
	p.calls.Wait() // a call that waits for a crashed Manager returns
	time.Sleep(begin + runLength + scenarioPause - p.elapsed())
}

// beat keeps a service beating until a life is over.
func (p *scenario) beat(over <-chan struct{}, id laneswap.ServiceID, interval time.Duration) {
	m := p.m
	go func() { // ended with the life
		time.Sleep(137 * time.Millisecond) // never together with a call
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

// do makes a client call f at a time of the scenario.
func (p *scenario) do(at time.Duration, id laneswap.ServiceID, what string, f func(m *laneswap.Manager, d *clientCall) error) {
	time.Sleep(at + 400*time.Millisecond - p.elapsed())
	m := p.m.Manager
	p.done++
	pause := time.Second + time.Duration(p.done)*time.Millisecond // no two at once
	p.calls.Go(func() {
		for {
			d := clientCall{at: p.elapsed(), service: id, what: what}
			err := f(m, &d)
			if waited := p.elapsed() - d.at; waited > 5*time.Second {
				p.t.Errorf("%s of %s has waited %v", what, id, waited)
			}
			switch {
			case errors.Is(err, laneswap.ErrLoading): // the client tries again
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
			p.acknowledged = append(p.acknowledged, d)
			return
		}
	})
	synctest.Wait()
}

func (p *scenario) register(at time.Duration, reg laneswap.Registration) {
	p.do(at, reg.ID, "register", func(m *laneswap.Manager, d *clientCall) error {
		st, err := m.Register(p.t.Context(), reg)
		d.durable = !st.NotDurable
		return err
	})
}

func (p *scenario) report(at time.Duration, id laneswap.ServiceID, hb laneswap.Heartbeat) {
	p.do(at, id, "report", func(m *laneswap.Manager, d *clientCall) error {
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

func (p *scenario) remove(at time.Duration, id laneswap.ServiceID) {
	p.do(at, id, "remove", func(m *laneswap.Manager, d *clientCall) error {
		d.durable = true
		return m.Remove(p.t.Context(), id)
	})
}

func (p *scenario) fail(at time.Duration, id laneswap.ServiceID, message string) {
	p.do(at, id, "error", func(m *laneswap.Manager, d *clientCall) error {
		rec, err := m.ReportError(p.t.Context(), id, laneswap.ErrorReport{Type: "Oops", Message: message})
		d.record, d.durable = rec, !rec.NotDurable
		return err
	})
}

// firstRun registers them all; "silent" goes stale and recovers.
func (p *scenario) firstRun(b time.Duration) {
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

// secondRun brings "doomed" back and lets "worker" die.
func (p *scenario) secondRun(b time.Duration) {
	p.register(b+11*time.Second, laneswap.Registration{ID: "doomed", Name: "Doomed no more"})
	p.report(b+13*time.Second, "doomed", laneswap.Heartbeat{Message: "hello"})
	p.report(b+14*time.Second, "steady", laneswap.Heartbeat{Status: laneswap.StatusError})
	p.register(b+16*time.Second, laneswap.Registration{ID: "steady", Interval: 2 * time.Second, Metadata: map[string]any{"v": "2"}})
	p.report(b+18*time.Second, "steady", laneswap.Heartbeat{})
	p.report(b+22*time.Second, "silent", laneswap.Heartbeat{})
	p.fail(b+24*time.Second, "steady", "third")
	p.report(b+28*time.Second, "doomed", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "doomed after all"})
}

// thirdRun has "worker" back, and says goodbye.
func (p *scenario) thirdRun(b time.Duration) {
	p.report(b+11*time.Second, "worker", laneswap.Heartbeat{Message: "back"})
	p.report(b+13*time.Second, "doomed", laneswap.Heartbeat{Status: laneswap.StatusShutdown, Message: "bye"})
	p.report(b+15*time.Second, "silent", laneswap.Heartbeat{Status: laneswap.StatusDegraded})
	p.fail(b+17*time.Second, "worker", "fourth")
	p.report(b+19*time.Second, "worker", laneswap.Heartbeat{Status: laneswap.StatusShutdown})
}

// outcome is the state after the last crash.
type outcome struct {
	Services map[laneswap.ServiceID]laneswap.ServiceStatus
	Events   map[laneswap.ServiceID][]laneswap.Event
	Errors   map[laneswap.ServiceID][]laneswap.ErrorRecord
	History  map[laneswap.ServiceID]laneswap.History
	own      []laneswap.Event // LaneSwap's
}

// outcome starts once more and reads it all.
func (p *scenario) outcome(disk *memorystore.Store) outcome {
	t := p.t
	m := startWithStorage(t, disk, laneswap.WithStaleThreshold(scenarioThreshold), laneswap.WithNotifier(&p.notifier))
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

// check compares the outcome with what was acknowledged to clients.
func (p *scenario) check(o outcome) {
	t := p.t
	slices.SortStableFunc(p.acknowledged, func(a, b clientCall) int { return cmp.Compare(a.at, b.at) })
	for i, d := range p.acknowledged {
		at := fmt.Sprintf("%s of %s at %v was acknowledged", d.what, d.service, d.at)
		about := func(calls []clientCall, what ...string) bool {
			return slices.ContainsFunc(calls, func(l clientCall) bool { return l.service == d.service && slices.Contains(what, l.what) })
		}
		later := func(what ...string) bool { return about(p.acknowledged[i+1:], what...) }
		switch {
		case d.what == "missing":
			known := slices.IndexFunc(p.acknowledged[:i], func(l clientCall) bool { return l.service == d.service && l.what == "register" && l.durable })
			require.True(t, known < 0 || about(p.acknowledged[known:i], "remove"), "%s was lost before %v", d.service, d.at)
		case !d.durable:
		case d.what == "register" && !later("remove"):
			require.Contains(t, o.Services, d.service, at)
		case d.what == "remove" && !later("register"):
			require.NotContains(t, o.Services, d.service, at)
		case d.what == "error" && !later("remove"):
			require.Contains(t, o.Errors[d.service], d.record, at)
		case d.what == "report":
			// A beat says that all is well, and some beat all the time.
			beats := d.service == "steady" || d.service == "worker" && d.at < runLength
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
	// Each stored event was sent, in order. A sent event may be lost where nothing
	// was acknowledged.
	for id, evs := range o.Events {
		var want []string
		for _, ev := range evs {
			if ev.Kind != laneswap.EventUp {
				want = append(want, ev.ID+ev.At.String())
			}
		}
		require.Equal(t, want, p.notifier.of(id, want))
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

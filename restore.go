package laneswap

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// loadPatience is how long Start waits for a storage that does not answer before
// the Manager comes up without what is in it.
const loadPatience = 5 * time.Second

// loading is one attempt to read the storage.
type loading struct {
	decided atomic.Bool   // somebody has: to take up what was read, or to abandon it
	done    chan struct{} // closed when the reading has ended
	first   chan error    // the first result
	cancel  func()
}

// abandon ends the reading; true when nothing of it was or will be taken up. Else
// it has been, when abandon returns. A storage that does not obey its context is
// not waited for.
func (l *loading) abandon() bool {
	l.cancel()
	if l.decided.CompareAndSwap(false, true) {
		return true
	}
	<-l.done
	return false
}

// load reads the storage until that succeeds or ctx ends, and takes up what it
// held. Start starts it; it ends by itself, or when it is abandoned.
func (m *Manager) load(ctx context.Context, attempt *loading) {
	defer attempt.cancel()
	defer close(attempt.done)
	pause := commitPause
	for {
		l, err := read(ctx, m.opts.storage, m.opts.events)
		if err == nil {
			m.claimNumbers(ctx, l)
			if !attempt.decided.CompareAndSwap(false, true) {
				return
			}
			m.takeUp(l)
		}
		select {
		case attempt.first <- err:
		default: // Start does not wait any more
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		m.log.Error("storage cannot be read; it is tried again", "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, commitRest)
	}
}

// claimNumbers has the storage know, before there is any new event, that more
// numbers are in use. Where it does not take that, the numbering begins anew under
// another name: after a crash the same numbers might be given to other events.
func (m *Manager) claimNumbers(ctx context.Context, l *loaded) {
	claim := storedAlive{Version: storedVersion, Journal: m.ring.name, Next: 1}
	if l.alive != nil {
		claim = *l.alive
	}
	next, ended := claim.Next, claim.Ended
	claim.Next, claim.Ended = claim.Next+reserve, false
	at := l.until // nobody listened since
	if at == 0 {
		at = m.now().Wall / int64(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(ctx, durableWithin)
	defer cancel()
	row, err := rowOf(aliveRow(at, &claim))
	if err == nil {
		err = m.try(ctx, Batch{Epoch: 1, Put: []Row{row}})
	}
	if err != nil {
		m.log.Error("storage can be read but does not take what it is given; events are numbered anew", "err", err)
		claim.Journal = rand.Text()
	}
	claim.Next, claim.Ended = next, ended
	l.alive = &claim
}

// takeUp makes the Manager go on where an earlier one ended, and begins to judge
// and to store.
func (m *Manager) takeUp(l *loaded) {
	redone := l.redone
	m.registry.mu.Lock()
	now := m.now()
	wall := now.Wall / int64(time.Millisecond)
	m.logAbsence(m.resume(l, now))
	m.alerts.resumeNotices(l) // before anything new is owed
	m.alerts.oweAgain(l, redone.events)
	m.journal.Note(now.Mono, redone.runs, nil)
	m.journal.Put(now.Mono, l.strays()...)
	for id := range redone.gone {
		m.journal.Put(now.Mono, deletions(string(id))...)
	}
	for _, s := range l.services {
		imported := s.Version == 0
		if imported {
			s.adopt(m.opts.limits, wall)
		}
		m.restore(s, l, now, imported || redone.states[s.ID])
	}
	for _, r := range m.registry.byID {
		r.mu.Lock()
		if r.limbo {
			m.release(r, now)
		}
		r.mu.Unlock()
	}
	m.recollect(l)
	for _, p := range *m.alerts.posts.Load() {
		m.alerts.resumePost(p, l.ledger, func(id ServiceID) *record { return m.registry.byID[id] })
	}
	m.judge.born = max(m.judge.born, wall)
	waited := m.stage.CompareAndSwap(stageLoading, stageStarted)
	m.registry.mu.Unlock()
	if !waited {
		return // stopped meanwhile
	}
	for _, remark := range m.opts.remarks {
		m.proclaim(EventStorageDamaged, remark, 0)
	}
	if n := len(l.unread); n > 0 {
		for _, what := range l.unread {
			m.log.Error("a stored row cannot be read; it is left as it is", "err", what)
		}
		m.proclaim(EventStorageDamaged, fmt.Sprintf("%d rows of the storage cannot be read; they are left as they are", n), 0)
	}
	if away := time.Duration(m.now().Mono - m.began.Load()); away > loadPatience {
		m.proclaim(EventStorageBack, "the storage could be read at last", away)
	}
	go m.write(m.storing) // ended by Stop
	go m.prune(m.ctx)     // ended by Stop
	m.rouse(true)
}

// resume sets the clocks of the judge and the numbers of the events. The registry
// is locked for writing.
func (m *Manager) resume(l *loaded, now instant) absence {
	name, next := m.ring.name, uint64(1)
	if l.alive != nil {
		name, next = l.alive.Journal, l.alive.Next
		m.judge.born = max(m.judge.born, l.alive.Born)
	}
	m.ring.resume(name, l.events, l.floor, next)
	killed := l.until != 0 && (l.alive == nil || !l.alive.Ended)
	if l.until == 0 {
		// If anybody listened it was another program, at least until the latest
		// heartbeat that it stored.
		l.until = now.Wall / int64(time.Millisecond)
		latest := int64(0)
		for _, s := range l.services {
			latest = max(latest, s.LastHeartbeat.UnixMilli())
		}
		if latest > 0 {
			l.until = min(l.until, latest)
		}
	}
	// A clock that is behind the one of then says nothing of the time between.
	l.until = min(l.until, now.Wall/int64(time.Millisecond))
	m.past = past{l.until, now}
	gone := make([]absence, len(l.absences))
	for i, a := range l.absences {
		gone[i] = absence{From: m.past.at(a.From), Back: m.past.at(a.Back), Lost: a.Lost, Cut: a.Cut}
	}
	return m.judge.absences.Resume(gone, m.past.at(l.until), now, l.whole, killed)
}

// past turns stored times into instants.
type past struct {
	until int64 // wall ms: when we listened last
	now   instant
}

// at is the instant of a wall ms. What was before we listened last was before
// now, whatever became of the wall clock: no time passes backwards.
func (p past) at(ms int64) instant {
	now := p.now.Wall / int64(time.Millisecond)
	ago := max(0, p.until-ms) + max(0, now-max(ms, p.until))
	return instant{Mono: p.now.Mono - ago*int64(time.Millisecond), Wall: ms * int64(time.Millisecond)}
}

// restore makes a record of a stored service, or gives what is stored to the one
// that was registered meanwhile. The registry is locked for writing.
func (m *Manager) restore(s *storedService, l *loaded, now instant, changed bool) {
	r := m.registry.byID[s.ID]
	if r == nil {
		r = &record{id: s.ID, slot: -1, cell: new(cell)}
		r.mu.Lock()
		defer r.mu.Unlock()
		m.fill(r, s, l, true)
		m.judge.count("", r.status)
		m.registry.put(r)
		m.judge.schedule(r)
	} else {
		r.mu.Lock()
		defer r.mu.Unlock()
		m.reunite(r, s, l)
		changed = true
	}
	if b := l.beats[string(s.ID)]; b != nil {
		old := &speech{}
		for _, rec := range b.Beats {
			m.speeches.keep(old, rec)
		}
		for _, rec := range m.speeches.records(r.spoke) {
			m.speeches.keep(old, rec)
		}
		m.speeches.forget(r.spoke)
		r.spoke = old
	}
	if changed {
		m.save(r, true) // what was held may have been acknowledged by halves
	}
}

// fill sets a record to what is stored of it; the cell of one that is not fresh
// goes on. r.mu is held.
func (m *Manager) fill(r *record, s *storedService, l *loaded, fresh bool) {
	j := m.judge
	r.reg = Registration{
		ID: s.ID, Name: cmp.Or(shown(s.Name), shown(string(s.ID)), "(no name)"), Interval: s.Interval, StaleAfter: s.StaleAfter, ForgetAfter: s.ForgetAfter,
		NoDeadline: s.NoDeadline, MustRun: s.MustRun, Tags: s.Tags,
		AlertAfter: thresholdOf(s.AlertAfter), RecoverAfter: thresholdOf(s.RecoverAfter),
	}
	if r.reg.Tags == nil {
		r.reg.Tags = []string{} // as one that was registered has
	}
	r.made, r.foreign = s.Made, s.Foreign
	r.created, r.born, r.since, r.stamped = s.CreatedAt.UnixMilli(), s.Born, s.Since, s.Stamped
	r.metadata, r.message = s.Metadata, s.Message
	r.status, r.reported = s.Status, s.Reported
	if !r.reported.Valid() {
		r.reported = s.Status
	}
	r.armed, r.armedAt, r.endedAt = s.Armed, m.past.at(s.ArmedAt).Mono, m.past.at(s.EndedAt).Mono
	r.transitions, r.incidents, r.errors, r.oldest = s.Transitions, s.Incidents, s.Errors, s.Oldest
	r.runBeats, r.noted = s.RunBeats, s.Beats
	if i := s.Incident; i != nil {
		r.incident = i.incident()
		r.incident.start = m.past.at(i.StartedAt).Mono
		if r.incident.id == "" {
			r.incident.id = r.incidentID(r.incidents)
		}
	}
	r.turned = side{since: m.past.at(s.Since).Mono, beats: s.Beats}
	if r.incident != nil {
		r.turned = side{bad: true, since: r.incident.start, beats: s.Beats}
	}
	if t := s.Turned; t != nil {
		r.turned.since, r.turned.beats, r.turned.quiet, r.turned.missed = m.past.at(t.At).Mono, t.Beats, t.Quiet, t.Missed
	}
	r.turned.silent = m.past.at(s.Since).Mono
	if r.side = s.Side; r.side == "" {
		r.side = r.spanState()
	}
	resight := false
	last := r.armedAt
	// One that was judged and is as it was before would be judged for ever.
	judged := s.Judged && (s.Status == StatusStale || s.Status == StatusUnknown)
	if s.Beats > 0 {
		last = m.past.at(s.LastHeartbeat.UnixMilli()).Mono
	}
	if at, ok := l.seen[string(s.ID)]; ok && at >= r.created {
		if at > l.until+aliveEvery/int64(time.Millisecond) {
			// Nobody was heard after we listened last: a clock was ahead. The storage
			// would keep that for ever, and take every earlier time for older.
			at = l.until
			m.journal.Put(m.past.now.Mono, &entry{Key: key(KindSeen, string(s.ID)), Service: string(s.ID), Delete: true})
			resight = true
		}
		if seen := m.past.at(at).Mono; seen > last {
			last = seen
			judged = judged && seen <= r.armedAt
		}
		if s.Beats == 0 {
			s.Beats = 1 // it has beaten since its state was stored
		}
	}
	j.born = max(j.born, r.born)
	if fresh {
		r.cell.last.Store(last)
	} else if prev := r.cell.last.Load(); r.cell.beats.Load() == 0 {
		// It has registered since, which is no sign of life.
		r.cell.last.CompareAndSwap(prev, last)
	}
	r.seen.Store(last)
	if resight {
		r.seen.Store(math.MinInt64)
	}
	r.cell.beats.Add(s.Beats)
	r.cell.gap.Store(int64(s.Gap))
	r.cell.window.Store(j.window(r.reg))
	r.judged = max(last, r.armedAt) - 1
	if judged {
		r.judged++
	}
	r.cell.slow.Store(!r.quiet())
}

// recollect gives the services their latest events.
func (m *Manager) recollect(l *loaded) {
	stored := map[*record][]*Event{}
	for _, ev := range l.events {
		if r := m.registry.byID[ev.Service]; r != nil {
			if born, _, _, ok := transitionOf(ev.ID); ok && born == r.born {
				stored[r] = append(stored[r], ev)
			}
		}
	}
	for _, r := range m.registry.byID {
		r.mu.Lock()
		if old := stored[r]; old != nil {
			// What it said before the storage was read came after them.
			younger := r.events
			r.events = nil
			for _, ev := range append(old, younger...) {
				r.keep(ev)
			}
		}
		r.recalled = uint64(len(r.events)) >= min(r.transitions, maxStatusEvts)
		r.mu.Unlock()
	}
}

// How long a reader waits for the latest events of a service, and how soon it is
// tried again when they could not be read.
const (
	recallPatience = time.Second
	recallRest     = int64(30 * time.Second)
)

// recall reads the latest events of a service from the storage, once, when the
// start did not find them. It is called without locks; what cannot be read now is
// tried again.
func (m *Manager) recall(asked context.Context, r *record) {
	if m.journal == nil {
		return
	}
	now := m.now().Mono
	r.mu.Lock()
	done, born := r.recalled || now < r.recallAt, r.born
	r.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(asked, recallPatience)
	defer cancel()
	var older []*Event
	var bad unread
	defer bad.log(m, r.id)
	for row, err := range m.opts.storage.Rows(ctx, RowQuery{Kind: KindEvent, Service: string(r.id), Descending: true, Limit: maxStatusEvts}) {
		if err != nil {
			if asked.Err() != nil {
				return // who asked has gone, which says nothing of the storage
			}
			r.mu.Lock()
			r.recallAt = m.now().Mono + recallRest
			r.mu.Unlock()
			m.log.Warn("events of a service cannot be read", "service", r.id, "err", err)
			return
		}
		ev, err := decodeEvent(row)
		if bad.skip(err) {
			continue
		}
		if birth, _, _, ok := transitionOf(ev.Event.ID); ok && birth == born {
			older = append(older, ev.Event)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recalled {
		return
	}
	r.recalled = true
	slices.SortFunc(older, func(a, b *Event) int { return cmp.Compare(b.Sequence, a.Sequence) })
	known := map[string]bool{}
	younger := r.events
	for _, ev := range younger {
		known[ev.ID] = true
	}
	r.events = nil
	for i := len(older) - 1; i >= 0; i-- {
		if !known[older[i].ID] {
			r.keep(older[i])
		}
	}
	for _, ev := range younger {
		r.keep(ev)
	}
}

// beginLoading starts the reading of the storage. m.life is held.
func (m *Manager) beginLoading() *loading {
	ctx, cancel := context.WithCancel(m.storing)
	m.loading = &loading{done: make(chan struct{}), first: make(chan error, 1), cancel: cancel}
	m.began.Store(max(1, m.now().Mono))
	m.stage.Store(stageLoading)
	go m.load(ctx, m.loading)
	return m.loading
}

// awaitLoading waits a while for the storage to be read. An error ends the start.
func (m *Manager) awaitLoading(ctx context.Context, l *loading) error {
	patience := time.NewTimer(loadPatience)
	defer patience.Stop()
	var err error
	select {
	case err = <-l.first:
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNewer) {
			m.log.Warn("started without what is stored; unknown services are told to come again, nobody is judged")
			return nil
		}
	case <-patience.C:
		m.log.Warn("started without what is stored: the storage does not answer; unknown services are told to come again, nobody is judged")
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !l.abandon() {
		return nil // it was read after all
	}
	m.stage.CompareAndSwap(stageLoading, stageNew) // unless it was stopped meanwhile
	return err
}

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

	"github.com/laneswap/laneswap/internal/cell"
	"github.com/laneswap/laneswap/internal/clock"
)

// loadPatience is how long Start waits for a storage that does not answer. After it
// the Manager starts without what the storage holds.
const loadPatience = 5 * time.Second

// reading is one attempt to read the storage.
type reading struct {
	decided atomic.Bool   // set by the first to decide: the loader restores, or abandon ends the reading
	done    chan struct{} // closed when the reading has ended
	first   chan error    // the first result
	cancel  func()
}

// abandon ends the reading. It returns true when nothing was or will be restored;
// false when everything has been. It does not wait for a storage that ignores its
// context.
func (a *reading) abandon() bool {
	a.cancel()
	if a.decided.CompareAndSwap(false, true) {
		return true
	}
	<-a.done
	return false
}

// read starts to read the storage. The Manager's life is held.
func (s *store) read() *reading {
	ctx, cancel := context.WithCancel(s.ctx)
	s.reading = &reading{done: make(chan struct{}), first: make(chan error, 1), cancel: cancel}
	s.began.Store(max(1, s.now().Mono))
	s.stage.Store(stageLoading)
	go s.load(ctx, s.reading)
	return s.reading
}

// awaitReading waits for the first result of a reading. An error ends the start.
func (s *store) awaitReading(ctx context.Context, a *reading) error {
	patience := time.NewTimer(loadPatience)
	defer patience.Stop()
	const without = "started before the storage could be read: unknown services get an error, no service is marked stale"
	var err error
	select {
	case err = <-a.first:
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNewer) {
			s.log.Warn(without, "err", err)
			return nil
		}
	case <-patience.C:
		s.log.Warn(without, "err", "the storage does not answer")
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !a.abandon() {
		return nil // the loader was faster
	}
	s.stage.CompareAndSwap(stageLoading, stageNew) // unless Stop came first
	return err
}

// load reads the storage until that succeeds or ctx ends, and restores what it held.
// Start starts it; it ends by itself, or when the reading is abandoned.
func (s *store) load(ctx context.Context, a *reading) {
	defer a.cancel()
	defer close(a.done)
	pause := commitPause
	for {
		l, err := read(ctx, s.storage, s.opts.events)
		if err == nil {
			s.claimNumbers(ctx, l)
			if !a.decided.CompareAndSwap(false, true) {
				return
			}
			s.restore(l)
		}
		select {
		case a.first <- err:
		default: // Start no longer waits
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.Error("storage cannot be read; LaneSwap tries again", "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, maxCommitPause)
	}
}

// claimNumbers stores that more event numbers are in use, before there is a new event.
// Where the storage refuses, the numbering starts again under another name: after a
// crash, other events might get the same numbers.
func (s *store) claimNumbers(ctx context.Context, l *loaded) {
	claim := storedAlive{Version: storedVersion, Journal: s.events.name, Next: 1}
	if l.alive != nil {
		claim = *l.alive
	}
	next, ended := claim.Next, claim.Ended
	claim.Next, claim.Ended = claim.Next+reservedNumbers, false
	at := l.until // LaneSwap has received nothing since
	if at == 0 {
		at = s.now().Wall / int64(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(ctx, durableWithin)
	defer cancel()
	row, err := rowOf(aliveEntry(at, &claim))
	if err == nil {
		err = s.try(ctx, Batch{Epoch: 1, Put: []Row{row}})
	}
	if err != nil {
		s.log.Error("storage can be read but not written; the numbering of events starts again", "err", err)
		claim.Journal = rand.Text()
	}
	claim.Next, claim.Ended = next, ended
	l.alive = &claim
}

// restore continues where an earlier run ended, and begins to judge and to store.
func (s *store) restore(l *loaded) {
	s.registry.mu.Lock()
	now := s.now()
	wall := now.Wall / int64(time.Millisecond)
	s.saveAbsence(s.restoreClocks(l, now))
	s.alerts.restoreNotices(l) // before any new notice
	s.alerts.enqueueTorn(l, l.replayed.events)
	s.journal.Note(now.Mono, l.replayed.runs, nil)
	s.journal.Put(now.Mono, l.orphans()...)
	for id := range l.replayed.gone {
		s.journal.Put(now.Mono, deletionsOf(id)...)
	}
	for _, stored := range l.services {
		imported := stored.Version == 0
		if imported {
			stored.convert(s.opts.limits, wall)
		}
		s.restoreService(stored, l, now, imported || l.replayed.states[stored.ID])
	}
	for _, r := range s.registry.byID {
		r.mu.Lock()
		if r.isPending {
			s.startFresh(r, now)
		}
		r.mu.Unlock()
	}
	s.restoreEvents(l)
	for _, w := range *s.alerts.workers.Load() {
		s.alerts.reconcile(w, l.delivered, func(id ServiceID) *record { return s.registry.byID[id] })
	}
	s.judge.generation = max(s.judge.generation, wall)
	waited := s.stage.CompareAndSwap(stageLoading, stageStarted)
	s.registry.mu.Unlock()
	if !waited {
		return // stopped meanwhile
	}
	for _, remark := range s.opts.remarks {
		s.reportOwn(EventStorageDamaged, remark, 0)
	}
	if n := len(l.unread); n > 0 {
		for _, what := range l.unread {
			s.log.Error("a stored row cannot be read and is left as it is", "err", what)
		}
		s.reportOwn(EventStorageDamaged, fmt.Sprintf("%d rows of the storage cannot be read and are left as they are; the log names them", n), 0)
	}
	if away := time.Duration(s.now().Mono - s.began.Load()); away > loadPatience {
		s.reportOwn(EventStorageBack, "the storage has been read", away)
	}
	go s.write(s.ctx)     // ended by Stop
	go s.prune(s.pruning) // ended by Stop
	s.wake(true)
}

// restoreClocks sets the clocks of the judge and the numbers of the events. It returns
// the absence since the earlier run. The registry is locked for writing.
func (s *store) restoreClocks(l *loaded, now clock.Instant) clock.Absence {
	name, next := s.events.name, uint64(1)
	if l.alive != nil {
		name, next = l.alive.Journal, l.alive.Next
		s.judge.generation = max(s.judge.generation, l.alive.Born)
	}
	s.events.resume(name, l.events, l.floor, next)
	killed := l.until != 0 && (l.alive == nil || !l.alive.Ended)
	if l.until == 0 {
		// Another program may have listened, at least until the latest heartbeat that
		// it stored.
		l.until = now.Wall / int64(time.Millisecond)
		latest := int64(0)
		for _, stored := range l.services {
			latest = max(latest, stored.LastHeartbeat.UnixMilli())
		}
		if latest > 0 {
			l.until = min(l.until, latest)
		}
	}
	// A clock that was set back says nothing of the time between.
	l.until = min(l.until, now.Wall/int64(time.Millisecond))
	s.past = past{l.until, now}
	gone := make([]clock.Absence, len(l.absences))
	for i, a := range l.absences {
		gone[i] = clock.Absence{From: s.past.at(a.From), Back: s.past.at(a.Back), Lost: a.Lost, Cut: a.Cut}
	}
	return s.absences.Resume(gone, s.past.at(l.until), now, l.whole, killed)
}

// past maps stored times to instants.
type past struct {
	until int64 // wall ms: when the earlier run last received heartbeats
	now   clock.Instant
}

// at returns the instant of a wall ms. What was before the end of the earlier run was
// before now, even when the wall clock was set back: time never passes backwards.
func (p past) at(ms int64) clock.Instant {
	now := p.now.Wall / int64(time.Millisecond)
	ago := max(0, p.until-ms) + max(0, now-max(ms, p.until))
	return clock.Instant{Mono: p.now.Mono - ago*int64(time.Millisecond), Wall: ms * int64(time.Millisecond)}
}

// restoreService makes a record of a stored service, or merges the stored state into
// the record that was registered meanwhile. The registry is locked for writing.
func (s *store) restoreService(stored *storedService, l *loaded, now clock.Instant, changed bool) {
	r := s.registry.byID[stored.ID]
	if r == nil {
		r = &record{cell: new(cell.Cell), deadlineIndex: -1}
		r.id = stored.ID
		r.mu.Lock()
		defer r.mu.Unlock()
		s.fill(r, stored, l, true)
		s.judge.count("", r.status)
		s.registry.put(r)
		s.judge.schedule(r)
	} else {
		r.mu.Lock()
		defer r.mu.Unlock()
		s.mergeStored(r, stored, l)
		changed = true
	}
	if b := l.beats[string(stored.ID)]; b != nil {
		all := &beatList{}
		for _, rec := range append(b.Beats, s.recent.copies(r.recent)...) {
			s.recent.keep(all, rec)
		}
		s.recent.Clear(r.recent)
		r.recent = all
	}
	if changed {
		s.save(r, true) // part of what was buffered may have been acknowledged
	}
}

// fill sets a record to its stored state. The cell of a record that is not fresh
// keeps counting. r.mu is held.
func (s *store) fill(r *record, stored *storedService, l *loaded, fresh bool) {
	j := s.judge
	stored.into(r, func(ms int64) int64 { return s.past.at(ms).Mono })
	stale := false // the storage has a later time of the last heartbeat than possible
	last := r.expectingSince
	// A record that was judged and is unchanged would otherwise be judged again.
	judged := stored.Judged && (stored.Status == StatusStale || stored.Status == StatusUnknown)
	if stored.Beats > 0 {
		last = s.past.at(stored.LastHeartbeat.UnixMilli()).Mono
	}
	if at, ok := l.seen[string(stored.ID)]; ok && at >= r.created {
		if at > l.until+aliveEvery/int64(time.Millisecond) {
			// LaneSwap received nothing after until: a clock was ahead. The storage
			// would keep that time for ever, and take every true one for older.
			at = l.until
			s.journal.Put(s.past.now.Mono, deletion(KindSeen, string(stored.ID), stored.ID))
			stale = true
		}
		if seen := s.past.at(at).Mono; seen > last {
			last = seen
			judged = judged && seen <= r.expectingSince
		}
		if stored.Beats == 0 {
			stored.Beats = 1 // the service has beaten since its state was stored
		}
	}
	j.generation = max(j.generation, r.generation)
	if fresh {
		r.cell.Last.Store(last)
	} else if prev := r.cell.Last.Load(); r.cell.Beats.Load() == 0 {
		// It has registered since, which is no sign of life.
		r.cell.Last.CompareAndSwap(prev, last)
	}
	r.seen.Store(last)
	if stale {
		r.seen.Store(math.MinInt64)
	}
	r.cell.Beats.Add(stored.Beats)
	r.cell.Gap.Store(int64(stored.Gap))
	r.cell.Window.Store(j.window(r.reg))
	r.judgedBeat = max(last, r.expectingSince) - 1
	if judged {
		r.judgedBeat++
	}
	r.cell.Slow.Store(!r.isPlain())
}

// restoreEvents gives the services their latest events.
func (s *store) restoreEvents(l *loaded) {
	stored := map[*record][]*Event{}
	for _, ev := range l.events {
		if r := s.registry.byID[ev.Service]; r != nil {
			if born, _, _, ok := transitionOf(ev.ID); ok && born == r.generation {
				stored[r] = append(stored[r], ev)
			}
		}
	}
	for _, r := range s.registry.byID {
		r.mu.Lock()
		if older := stored[r]; older != nil {
			r.prependEvents(older)
		}
		r.eventsComplete = uint64(len(r.events)) >= min(r.transitions, maxStatusEvents)
		r.mu.Unlock()
	}
}

// prependEvents puts older events, in order, before those that r has. r.mu is held.
func (r *record) prependEvents(older []*Event) {
	younger := r.events
	r.events = nil
	for _, ev := range append(older, younger...) {
		r.addEvent(ev)
	}
}

// How long a reader waits for the latest events of a service, and the pause before
// LaneSwap reads them again after a failure.
const (
	eventsPatience   = time.Second
	eventsRetryPause = int64(30 * time.Second)
)

// loadEvents reads the latest events of a service from the storage, once, when the start
// did not find them. It is called without locks.
func (s *store) loadEvents(asked context.Context, r *record) {
	now := s.now().Mono
	r.mu.Lock()
	done, born := r.eventsComplete || now < r.eventsRetryAt, r.generation
	r.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(asked, eventsPatience)
	defer cancel()
	var older []*Event
	var bad unreadable
	defer func() { bad.log(s.log, r.id) }()
	for row, err := range s.rows(ctx, RowQuery{Kind: KindEvent, Service: string(r.id), Descending: true, Limit: maxStatusEvents}) {
		if err != nil {
			if asked.Err() != nil {
				return // the caller has gone, which says nothing of the storage
			}
			r.mu.Lock()
			r.eventsRetryAt = s.now().Mono + eventsRetryPause
			r.mu.Unlock()
			s.log.Warn("events of a service cannot be read", "service", r.id, "err", err)
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
	if r.eventsComplete {
		return
	}
	r.eventsComplete = true
	older = slices.DeleteFunc(older, func(ev *Event) bool {
		return slices.ContainsFunc(r.events, func(known *Event) bool { return known.ID == ev.ID })
	})
	slices.SortFunc(older, func(a, b *Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	r.prependEvents(older)
}

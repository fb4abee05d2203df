package laneswap

import (
	"cmp"
	"slices"

	"github.com/laneswap/laneswap/internal/outbox"
)

// maxNoticeAge is how long the delivery of a notice is attempted, and how long a notice
// waits for a notifier that is not configured any more.
const maxNoticeAge = outbox.MaxAge

// restoreNotices adds the open notices of an earlier run to the queues.
func (a *alerts) restoreNotices(l *loaded) {
	a.unclaimedMu.Lock()
	defer a.unclaimedMu.Unlock()
	slices.SortFunc(l.notices, func(a, b storedNotice) int { return cmp.Compare(a.Event.Sequence, b.Event.Sequence) })
	workers := *a.workers.Load()
	for _, n := range l.notices {
		a.journal.MarkStored(outboxKey(n.Notifier, n.Event.ID))
		if !a.restoreNotice(workers, n) {
			a.unclaimed = append(a.unclaimed, n)
		}
	}
}

// restoreNotice adds a notice to the queue of its notifier, and reports whether that
// is configured.
func (a *alerts) restoreNotice(workers []*worker, n storedNotice) bool {
	for _, w := range workers {
		if w.key == n.Notifier {
			now := a.now()
			w.queue.Restore(n.notice(a.past.at, now), now)
			return true
		}
	}
	return false
}

// enqueueTorn enqueues notices of the events that were stored when LaneSwap was
// killed in the middle of a commit, unless they were stored too.
func (a *alerts) enqueueTorn(l *loaded, events []*Event) {
	thresholds := map[ServiceID]*storedService{}
	for _, s := range l.services {
		thresholds[s.ID] = s
	}
	for _, ev := range events {
		if !notable(ev) {
			continue
		}
		in := outbox.EventContext{Delay: thresholds[ev.Service].alertDelay(ev)}
		for _, w := range *a.workers.Load() {
			// It may also have been delivered while the storage was degraded.
			if !l.delivered.rows[outboxKey(w.key, ev.ID)] {
				a.enqueueStored(w, ev, in)
			}
		}
	}
}

// reconcile adapts the restored notices of a notifier to the services as they are now.
func (a *alerts) reconcile(w *worker, b *delivered, find func(ServiceID) *record) {
	for _, k := range w.queue.Restored() {
		r := find(ServiceID(k.Service))
		if r == nil {
			if k.Delayed && !k.Suppressed {
				w.queue.Redelay(k.Service, nil, "the service was removed", a.now())
			}
			if !a.sendEnd(w, b, k, nil) {
				a.save(w.key, w.queue.Reconcile(k.Service, nil, a.now()))
			}
			continue
		}
		r.mu.Lock()
		a.reconcileService(w, b, r, k)
		r.mu.Unlock()
	}
}

// reconcileService does it for one service; r.mu is held.
func (a *alerts) reconcileService(w *worker, b *delivered, r *record, k outbox.Restored) {
	var latest, end *Event
	for _, ev := range r.events {
		switch {
		case r.incident != nil && ev.bad() && ev.Incident == r.incident.id:
			latest = ev
		case ev.ends() && ev.Sequence > k.Sequence:
			end = ev
		}
	}
	if r.incident == nil {
		if !a.sendEnd(w, b, k, end) {
			a.save(w.key, w.queue.Reconcile(k.Service, nil, a.now()))
		}
	} else if latest != nil {
		a.save(w.key, w.queue.Reconcile(k.Service, outboxEvent(latest), a.now()))
	}
	if !r.bad(r.status) && !r.good(r.status) {
		w.queue.MarkUnknown(string(r.id))
	}
	if k.Delayed {
		a.redelay(r)
	}
}

// sendEnd sees to it that a notifier learns the end of the incident that it thinks
// open; end may be that of a later one. It reports whether the notifier will.
func (a *alerts) sendEnd(w *worker, b *delivered, k outbox.Restored, end *Event) bool {
	if its := b.ends[k.Incident]; its != nil {
		end = its
	}
	if end == nil || k.Suppressed {
		return false
	}
	if k.Delayed {
		return true
	}
	if _, pending := w.queue.Find(outboxEvent(end)); pending {
		return true
	}
	if b.rows[outboxKey(w.key, end.ID)] {
		return false // it was delivered, and a commit was torn
	}
	// The notifier was not configured at the time, and would show an alarm for ever.
	a.enqueueStored(w, end, outbox.EventContext{})
	return true
}

// addWorker restores the notices of a notifier that an earlier run has left, and then adds
// its worker.
func (a *alerts) addWorker(w *worker) {
	b := a.readDelivered(w.key)
	a.unclaimedMu.Lock()
	defer a.unclaimedMu.Unlock()
	a.unclaimed = slices.DeleteFunc(a.unclaimed, func(n storedNotice) bool { return a.restoreNotice([]*worker{w}, n) })
	workers := append(slices.Clone(*a.workers.Load()), w)
	a.workers.Store(&workers)
	a.reconcile(w, b, a.registry.get)
}

// expireUnclaimed drops the notices whose notifier was not configured for long. It is
// called without locks: a logger may call the Manager.
func (a *alerts) expireUnclaimed() {
	const why = "dropped: its notifier was not configured for 24 hours"
	var dropped []storedNotice
	defer func() {
		for _, n := range dropped {
			a.log.Error("notice dropped", "notifier", n.Notifier, "service", n.Event.Service, "event", n.Event.ID, "why", why)
		}
	}()
	a.unclaimedMu.Lock()
	defer a.unclaimedMu.Unlock()
	now := a.now()
	// Their age says nothing about the notifier: only this run has missed it.
	if len(a.unclaimed) == 0 || now.Mono-a.past.now.Mono < int64(maxNoticeAge) {
		return
	}
	kept := a.unclaimed[:0]
	for _, s := range a.unclaimed {
		n := s.notice(a.past.at, now)
		if n.Standing && a.incidentOpen(eventOf(*n)) {
			kept = append(kept, s) // or its end would never be sent
			continue
		}
		if n.Standing {
			n.Standing = false
		} else {
			dropped = append(dropped, s)
			n.End(now, outbox.Dead, why)
		}
		a.journal.Amend(now.Mono, []*entry{noticeEntry(n, s.Notifier, now)})
	}
	a.unclaimed = kept
}

// incidentOpen reports whether the incident of ev is open.
func (a *alerts) incidentOpen(ev *Event) bool {
	r := a.registry.get(ev.Service)
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.incident != nil && r.incident.id == ev.Incident
}

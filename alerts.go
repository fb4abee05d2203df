package laneswap

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/journal"
	"github.com/laneswap/laneswap/internal/outbox"
	"github.com/laneswap/laneswap/internal/text"
)

// alerts delivers events to the notifiers: it owns a worker and a queue for each.
// Pending notices are committed together with their event, so that a restart
// continues delivery. It decides nothing about services.
type alerts struct {
	opts     *options
	log      *slog.Logger
	now      func() clock.Instant
	judge    *judge
	registry *registry
	journal  *journal.Journal[lastSeen] // nil without a storage
	past     *past
	storing  context.Context
	cancel   context.CancelFunc
	await    func(ctx context.Context, lsn uint64) error
	logLater func(func())

	storageHealth func() *StorageHealth

	workers atomic.Pointer[[]*worker] // replaced while the lifecycle mutex of the Manager is held
	traces  recentTraces              // without a storage
	mass    massSilence
	checks  selfChecks

	unclaimedMu sync.Mutex     // guards what follows
	unclaimed   []storedNotice // of notifiers that are not configured
}

// outboxEvent converts an event for the queues.
func outboxEvent(ev *Event) *outbox.Event {
	return &outbox.Event{
		ID: ev.ID, Service: string(ev.Service), Incident: ev.Incident, Kind: outbox.Kind(ev.Kind), To: string(ev.To),
		Silent: ev.To == StatusStale, Sequence: ev.Sequence, At: ev.At, StartedAt: ev.StartedAt, Size: len(ev.Message), Of: ev,
	}
}

func eventOf(n outbox.Notice) *Event { return n.Event.Of.(*Event) }

// contextOf gathers the context that queues need besides an event of r. r.mu is held.
func (a *alerts) contextOf(r *record, ev *Event, now clock.Instant) outbox.EventContext {
	beats := r.cell.Beats.Load()
	in := outbox.EventContext{Beats: r.streak.heartbeats(beats), PastBeats: r.streak.before}
	if ev.Kind == EventRemoved {
		in.PastBeats = in.Beats
	}
	if ev.bad() || ev.Kind == EventRecovered {
		in.Delay = r.alertDelay(now)
		threshold := r.reg.RecoverAfter
		if ev.bad() {
			threshold = r.reg.AlertAfter
		}
		in.Reached = in.Delay == nil && !threshold.immediate()
	}
	for _, old := range r.events {
		if ev.At.Sub(old.At) < outbox.FlapWindow {
			in.Changes++
		}
	}
	if ev.To == StatusStale && beats > 0 {
		in.Mass = a.mass.record(r.id, now.Mono, a.judge.living())
	}
	return in
}

// offer is the decision of the queue of one notifier about an event.
type offer struct {
	outbox.Offer
	worker *worker
}

// enqueue offers an event to the queues, if it is one that is alerted. The rows of
// the offers have to be noted, and the offers confirmed.
func (a *alerts) enqueue(ev *Event, in outbox.EventContext) (offers []offer) {
	if ev.Kind == EventUnknown {
		for _, w := range *a.workers.Load() {
			w.queue.MarkUnknown(string(ev.Service))
		}
	}
	if !notable(ev) {
		return nil
	}
	now, e := a.now(), outboxEvent(ev)
	for _, w := range *a.workers.Load() {
		offers = append(offers, w.offer(e, in, now))
	}
	return offers
}

func (w *worker) offer(ev *outbox.Event, in outbox.EventContext, now clock.Instant) offer {
	return offer{w.queue.Offer(ev, in, now), w}
}

// enqueueStored offers a stored event to one queue, without a change of the event.
func (a *alerts) enqueueStored(w *worker, ev *Event, in outbox.EventContext) {
	now := a.now()
	offers := []offer{w.offer(outboxEvent(ev), in, now)}
	a.confirm(offers, a.journal.Note(now.Mono, a.rowsOf(offers), nil))
}

// rowsOf returns the rows of new notices, to be noted in the same change as the event.
func (a *alerts) rowsOf(offers []offer) (rows []*entry) {
	if a.journal == nil {
		return nil
	}
	for _, o := range offers {
		rows = append(rows, noticeEntry(&o.Notices[0], o.worker.key, a.now()))
	}
	return rows
}

// confirm makes notices ready to be sent that were noted under a number, and saves
// the older ones that they changed. It reports whether a notice waits for a threshold.
func (a *alerts) confirm(offers []offer, lsn uint64) (delayed bool) {
	for _, o := range offers {
		a.save(o.worker.key, o.Notices[1:])
		if a.journal == nil {
			a.save(o.worker.key, o.Notices[:1])
		}
		o.Confirm(lsn)
		delayed = delayed || o.Delayed
	}
	return delayed
}

// save stores notices that changed or, without a storage, keeps their traces in
// memory once they are over.
func (a *alerts) save(key string, notices []outbox.Notice) {
	if len(notices) == 0 {
		return
	}
	if a.journal == nil {
		for _, n := range notices {
			if n.Over() {
				a.traces.remember(n.Event.ID, traceOf(n, key))
			}
		}
		return
	}
	rows := make([]*entry, len(notices))
	now := a.now()
	for i := range notices {
		rows[i] = noticeEntry(&notices[i], key, now)
	}
	a.journal.Amend(now.Mono, rows)
}

// redelay applies the thresholds of r as they are now to its delayed notices. r.mu is
// held.
func (a *alerts) redelay(r *record) {
	now := a.now()
	d := r.alertDelay(now)
	for _, w := range *a.workers.Load() {
		w.queue.Redelay(string(r.id), d, "the threshold is reached or has changed", now)
	}
	r.alertAtBeat = 0
	if d != nil && a.delayed(r.id) {
		r.alertAtBeat = d.Target
	}
	r.cell.Slow.Store(!r.isPlain())
}

// delayed reports whether a notice of a service waits for a threshold.
func (a *alerts) delayed(id ServiceID) bool {
	for _, w := range *a.workers.Load() {
		if w.queue.Delayed(string(id)) {
			return true
		}
	}
	return false
}

// flush saves the notices of a queue that changed by themselves, and logs those that
// were dropped. For want of memory thousands may be dropped in a second: they are
// only counted.
func (a *alerts) flush(w *worker, now clock.Instant) {
	notices, dropped := w.queue.Flush(now)
	a.logDropped(w, notices)
	if dropped > 0 {
		a.log.Error("notices dropped", "notifier", w.key, "notices", dropped, "why", outbox.ReasonFull)
	}
}

// logDropped logs the notices that were dropped. It is called without locks: a logger
// may call the Manager.
func (a *alerts) logDropped(w *worker, notices []outbox.Notice) {
	for _, n := range notices {
		if n.State == outbox.Dead {
			a.log.Error("notice dropped", "notifier", w.key, "service", n.Event.Service, "event", n.Event.ID, "why", n.Steps[len(n.Steps)-1].Text)
		}
	}
}

// uniqueName returns the name of a notifier, with a number if another one has it. It
// is the same after a restart with the same notifiers.
func uniqueName(workers []*worker, name string) string {
	name = text.Cut(strings.ReplaceAll(text.Line(name), "\x00", ""), 100)
	key := name
	for n := 2; ; n++ {
		taken := false
		for _, w := range workers {
			taken = taken || w.key == key
		}
		if !taken {
			return key
		}
		key = name + "#" + strconv.Itoa(n)
	}
}

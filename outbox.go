package laneswap

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/laneswap/laneswap/internal/outbox"
)

// What is owed to a notifier is stored in the same change as its event: a restart
// goes on with it. What was decided about it stays stored as long as the event.

// owedFor is how long a notice is tried, and waits for a notifier that is not
// there any more.
const owedFor = outbox.OwedFor

// intake is what the couriers are to know of r besides an event of it. r.mu is
// held.
func (a *alerts) intake(r *record, ev *Event, now instant) outbox.Intake {
	beats := r.cell.beats.Load()
	in := outbox.Intake{Have: r.turned.count(beats), Had: r.turned.had}
	if ev.Kind == EventRemoved {
		in.Had = in.Have
	}
	if ev.bad() || ev.Kind == EventRecovered {
		in.Hold = r.holds(now)
		threshold := r.reg.RecoverAfter
		if ev.bad() {
			threshold = r.reg.AlertAfter
		}
		in.Reached = in.Hold == nil && !threshold.immediate()
	}
	for _, old := range r.events {
		if ev.At.Sub(old.At) < outbox.FlapWindow {
			in.Changes++
		}
	}
	if ev.To == StatusStale && r.cell.beats.Load() > 0 {
		in.Mass = a.silences.fall(r.id, now.Mono, a.judge.living())
	}
	return in
}

// owe owes an event to the notifiers, if it is one for them. What comes of it is
// to be noted, and then confirmed.
func (a *alerts) owe(ev *Event, in outbox.Intake) (letters []letter) {
	if ev.Kind == EventUnknown {
		for _, p := range *a.posts.Load() {
			p.courier.Doubt(string(ev.Service))
		}
	}
	if !notable(ev) {
		return nil
	}
	now, e := a.now(), owed(ev)
	for _, p := range *a.posts.Load() {
		letters = append(letters, p.offer(e, in, now))
	}
	return letters
}

// letter is what came of an event for one notifier.
type letter struct {
	outbox.Letter
	p *post
}

func (p *post) offer(ev *outbox.Event, in outbox.Intake, now instant) letter {
	return letter{p.courier.Offer(ev, in, now), p}
}

// rowsOf are the rows of new notices, to be noted in the same change as the event.
func (a *alerts) rowsOf(letters []letter) (rows []*entry) {
	if a.journal == nil {
		return nil
	}
	for _, l := range letters {
		rows = append(rows, noticeEntry(&l.Notices[0], l.p.key, a.now()))
	}
	return rows
}

// confirm lets go what was noted under a ticket, and remembers what it made
// needless. It reports whether something waits for a threshold.
func (a *alerts) confirm(letters []letter, ticket uint64) (held bool) {
	for _, l := range letters {
		a.remember(l.p.key, l.Notices[1:])
		if a.journal == nil {
			a.remember(l.p.key, l.Notices[:1])
		}
		l.Confirm(ticket)
		held = held || l.Held
	}
	return held
}

// settled logs what was given up. It is called without locks: a logger may ask the
// Manager something.
func (a *alerts) settled(p *post, notices []outbox.Notice) {
	for _, n := range notices {
		if n.State == outbox.Dead {
			a.log.Error("notice given up", "notifier", p.key, "service", n.Event.Service, "event", n.Event.ID, "why", n.Steps[len(n.Steps)-1].Text)
		}
	}
}

// finish remembers what has become of notices by themselves, and logs what was given
// up. Of those that are lost for want of room there may be thousands in a second.
func (a *alerts) finish(p *post, now instant) {
	notices, lost := p.courier.Finished(now)
	a.settled(p, notices)
	if lost > 0 {
		a.log.Error("notices given up", "notifier", p.key, "notices", lost, "why", outbox.WhyLost)
	}
}

// remember stores what was decided about notices, or keeps it in memory once
// nothing more comes of them.
func (a *alerts) remember(key string, notices []outbox.Notice) {
	if len(notices) == 0 {
		return
	}
	if a.journal == nil {
		for _, n := range notices {
			if n.Over() {
				a.archive.keep(n.Event.ID, traceOf(n, key))
			}
		}
		return
	}
	rows := make([]*entry, len(notices))
	now := a.now()
	for i := range notices {
		rows[i] = noticeEntry(&notices[i], key, now)
	}
	a.journal.Settle(now.Mono, rows)
}

// label gives a notifier a name that no other one has, which is the same after a
// restart with the same notifiers.
func label(posts []*post, name string) string {
	name = cutBytes(strings.ReplaceAll(Sanitize(name), "\x00", ""), 100)
	key := name
	for n := 2; ; n++ {
		taken := false
		for _, p := range posts {
			taken = taken || p.key == key
		}
		if !taken {
			return key
		}
		key = name + "#" + strconv.Itoa(n)
	}
}

// resumeNotices owes again what was owed when an earlier run ended.
func (a *alerts) resumeNotices(l *loaded) {
	a.orphaned.Lock()
	defer a.orphaned.Unlock()
	slices.SortFunc(l.notices, func(a, b storedNotice) int { return cmp.Compare(a.Event.Sequence, b.Event.Sequence) })
	posts := *a.posts.Load()
	for _, n := range l.notices {
		a.journal.Owes(outboxKey(n.Notifier, n.Event.ID))
		if !a.restoreNotice(posts, n) {
			a.orphans = append(a.orphans, n)
		}
	}
}

// resumePost has what a notifier was owed and told in an earlier run fit the
// services as they are now.
func (a *alerts) resumePost(p *post, b *ledger, find func(ServiceID) *record) {
	for _, k := range p.courier.Taken() {
		r := find(ServiceID(k.Service))
		if r == nil {
			if k.Held && !k.Withheld {
				p.courier.Rehold(k.Service, nil, "the service is gone", a.now())
			}
			if !a.tellEnd(p, b, k, nil) {
				a.remember(p.key, p.courier.CatchUp(k, nil, a.now()))
			}
			continue
		}
		r.mu.Lock()
		a.resumeThread(p, b, r, k)
		r.mu.Unlock()
	}
}

// resumeThread is resumePost of one service; r.mu is held.
func (a *alerts) resumeThread(p *post, b *ledger, r *record, k outbox.Taken) {
	now := a.now()
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
		if !a.tellEnd(p, b, k, end) {
			a.remember(p.key, p.courier.CatchUp(k, nil, now))
		}
	} else if latest != nil {
		a.remember(p.key, p.courier.CatchUp(k, owed(latest), now))
	}
	if !r.bad(r.status) && !r.good(r.status) {
		p.courier.Doubt(string(r.id))
	}
	if k.Held {
		a.rehold(r)
	}
}

// tellEnd owes a notifier the end of the incident that it thinks open; end is that of
// a later one, perhaps. It reports whether people hear of it.
func (a *alerts) tellEnd(p *post, b *ledger, k outbox.Taken, end *Event) bool {
	if its := b.ends[k.Incident]; its != nil {
		end = its
	}
	if end == nil || k.Withheld {
		return false
	}
	if k.Held {
		return true
	}
	// It was not there when that happened, and would leave people with an alarm.
	if _, there := p.courier.Find(owed(end)); there {
		return true
	}
	if b.rows[outboxKey(p.key, end.ID)] {
		return false // they have heard, and a commit was torn
	}
	now := a.now()
	l := p.offer(owed(end), outbox.Intake{}, now)
	a.confirm([]letter{l}, a.journal.Note(now.Mono, a.rowsOf([]letter{l}), nil))
	return true
}

// rehold has what waits for a threshold wait for those of r as they are now. r.mu is
// held.
func (a *alerts) rehold(r *record) {
	now := a.now()
	h := r.holds(now)
	for _, p := range *a.posts.Load() {
		p.courier.Rehold(string(r.id), h, "its threshold is reached, or another one", now)
	}
	r.awaited = 0
	if h != nil && a.holding(r.id) {
		r.awaited = h.Target
	}
	r.cell.slow.Store(!r.quiet())
}

// holding reports whether a notice of a service waits for a threshold.
func (a *alerts) holding(id ServiceID) bool {
	for _, p := range *a.posts.Load() {
		if p.courier.Holds(string(id)) {
			return true
		}
	}
	return false
}

// oweAgain owes the notices of events that were stored when LaneSwap was killed,
// and whose notices may not have been.
func (a *alerts) oweAgain(l *loaded, events []*Event) {
	thresholds := map[ServiceID]*storedService{}
	for _, s := range l.services {
		thresholds[s.ID] = s
	}
	now := a.now()
	for _, ev := range events {
		if !notable(ev) {
			continue
		}
		in := outbox.Intake{Hold: thresholds[ev.Service].holds(ev)}
		for _, p := range *a.posts.Load() {
			if l.ledger.rows[outboxKey(p.key, ev.ID)] {
				continue // also where it was told already, while the storage was away
			}
			l := p.offer(owed(ev), in, now)
			a.confirm([]letter{l}, a.journal.Note(now.Mono, a.rowsOf([]letter{l}), nil))
		}
	}
}

// fetchNotices owes a notifier what is owed to it from an earlier run, and then
// adds it.
func (a *alerts) fetchNotices(p *post) {
	b := a.missed(p.key)
	a.orphaned.Lock()
	defer a.orphaned.Unlock()
	a.orphans = slices.DeleteFunc(a.orphans, func(n storedNotice) bool { return a.restoreNotice([]*post{p}, n) })
	posts := append(slices.Clone(*a.posts.Load()), p)
	a.posts.Store(&posts)
	a.resumePost(p, b, a.registry.get)
}

// restoreNotice owes a notice to the notifier that it is for, if that is there.
func (a *alerts) restoreNotice(posts []*post, n storedNotice) bool {
	for _, p := range posts {
		if p.key == n.Notifier {
			now := a.now()
			p.courier.Restore(n.notice(a.past.at, now), now)
			return true
		}
	}
	return false
}

// bury gives up the notices whose notifier has not come back for long. It is
// called without locks: a logger may ask the Manager something.
func (a *alerts) bury() {
	const why = "given up: its notifier has not been there for 24 hours"
	var buried []storedNotice
	defer func() {
		for _, n := range buried {
			a.log.Error("notice given up", "notifier", n.Notifier, "service", n.Event.Service, "event", n.Event.ID, "why", why)
		}
	}()
	a.orphaned.Lock()
	defer a.orphaned.Unlock()
	now := a.now()
	// How old they are says nothing of the notifier: only this run has missed it.
	if len(a.orphans) == 0 || now.Mono-a.past.now.Mono < int64(owedFor) {
		return
	}
	kept := a.orphans[:0]
	for _, s := range a.orphans {
		n := s.notice(a.past.at, now)
		if n.Standing && a.lasts(eventOf(*n)) {
			kept = append(kept, s) // or nobody would be told of its end
			continue
		}
		if n.Standing {
			n.Standing = false
		} else {
			buried = append(buried, s)
			n.End(now, outbox.Dead, why)
		}
		a.journal.Settle(now.Mono, []*entry{noticeEntry(n, s.Notifier, now)})
	}
	a.orphans = kept
}

// lasts reports whether the incident of ev is open.
func (a *alerts) lasts(ev *Event) bool {
	r := a.registry.get(ev.Service)
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.incident != nil && r.incident.id == ev.Incident
}

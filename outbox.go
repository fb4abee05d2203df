package laneswap

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What is owed to a notifier is stored in the same change as its event: a restart
// goes on with it. What was decided about it stays stored as long as the event.

// owedFor is how long a notice is tried, and waits for a notifier that is not
// there any more.
const owedFor = 24 * time.Hour

// intake is what the couriers are to know of r besides an event of it. r.mu is
// held.
func (m *Manager) intake(r *record, ev *Event, now instant) intake {
	beats := r.cell.beats.Load()
	in := intake{have: r.turned.count(beats), had: r.turned.had}
	if ev.Kind == EventRemoved {
		in.had = in.have
	}
	if ev.bad() || ev.Kind == EventRecovered {
		in.hold = r.holds(now)
		threshold := r.reg.RecoverAfter
		if ev.bad() {
			threshold = r.reg.AlertAfter
		}
		in.reached = in.hold == nil && !threshold.immediate()
	}
	for _, old := range r.events {
		if ev.At.Sub(old.At) < flapWindow {
			in.changes++
		}
	}
	if ev.To == StatusStale && r.cell.beats.Load() > 0 {
		in.mass = m.silences.fall(r.id, now.mono, m.judge.living())
	}
	return in
}

// owe owes an event to the notifiers, if it is one for them. What comes of it is
// to be noted, and then confirmed.
func (m *Manager) owe(ev *Event, in intake) (letters []letter) {
	if ev.Kind == EventUnknown {
		for _, p := range *m.posts.Load() {
			p.courier.doubt(ev.Service)
		}
	}
	if !notable(ev) {
		return nil
	}
	now := m.now()
	for _, p := range *m.posts.Load() {
		letters = append(letters, p.courier.offer(ev, in, now))
	}
	return letters
}

// rowsOf are the rows of new notices, to be noted in the same change as the event.
func rowsOf(letters []letter) (rows []*entry) {
	for _, l := range letters {
		if row := l.reports[0].row; row != nil {
			rows = append(rows, row)
		}
	}
	return rows
}

// confirm lets go what was noted under a ticket, and remembers what it made
// needless. It reports whether something waits for a threshold.
func (m *Manager) confirm(letters []letter, ticket uint64) (held bool) {
	for _, l := range letters {
		m.remember(l.reports[1:])
		if m.journal == nil {
			m.remember(l.reports[:1])
		}
		l.c.confirm(l.n, ticket)
		held = held || l.held
	}
	return held
}

// settled logs what was given up. It is called without locks: a logger may ask the
// Manager something.
func (m *Manager) settled(p *post, reports []report) {
	for _, r := range reports {
		if r.trace.State == NoticeDead {
			m.log.Error("notice given up", "notifier", p.key, "service", r.ev.Service, "event", r.ev.ID, "why", r.trace.Steps[len(r.trace.Steps)-1].Text)
		}
	}
}

// finish remembers what has become of notices by themselves, and logs what was given
// up. Of those that are lost for want of room there may be thousands in a second.
func (m *Manager) finish(p *post, now instant) {
	reports, lost := p.courier.finished(now)
	m.settled(p, reports)
	if lost > 0 {
		m.log.Error("notices given up", "notifier", p.key, "notices", lost, "why", whyLost)
	}
}

// remember stores what was decided about notices, or keeps it in memory once
// nothing more comes of them.
func (m *Manager) remember(reports []report) {
	if len(reports) == 0 {
		return
	}
	if m.journal == nil {
		for _, r := range reports {
			if r.over {
				m.archive.keep(r.ev.ID, r.trace)
			}
		}
		return
	}
	rows := make([]*entry, len(reports))
	for i, r := range reports {
		rows[i] = r.row
	}
	m.journal.settle(int64(time.Since(m.base)), rows)
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
func (m *Manager) resumeNotices(l *loaded) {
	m.orphaned.Lock()
	defer m.orphaned.Unlock()
	slices.SortFunc(l.notices, func(a, b storedNotice) int { return cmp.Compare(a.Event.Sequence, b.Event.Sequence) })
	posts := *m.posts.Load()
	for _, n := range l.notices {
		m.journal.owes(outboxKey(n.Notifier, n.Event.ID))
		if !m.restoreNotice(posts, n) {
			m.orphans = append(m.orphans, n)
		}
	}
}

// resumePost has what a notifier was owed and told in an earlier run fit the
// services as they are now.
func (m *Manager) resumePost(p *post, b *ledger, find func(ServiceID) *record) {
	for _, k := range p.courier.taken() {
		r := find(k.service)
		if r == nil {
			if k.held && !k.withheld {
				p.courier.rehold(k.service, nil, "the service is gone", m.now())
			}
			if !m.tellEnd(p, b, k, nil) {
				m.remember(p.courier.catchUp(k, nil, m.now()))
			}
			continue
		}
		r.mu.Lock()
		m.resumeThread(p, b, r, k)
		r.mu.Unlock()
	}
}

// resumeThread is resumePost of one service; r.mu is held.
func (m *Manager) resumeThread(p *post, b *ledger, r *record, k taken) {
	now := m.now()
	var latest, end *Event
	for _, ev := range r.events {
		switch {
		case r.incident != nil && ev.bad() && ev.Incident == r.incident.id:
			latest = ev
		case ev.ends() && ev.Sequence > k.sequence:
			end = ev
		}
	}
	if r.incident == nil {
		if !m.tellEnd(p, b, k, end) {
			m.remember(p.courier.catchUp(k, nil, now))
		}
	} else if latest != nil {
		m.remember(p.courier.catchUp(k, latest, now))
	}
	if !r.bad(r.status) && !r.good(r.status) {
		p.courier.doubt(r.id)
	}
	if k.held {
		m.rehold(r)
	}
}

// tellEnd owes a notifier the end of the incident that it thinks open; end is that of
// a later one, perhaps. It reports whether people hear of it.
func (m *Manager) tellEnd(p *post, b *ledger, k taken, end *Event) bool {
	if its := b.ends[k.incident]; its != nil {
		end = its
	}
	if end == nil || k.withheld {
		return false
	}
	if k.held {
		return true
	}
	// It was not there when that happened, and would leave people with an alarm.
	if _, there := p.courier.find(end); there {
		return true
	}
	if b.rows[outboxKey(p.key, end.ID)] {
		return false // they have heard, and a commit was torn
	}
	now := m.now()
	l := p.courier.offer(end, intake{}, now)
	m.confirm([]letter{l}, m.journal.note(now.mono, rowsOf([]letter{l}), nil))
	return true
}

// rehold has what waits for a threshold wait for those of r as they are now. r.mu is
// held.
func (m *Manager) rehold(r *record) {
	now := m.now()
	h := r.holds(now)
	for _, p := range *m.posts.Load() {
		p.courier.rehold(r.id, h, "its threshold is reached, or another one", now)
	}
	r.awaited = 0
	if h != nil && m.holding(r.id) {
		r.awaited = h.target
	}
	r.cell.slow.Store(!r.quiet())
}

// holding reports whether a notice of a service waits for a threshold.
func (m *Manager) holding(id ServiceID) bool {
	for _, p := range *m.posts.Load() {
		if p.courier.holds(id) {
			return true
		}
	}
	return false
}

// oweAgain owes the notices of events that were stored when LaneSwap was killed,
// and whose notices may not have been.
func (m *Manager) oweAgain(l *loaded, events []*Event) {
	thresholds := map[ServiceID]*storedService{}
	for _, s := range l.services {
		thresholds[s.ID] = s
	}
	now := m.now()
	for _, ev := range events {
		if !notable(ev) {
			continue
		}
		in := intake{hold: thresholds[ev.Service].holds(ev)}
		for _, p := range *m.posts.Load() {
			if l.ledger.rows[outboxKey(p.key, ev.ID)] {
				continue // also where it was told already, while the storage was away
			}
			l := p.courier.offer(ev, in, now)
			m.confirm([]letter{l}, m.journal.note(now.mono, rowsOf([]letter{l}), nil))
		}
	}
}

// fetchNotices owes a notifier what is owed to it from an earlier run, and then
// adds it.
func (m *Manager) fetchNotices(p *post) {
	b := m.missed(p.key)
	m.orphaned.Lock()
	defer m.orphaned.Unlock()
	m.orphans = slices.DeleteFunc(m.orphans, func(n storedNotice) bool { return m.restoreNotice([]*post{p}, n) })
	posts := append(slices.Clone(*m.posts.Load()), p)
	m.posts.Store(&posts)
	m.resumePost(p, b, m.registry.get)
}

// restoreNotice owes a notice to the notifier that it is for, if that is there.
func (m *Manager) restoreNotice(posts []*post, n storedNotice) bool {
	for _, p := range posts {
		if p.key == n.Notifier {
			now := m.now()
			p.courier.restore(n.notice(m.past.at, now), now)
			return true
		}
	}
	return false
}

// bury gives up the notices whose notifier has not come back for long. It is
// called without locks: a logger may ask the Manager something.
func (m *Manager) bury() {
	const why = "given up: its notifier has not been there for 24 hours"
	var buried []storedNotice
	defer func() {
		for _, n := range buried {
			m.log.Error("notice given up", "notifier", n.Notifier, "service", n.Event.Service, "event", n.Event.ID, "why", why)
		}
	}()
	m.orphaned.Lock()
	defer m.orphaned.Unlock()
	now := m.now()
	// How old they are says nothing of the notifier: only this run has missed it.
	if len(m.orphans) == 0 || now.mono-m.past.now.mono < int64(owedFor) {
		return
	}
	kept := m.orphans[:0]
	for _, s := range m.orphans {
		n := s.notice(m.past.at, now)
		if n.standing && m.lasts(n.ev) {
			kept = append(kept, s) // or nobody would be told of its end
			continue
		}
		if n.standing {
			n.standing = false
		} else {
			buried = append(buried, s)
			n.end(now, NoticeDead, why)
		}
		m.journal.settle(now.mono, []*entry{n.entry(s.Notifier, now)})
	}
	m.orphans = kept
}

// lasts reports whether the incident of ev is open.
func (m *Manager) lasts(ev *Event) bool {
	r := m.registry.get(ev.Service)
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.incident != nil && r.incident.id == ev.Incident
}

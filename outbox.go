package laneswap

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What is owed to a notifier is stored with the event, and deleted once it was
// delivered or given up: a restart goes on with the rest.

// owedFor is how long a notice waits for a notifier that is not there any more.
const owedFor = 24 * time.Hour

// owe owes an event to the notifiers, if it is one for them.
func (m *Manager) owe(posts []*post, ev *Event) {
	if !notable(ev) {
		return
	}
	for _, p := range posts {
		for _, dropped := range p.courier.offer(ev) {
			m.settled(p, dropped)
		}
	}
}

// owed are the notices of an event, to be noted in the same change. They are
// noted before the notifiers are told, so that none is settled before it is owed.
func owed(posts []*post, ev *Event) (entries []*entry) {
	if !notable(ev) {
		return nil
	}
	for _, p := range posts {
		entries = append(entries, &entry{
			Key: p.owes(ev), service: string(ev.Service), at: ev.At.UnixMilli(), open: true,
			data: &storedNotice{storedVersion, p.key, *ev}, size: len(ev.Message),
		})
	}
	return entries
}

// settled notes that a notifier was told, or that it was given up.
func (m *Manager) settled(p *post, ev *Event) {
	if m.journal == nil {
		return
	}
	m.journal.withdraw(int64(time.Since(m.base)), &entry{Key: p.owes(ev), service: string(ev.Service), delete: true})
}

// owes is the key of the row of a notice.
func (p *post) owes(ev *Event) Key { return Key{kindOutbox, p.key + "/" + ev.ID} }

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
		m.journal.owes((&post{key: n.Notifier}).owes(&n.Event))
		if !m.offerTo(posts, n) {
			m.orphans = append(m.orphans, n)
		}
	}
}

// oweAgain owes the notices of events that were stored when LaneSwap was killed,
// and whose notices may not have been.
func (m *Manager) oweAgain(l *loaded, events []*Event) {
	stored := map[Key]bool{}
	for _, n := range l.notices {
		stored[(&post{key: n.Notifier}).owes(&n.Event)] = true
	}
	for _, ev := range events {
		if !notable(ev) {
			continue
		}
		posts := *m.posts.Load()
		m.journal.note(m.now().mono, owed(posts, ev), nil)
		for _, p := range posts {
			if !stored[p.owes(ev)] {
				p.courier.offer(ev)
			}
		}
	}
}

// fetchNotices owes a notifier what is owed to it from an earlier run, and then
// adds it.
func (m *Manager) fetchNotices(p *post) {
	m.orphaned.Lock()
	defer m.orphaned.Unlock()
	m.orphans = slices.DeleteFunc(m.orphans, func(n storedNotice) bool { return m.offerTo([]*post{p}, n) })
	posts := append(slices.Clone(*m.posts.Load()), p)
	m.posts.Store(&posts)
}

// offerTo owes a notice to the notifier that it is for, if that is there.
func (m *Manager) offerTo(posts []*post, n storedNotice) bool {
	for _, p := range posts {
		if p.key == n.Notifier {
			ev := n.Event
			for _, dropped := range p.courier.offer(&ev) {
				m.settled(p, dropped)
			}
			return true
		}
	}
	return false
}

// bury gives up the notices whose notifier has not come back for long. It is
// called without locks: a logger may ask the Manager something.
func (m *Manager) bury() {
	var buried []storedNotice
	defer func() {
		for _, n := range buried {
			m.log.Error("notice given up: its notifier is not there any more", "notifier", n.Notifier, "service", n.Event.Service, "event", n.Event.ID)
		}
	}()
	m.orphaned.Lock()
	defer m.orphaned.Unlock()
	kept := m.orphans[:0]
	for _, n := range m.orphans {
		if time.Since(n.Event.At) < owedFor {
			kept = append(kept, n)
			continue
		}
		buried = append(buried, n)
		m.settled(&post{key: n.Notifier}, &n.Event)
	}
	m.orphans = kept
}

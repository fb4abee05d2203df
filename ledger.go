package laneswap

import (
	"context"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
)

// ledger is what a storage knows of notices besides the open ones: what a notifier
// has missed that was away, and what was told though a commit was torn.
type ledger struct {
	ends   map[string]*Event    // of incidents that a notifier may think open, by incident; nil where none was found
	rows   map[journal.Key]bool // notices that are stored, whatever became of them
	looked map[string]bool      // events of which rows has all
}

func newLedger(open []storedNotice) *ledger {
	b := &ledger{ends: map[string]*Event{}, rows: map[journal.Key]bool{}, looked: map[string]bool{}}
	for _, n := range open {
		b.rows[outboxKey(n.Notifier, n.Event.ID)] = true
	}
	return b
}

// endMost is how many events of a service are read at most to find the end of an
// incident.
const endMost = 10_000

// follow finds out how the incident of a notice has ended, which is over, and
// whether its notifier was told.
func (b *ledger) follow(ctx context.Context, s Storage, n *storedNotice) error {
	ev := n.Event
	end, known := b.ends[ev.Incident]
	if !known {
		for row, err := range s.Rows(ctx, RowQuery{Kind: KindEvent, Service: string(ev.Service), From: ev.At, Limit: endMost}) {
			if err != nil {
				return err
			}
			// What cannot be read may not hide what can.
			if read, err := decodeEvent(row); err == nil && read.Event.ends() && read.Event.Incident == ev.Incident {
				end = read.Event
				break
			}
		}
		b.ends[ev.Incident] = end
	}
	if end == nil || b.rows[outboxKey(n.Notifier, end.ID)] {
		return nil
	}
	return b.look(ctx, s, end)
}

// look finds out which notices of an event are stored.
func (b *ledger) look(ctx context.Context, s Storage, ev *Event) error {
	if b.looked[ev.ID] {
		return nil
	}
	for row, err := range s.Rows(ctx, RowQuery{Kind: kindOutbox, Service: string(ev.Service), From: ev.At, To: ev.At.Add(time.Millisecond)}) {
		if err != nil {
			return err
		}
		b.rows[key(row.Kind, row.ID)] = true
	}
	b.looked[ev.ID] = true
	return nil
}

// readLedger reads what is to be known of the notices that are taken up.
func (l *loaded) readLedger(ctx context.Context, s Storage) error {
	l.ledger = newLedger(l.notices)
	for _, ev := range l.replayed.events {
		if !notable(ev) {
			continue
		}
		l.progress()
		if err := l.ledger.look(ctx, s, ev); err != nil {
			return err
		}
	}
	open := map[string]bool{}
	for _, s := range l.services {
		if s.Incident != nil {
			open[s.Incident.ID] = true
		}
	}
	for _, ev := range l.recent {
		if ev.Event.ends() {
			l.ledger.ends[ev.Event.Incident] = ev.Event
		}
	}
	for i := range l.notices {
		n := &l.notices[i]
		if !n.Event.bad() || open[n.Event.Incident] {
			continue
		}
		l.progress()
		if err := l.ledger.follow(ctx, s, n); err != nil {
			return err
		}
	}
	return nil
}

// missed reads how the incidents have ended that a notifier thinks open which was
// not there until now. It is called without locks that a heartbeat takes; what cannot
// be read is not told.
func (a *alerts) missed(key string) *ledger {
	a.orphaned.Lock()
	var notices []storedNotice
	for _, n := range a.orphans {
		if n.Notifier == key {
			notices = append(notices, n)
		}
	}
	a.orphaned.Unlock()
	b := newLedger(notices)
	ctx, cancel := context.WithTimeout(a.storing, recallPatience)
	defer cancel()
	for i := range notices {
		n := &notices[i]
		if !n.Event.bad() || a.lasts(n.Event) {
			continue
		}
		if err := b.follow(ctx, a.opts.storage, n); err != nil {
			a.log.Warn("events of a service cannot be read", "service", n.Event.Service, "err", err)
			break
		}
	}
	return b
}

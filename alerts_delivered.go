package laneswap

import (
	"context"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
)

// delivered records which notices the storage already has, so that a restart neither
// repeats nor loses one, and how incidents ended that a notifier may think open.
type delivered struct {
	ends   map[string]*Event    // by incident; nil where no end was found
	rows   map[journal.Key]bool // notices that are stored, in whatever state
	events map[string]bool      // ids of the events whose notices are all in rows
}

func newDelivered(open []storedNotice) *delivered {
	b := &delivered{ends: map[string]*Event{}, rows: map[journal.Key]bool{}, events: map[string]bool{}}
	for _, n := range open {
		b.rows[outboxKey(n.Notifier, n.Event.ID)] = true
	}
	return b
}

// maxEndEvents bounds how many events of a service are read to find the end of an
// incident.
const maxEndEvents = 10_000

// readEnd reads how the incident of a notice ended, which is over, and whether that
// was sent to its notifier.
func (b *delivered) readEnd(ctx context.Context, s Storage, n *storedNotice) error {
	ev := n.Event
	end, known := b.ends[ev.Incident]
	if !known {
		for row, err := range s.Rows(ctx, RowQuery{Kind: KindEvent, Service: string(ev.Service), From: ev.At, Limit: maxEndEvents}) {
			if err != nil {
				return err
			}
			// A damaged row must not hide the others.
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
	return b.readNotices(ctx, s, end)
}

// readNotices reads which notices of an event are stored.
func (b *delivered) readNotices(ctx context.Context, s Storage, ev *Event) error {
	if b.events[ev.ID] {
		return nil
	}
	for row, err := range s.Rows(ctx, RowQuery{Kind: kindOutbox, Service: string(ev.Service), From: ev.At, To: ev.At.Add(time.Millisecond)}) {
		if err != nil {
			return err
		}
		b.rows[key(row.Kind, row.ID)] = true
	}
	b.events[ev.ID] = true
	return nil
}

// readDelivered reads what restoring the notices needs to know.
func (l *loaded) readDelivered(ctx context.Context, s Storage) error {
	l.delivered = newDelivered(l.notices)
	for _, ev := range l.replayed.events {
		if !notable(ev) {
			continue
		}
		l.progress()
		if err := l.delivered.readNotices(ctx, s, ev); err != nil {
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
			l.delivered.ends[ev.Event.Incident] = ev.Event
		}
	}
	for i := range l.notices {
		n := &l.notices[i]
		if !n.Event.bad() || open[n.Event.Incident] {
			continue
		}
		l.progress()
		if err := l.delivered.readEnd(ctx, s, n); err != nil {
			return err
		}
	}
	return nil
}

// readDelivered is called for a notifier that has just been added. It reads how those
// incidents ended that were open when this notifier was last there. The caller holds no
// lock that a heartbeat takes. An end that cannot be read is not sent.
func (a *alerts) readDelivered(key string) *delivered {
	a.unclaimedMu.Lock()
	var notices []storedNotice
	for _, n := range a.unclaimed {
		if n.Notifier == key {
			notices = append(notices, n)
		}
	}
	a.unclaimedMu.Unlock()
	b := newDelivered(notices)
	ctx, cancel := context.WithTimeout(a.storing, eventsPatience)
	defer cancel()
	for i := range notices {
		n := &notices[i]
		if !n.Event.bad() || a.incidentOpen(n.Event) {
			continue
		}
		if err := b.readEnd(ctx, a.opts.storage, n); err != nil {
			a.log.Warn("events of a service cannot be read", "service", n.Event.Service, "err", err)
			break
		}
	}
	return b
}

package outbox

import (
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Restore adds a notice of an earlier run. The notices of a service are added in the
// order of their events.
func (q *Queue) Restore(n *Notice, now clock.Instant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.conversation(n.Event.Service)
	if n.Standing {
		c.lastSent, c.announced = n, n.Event.bad()
		c.lastSentAt = now.Mono - max(0, now.Wall-n.SentAt*int64(time.Millisecond))
		if n.Flaps {
			c.flapSentAt = c.lastSentAt
		}
		return
	}
	deferred := n.Delay != nil && n.Delay.Deferred
	if n.State == Held && c.delay == nil && !deferred {
		c.delay = n.Delay
	}
	c.push(n)
	if c.delay == nil && !deferred {
		c.ready = len(c.pending)
		c.announced = n.Event.bad() || c.announced && !n.Event.ends()
	}
	c.due = now.Mono
	// The wait is bounded because the clock may have been set back.
	if wait := min(n.FlapDue*int64(time.Millisecond)-now.Wall, flapPause); n.FlapDue != 0 && wait > 0 && q.flapLimit > 0 && n.Changes > q.flapLimit {
		c.due = now.Mono + wait
		c.changes, c.flapSentAt = n.Changes, c.due-flapPause
		c.flapping = c.changes
	}
	c.scheduleReview()
	q.wake()
}

// Restored is what a queue knows about a service after Restore.
type Restored struct {
	Service    string
	Delayed    bool   // a notice waits for a threshold
	Suppressed bool   // no alert was sent yet
	Incident   string // the one that is open as far as the notifier knows; "" for none
	Sequence   uint64 // of the latest event that it knows
}

// Restored returns the services with a delayed notice or an open incident.
func (q *Queue) Restored() (all []Restored) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, c := range q.conversations {
		r := Restored{Service: id, Delayed: c.delay != nil, Suppressed: c.suppressed()}
		if last := c.latest(); last != nil && last.Event.bad() {
			r.Incident, r.Sequence = last.Event.Incident, last.Event.Sequence
		}
		if r.Delayed || r.Incident != "" {
			all = append(all, r)
		}
	}
	return all
}

// Reconcile adapts what was restored of a service to its current status: latest is
// the last bad event of its open incident, nil when it has none. It returns the
// notices that changed.
func (q *Queue) Reconcile(service string, latest *Event, now clock.Instant) []Notice {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.conversations[service]
	if c == nil {
		return nil
	}
	c.current = latest
	var changed []*Notice
	if latest != nil {
		if c.delay != nil && c.delay.Recovery {
			changed = c.skipDelayed(now, "bad again before the recovery was due")
			q.free(changed)
			c.announced = true
		}
		return cloneAll(changed)
	}
	if c.suppressed() {
		changed = c.skipDelayed(now, "over before the alert was due")
		q.free(changed)
	}
	if last := c.lastSent; last != nil && c.ready == 0 && !last.Flaps {
		last.Standing, c.lastSent = false, nil
		changed = append(changed, last)
	}
	c.announced = false
	c.forgetIfIdle(now)
	return cloneAll(changed)
}

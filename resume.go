package laneswap

import (
	"time"
)

// What is owed is taken up by a later run.

// restore takes up a notice of an earlier run. Those of a service come in the
// order of their events.
func (c *courier) restore(n *notice, now instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.thread(n.ev.Service)
	if n.standing {
		t.said, t.announced = n, n.ev.bad()
		t.saidAt = now.mono - max(0, now.wall-n.sentAt*int64(time.Millisecond))
		if n.flaps {
			t.flapAt = t.saidAt
		}
		return
	}
	parked := n.hold != nil && n.hold.parked
	if n.state == NoticeHeld && t.hold == nil && !parked {
		t.hold = n.hold
	}
	t.push(c, n)
	if t.hold == nil && !parked {
		t.free = len(t.waiting)
		t.announced = n.ev.bad() || t.announced && !n.ev.ends()
	}
	t.due = now.mono
	// The clock may have been set back.
	if wait := min(n.flapDue*int64(time.Millisecond)-now.wall, flapPause); n.flapDue != 0 && wait > 0 && c.flapLimit > 0 && n.changes > c.flapLimit {
		t.due = now.mono + wait
		t.changes, t.flapAt = n.changes, t.due-flapPause
		t.flapping = t.changes
	}
	c.watch(t)
	c.nudge()
}

// taken is what was taken up of one service.
type taken struct {
	service  ServiceID
	held     bool   // something waits for a threshold
	withheld bool   // nobody was told that it is bad
	incident string // the one that the notifier is to think open; "" for none
	sequence uint64 // of the latest that it knows
}

// taken lists what is known of services.
func (c *courier) taken() (all []taken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.threads {
		k := taken{service: id, held: t.hold != nil, withheld: t.withheld()}
		if last := t.latest(); last != nil && last.ev.bad() {
			k.incident, k.sequence = last.ev.Incident, last.ev.Sequence
		}
		if k.held || k.incident != "" {
			all = append(all, k)
		}
	}
	return all
}

// catchUp has a notifier that was not there, or whose rows were stored by halves,
// know how a service is: latest is the last event of its open incident that says that
// it is bad, nil when it has none.
func (c *courier) catchUp(k taken, latest *Event, now instant) []report {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[k.service]
	if t == nil {
		return nil
	}
	t.current = latest
	var changed []*notice
	if latest != nil {
		if t.hold != nil && t.hold.recovery {
			changed = t.cancel(now, "bad again before it was to be told")
			c.weigh(changed)
			t.announced = true
		}
		return c.report(changed, now)
	}
	if t.withheld() {
		changed = t.cancel(now, "over before it was to be told")
		c.weigh(changed)
	}
	if said := t.said; said != nil && t.free == 0 && !said.flaps {
		said.standing, t.said = false, nil
		changed = append(changed, said)
	}
	t.announced = false
	c.tidy(t, now)
	return c.report(changed, now)
}

// doubt has nobody be reminded of a service until it is known again how it is.
func (c *courier) doubt(service ServiceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.threads[service]; t != nil {
		t.unheard = true
	}
}

// holds reports whether a notice of a service waits for a threshold.
func (c *courier) holds(service ServiceID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	return t != nil && t.hold != nil
}

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
	if n.state == NoticeHeld && t.hold == nil {
		t.hold = n.hold
	}
	t.push(c, n)
	if t.hold == nil {
		t.free = len(t.waiting)
		t.announced = n.ev.bad() || t.announced && !n.ev.ends()
	}
	t.due = now.mono
	if wait := n.flapDue*int64(time.Millisecond) - now.wall; n.flapDue != 0 && wait > 0 {
		t.due = now.mono + wait
		t.changes, t.flapAt = c.flapLimit+1, t.due-flapPause
		t.flapping = t.changes
	}
	c.watch(t)
	c.nudge()
}

// standing are the services of which a notice stands as the latest that was told
// of an open incident.
func (c *courier) standing() (ids []ServiceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.threads {
		if t.said != nil && len(t.waiting) == 0 && !t.said.flaps {
			ids = append(ids, id)
		}
	}
	return ids
}

// lower says that a service has no open incident, or is gone.
func (c *courier) lower(service ServiceID, now instant) []report {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	if t == nil || t.said == nil {
		return nil
	}
	said := t.said
	said.standing, t.said, t.announced = false, nil, false
	c.tidy(t, now)
	return c.report([]*notice{said}, now)
}

// holds reports whether a notice of a service waits for a threshold.
func (c *courier) holds(service ServiceID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	return t != nil && t.hold != nil
}

// holding are the services of which something waits for a threshold.
func (c *courier) holding() (ids []ServiceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.threads {
		if t.hold != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

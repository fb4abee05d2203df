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

// rehold has what waits for a threshold since an earlier run count anew: how many
// heartbeats a service has had says beats, and whether it is bad says bad; false for
// one that is not there. It returns how many heartbeats it waits for, 0 for none.
func (c *courier) rehold(service ServiceID, beats uint64, bad, there bool, now instant) (target uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	if t == nil {
		return 0
	}
	if t.hold == nil {
		return 0
	}
	if !there || bad == t.hold.recovery {
		c.release(t, now)
		return 0
	}
	if t.hold.from = now.mono; t.hold.threshold.Beats > 0 {
		t.hold.target = beats + uint64(t.hold.threshold.Beats)
	}
	return t.hold.target
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

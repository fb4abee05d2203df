package outbox

import (
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// What is owed is taken up by a later run.

// restore takes up a notice of an earlier run. Those of a service come in the
// order of their events.
func (c *Courier) Restore(n *Notice, now clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.thread(n.Event.Service)
	if n.Standing {
		t.said, t.announced = n, n.Event.bad()
		t.saidAt = now.Mono - max(0, now.Wall-n.SentAt*int64(time.Millisecond))
		if n.Flaps {
			t.flapAt = t.saidAt
		}
		return
	}
	parked := n.Hold != nil && n.Hold.Parked
	if n.State == Held && t.hold == nil && !parked {
		t.hold = n.Hold
	}
	t.push(c, n)
	if t.hold == nil && !parked {
		t.free = len(t.waiting)
		t.announced = n.Event.bad() || t.announced && !n.Event.ends()
	}
	t.due = now.Mono
	// The clock may have been set back.
	if wait := min(n.FlapDue*int64(time.Millisecond)-now.Wall, flapPause); n.FlapDue != 0 && wait > 0 && c.flapLimit > 0 && n.Changes > c.flapLimit {
		t.due = now.Mono + wait
		t.changes, t.flapAt = n.Changes, t.due-flapPause
		t.flapping = t.changes
	}
	c.watch(t)
	c.nudge()
}

// taken is what was taken up of one service.
type Taken struct {
	Service  string
	Held     bool   // something waits for a threshold
	Withheld bool   // nobody was told that it is bad
	Incident string // the one that the notifier is to think open; "" for none
	Sequence uint64 // of the latest that it knows
}

// taken lists what is known of services.
func (c *Courier) Taken() (all []Taken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.threads {
		k := Taken{Service: id, Held: t.hold != nil, Withheld: t.withheld()}
		if last := t.latest(); last != nil && last.Event.bad() {
			k.Incident, k.Sequence = last.Event.Incident, last.Event.Sequence
		}
		if k.Held || k.Incident != "" {
			all = append(all, k)
		}
	}
	return all
}

// catchUp has a notifier that was not there, or whose rows were stored by halves,
// know how a service is: latest is the last event of its open incident that says that
// it is bad, nil when it has none.
func (c *Courier) CatchUp(k Taken, latest *Event, now clock.Instant) []Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[k.Service]
	if t == nil {
		return nil
	}
	t.current = latest
	var changed []*Notice
	if latest != nil {
		if t.hold != nil && t.hold.Recovery {
			changed = t.cancel(now, "bad again before it was to be told")
			c.weigh(changed)
			t.announced = true
		}
		return copies(changed)
	}
	if t.withheld() {
		changed = t.cancel(now, "over before it was to be told")
		c.weigh(changed)
	}
	if said := t.said; said != nil && t.free == 0 && !said.Flaps {
		said.Standing, t.said = false, nil
		changed = append(changed, said)
	}
	t.announced = false
	c.tidy(t, now)
	return copies(changed)
}

// doubt has nobody be reminded of a service until it is known again how it is.
func (c *Courier) Doubt(service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.threads[service]; t != nil {
		t.unheard = true
	}
}

// holds reports whether a notice of a service waits for a threshold.
func (c *Courier) Holds(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	return t != nil && t.hold != nil
}

// test has a test message sent.
func (c *Courier) Test(call *Test) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tests = append(c.tests, call)
	c.nudge()
}

// testAgain has a test that was told to come later sent again, if somebody waits
// for so long; mu is held.
func (c *Courier) testAgain(call *Test, text string) bool {
	if c.asked >= call.until || c.closing {
		return false
	}
	call.said = text
	c.tests = slices.Insert(c.tests, 0, call)
	return true
}

// abandon takes a test back for which nobody waits any more, and says what it
// waited for.
func (c *Courier) Abandon(call *Test, now clock.Instant) (why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tests = slices.DeleteFunc(c.tests, func(other *Test) bool { return other == call })
	call.until = 0
	switch {
	case call.said != "" && c.busy == 0:
		return call.said
	case c.asked > now.Mono:
		return "nothing was sent: the receiver asked to wait until " + ClockAt(now, c.asked)
	case c.busy != 0:
		return fmt.Sprintf("no answer: the notifier is busy since %s", ClockAt(now, c.busy))
	}
	return "nothing was sent in that time"
}

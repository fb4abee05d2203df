package laneswap

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// thread is what one notifier is and was told of one service. It is guarded by
// its courier.
type thread struct {
	service ServiceID
	waiting []*notice // oldest first; those from free on wait for hold, or are parked
	free    int
	hold    *hold
	queued  bool  // in the courier's queue
	flying  int   // how many of waiting are being sent
	due     int64 // mono: when those that are free may be told
	after   int64 // mono: the same of those that became free during the flight
	retryAt int64 // mono: not before it, for an attempt has failed

	failures int
	alone    bool // a digest that it was in has failed, where others got through
	half     int  // which half it is in of a digest that was refused; 0 for none

	announced bool    // a bad notice of the open incident is owed, or was told
	said      *notice // the latest that was told, while the incident is open or the service flaps
	saidAt    int64   // mono
	current   *Event  // the latest that says that the service is bad, told or not
	unheard   bool    // nobody knows how the service is
	changes   int     // transitions in 30 minutes, when there last was one
	flapping  int     // transitions in 30 minutes, when they are too many
	flapAt    int64   // mono: when that was said; 0 for not yet
}

// intake is what is known of a service when something happened to it.
type intake struct {
	changes int    // transitions in 30 minutes
	hold    *hold  // what a notice of it would wait for
	reached bool   // what an older notice of it waits for is reached by now
	mass    bool   // many services have fallen silent within a minute
	have    uint64 // heartbeats since it became good or bad
	had     uint64 // heartbeats of the time that is over: before it turned, or was removed
}

// Flapping.
const (
	flapWindow = 30 * time.Minute
	flapPause  = int64(15 * time.Minute) // between two messages of one service that flaps
)

// bad reports whether ev says that a service is bad.
func (e *Event) bad() bool {
	return e.Kind == EventDown || e.Kind == EventWorse || e.Kind == EventBetter
}

// ends reports whether ev ends an incident.
func (e *Event) ends() bool { return e.Kind == EventRecovered || e.Kind == EventRemoved }

// withheld reports whether nobody was told yet that the service is bad.
func (t *thread) withheld() bool { return t.hold != nil && !t.hold.recovery }

// take decides about a new notice: whether it is to be told at all, and what it
// waits for. It returns the older ones that it makes needless, or has wait for it.
func (c *courier) take(t *thread, n *notice, in intake, now instant) (ended []*notice) {
	ev := n.ev
	// The worker, which looks at the time, may be busy with another message.
	if t.hold != nil && (t.hold.until <= now.mono || t.withheld() && ev.bad() && in.hold == nil && in.reached) {
		c.release(t, "", now)
	}
	before := t.free
	t.changes = in.changes
	switch {
	case ev.bad():
		t.current, t.unheard = ev, false
	case ev.ends():
		t.current, t.unheard = nil, false
	default:
		t.unheard = true
	}
	switch {
	case t.withheld() && ev.ends():
		why := "good again before it was to be told: "
		if ev.Kind == EventRemoved {
			why = "removed before it was to be told: "
		}
		why += t.hold.progress(now, in.had)
		ended = t.cancel(now, why)
		n.end(now, NoticeSkipped, "nobody was told that it was bad")
		return ended
	case t.hold != nil && t.hold.recovery && ev.bad() && !t.announced:
		ended = t.cancel(now, "bad again before it was to be told: "+t.hold.progress(now, in.had))
	case t.hold != nil && t.hold.recovery && ev.bad():
		ended = t.park("bad again before it was to be told: "+t.hold.progress(now, in.had), now)
		if last := t.latest(); last != nil && last.ev.To == ev.To {
			n.park(now, "the notifier knows it as "+string(ev.To)+" already, and its recovery was not told")
			t.push(c, n)
			return ended
		}
	}
	follows := t.announced && !ev.bad() || (t.announced || t.withheld()) && ev.Kind == EventBetter
	if ok, not := passes(c.filters, ev); !ok && !follows {
		n.end(now, NoticeSkipped, "not for this notifier: "+not)
		t.announced = t.announced && !ev.ends()
		return ended
	} else if !ok {
		n.step(now, "told in spite of its filter ("+not+"): the notifier was told that it was bad")
	}
	n.state = NoticeWaiting
	switch {
	case t.withheld() && ev.bad() && in.hold == nil: // it was registered anew
		t.push(c, n)
		c.release(t, "it has another threshold now", now)
		return ended
	case t.withheld():
		if ev.bad() {
			t.hold = in.hold // silence counts in another way than heartbeats
		}
		n.wait(now, t.hold, in.have)
	case in.hold != nil && ev.bad() && !t.announced, in.hold != nil && ev.Kind == EventRecovered:
		t.hold = in.hold
		n.wait(now, t.hold, in.have)
	default:
		t.announced = ev.bad() || ev.Kind == EventStorageAway || t.announced && !ev.ends() && ev.Kind != EventStorageBack
	}
	t.push(c, n)
	if t.hold == nil {
		for _, parked := range t.waiting[t.free : len(t.waiting)-1] {
			c.free(parked, "told with "+ev.ID, now)
		}
		t.free = len(t.waiting)
		c.gather(t, n, before, now)
	}
	return ended
}

// park has a recovery that was to be told after its threshold wait for what is told
// next: without it what people were told of would never end, and what ends then is
// another incident.
func (t *thread) park(why string, now instant) (parked []*notice) {
	for _, n := range t.waiting[t.free:] {
		if n.hold != nil && !n.hold.parked {
			n.park(now, why)
			parked = append(parked, n)
		}
	}
	t.hold = nil
	return parked
}

func (n *notice) park(now instant, why string) {
	n.state, n.hold = NoticeHeld, &hold{recovery: true, parked: true, until: noDeadline}
	n.step(now, why+"; told with what follows")
}

// free has a notice wait no more; mu is held.
func (c *courier) free(n *notice, why string, now instant) {
	c.changed = append(c.changed, n)
	n.state, n.hold, n.since = NoticeWaiting, nil, now.mono
	n.step(now, why)
}

// wait says that n waits for a threshold.
func (n *notice) wait(now instant, h *hold, beats uint64) {
	n.state, n.hold = NoticeHeld, h
	n.step(now, h.progress(now, beats))
}

// push adds a notice behind those that wait.
func (t *thread) push(c *courier, n *notice) {
	t.waiting = append(t.waiting, n)
	c.bytes += n.weight()
	if !t.queued {
		t.queued = true
		if c.single || t.alone {
			c.apart = append(c.apart, t)
		} else {
			c.queue = append(c.queue, t)
		}
	}
}

// cancel takes back what waits for a threshold.
func (t *thread) cancel(now instant, why string) (ended []*notice) {
	for _, n := range t.waiting[t.free:] {
		n.end(now, NoticeSkipped, why)
		ended = append(ended, n)
	}
	t.waiting = slices.Delete(t.waiting, t.free, len(t.waiting))
	t.hold = nil
	return ended
}

// latest is the last notice that was told, or will be.
func (t *thread) latest() *notice {
	if t.free > 0 {
		return t.waiting[t.free-1]
	}
	return t.said
}

// release lets go what waits for a threshold: it is reached, or does not matter any
// more because of why.
func (c *courier) release(t *thread, why string, now instant) {
	h := t.hold
	if h == nil {
		return
	}
	t.hold = nil
	for _, n := range t.waiting[t.free:] {
		if n.state == NoticeHeld {
			c.free(n, cmp.Or(why, h.reached()), now)
		}
		t.announced = n.ev.bad() || t.announced && !n.ev.ends()
	}
	before := t.free
	if t.free = len(t.waiting); t.free > before {
		c.gather(t, t.waiting[t.free-1], before, now)
		c.watch(t)
	}
}

// reached says that the threshold is.
func (h *hold) reached() string {
	name := "alert_after"
	if h.recovery {
		name = "recover_after"
	}
	if h.threshold.For != 0 {
		return fmt.Sprintf("threshold of %v reached (%s)", h.threshold.For, name)
	}
	return fmt.Sprintf("threshold %d of %d reached (%s)", h.threshold.Beats, h.threshold.Beats, name)
}

// gather says when a notice is told that became free: with those that come at the
// same time, or, of a service that flaps, a while after the last message. before is
// how many were free before it.
func (c *courier) gather(t *thread, n *notice, before int, now instant) {
	wait := c.wait
	if now.mono < c.storm {
		wait *= stormFactor
	}
	if c.until <= now.mono {
		c.until = now.mono + wait
	}
	due := c.until
	t.flapping = 0
	if c.flapLimit > 0 && t.changes > c.flapLimit && n.ev.Service != "" {
		t.flapping = t.changes
		if t.flapAt != 0 && due < t.flapAt+flapPause {
			due = t.flapAt + flapPause
			t.wait(n, due, now)
		} else {
			n.step(now, "flapping: "+changesIn(t.changes))
		}
	} else {
		t.flapAt = 0
	}
	if n.flapDue == 0 && due > now.mono {
		n.step(now, "gathered with what comes until "+clockAt(now, due))
	}
	if c.closing && !t.flapHeld(c) {
		due = 0
	}
	switch {
	case t.flying > 0 && (before <= t.flying || due < t.after):
		t.after = due
	case t.flying == 0 && (before == 0 || due < t.due):
		t.due = due
	}
}

// wait holds a notice back because that the service flaps was said already.
func (t *thread) wait(n *notice, due int64, now instant) {
	n.flapDue, n.changes = (now.wall+due-now.mono)/int64(time.Millisecond), t.changes
	n.step(now, fmt.Sprintf("flapping, %s, which was said already: told with what follows until %s", changesIn(t.changes), clockAt(now, due)))
}

// flapHeld reports whether what waits is held back because the service flaps, and
// outlives Stop.
func (t *thread) flapHeld(c *courier) bool { return c.durable && t.flapping > 0 && t.flapAt != 0 }

// landed says when those are told that became free during a flight that succeeded.
func (t *thread) landed(c *courier, now instant) {
	if t.free == 0 {
		return
	}
	t.due = t.after
	if c.closing && !t.flapHeld(c) {
		t.due = 0
		return
	}
	if t.flapping > 0 && t.flapAt != 0 && t.due < t.flapAt+flapPause {
		t.due = t.flapAt + flapPause
		for _, n := range t.waiting[:t.free] {
			t.wait(n, t.due, now)
		}
	}
}

// changesIn counts transitions; of a service no more than 10 are remembered.
func changesIn(n int) string {
	if n >= maxStatusEvts {
		return fmt.Sprintf("%d changes or more in 30 minutes", maxStatusEvts)
	}
	return fmt.Sprintf("%d changes in 30 minutes", n)
}

// clockAt is the time of day, in UTC, at the instant mono.
func clockAt(now instant, mono int64) string {
	return time.Unix(0, now.wall+mono-now.mono).UTC().Format("15:04:05")
}

// idle reports whether nothing is left to remember.
func (t *thread) idle(now instant) bool {
	return len(t.waiting) == 0 && t.said == nil && !t.announced && (t.flapAt == 0 || now.mono > t.flapAt+int64(flapWindow))
}

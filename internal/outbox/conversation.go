package outbox

import (
	"cmp"
	"slices"

	"github.com/laneswap/laneswap/internal/clock"
)

// conversation is what one notifier was sent, and is still to be sent, about one
// service. The mutex of its queue guards it.
type conversation struct {
	queue   *Queue
	service string
	batch   *batch    // nil when nothing is pending
	pending []*Notice // oldest first; those from ready on are delayed or deferred
	ready   int
	delay   *Delay

	inFlight int   // how many of pending are being sent
	due      int64 // mono: when the ready ones may be sent
	dueNext  int64 // mono: the same for those that became ready while others were in flight
	failures int   // attempts in a row that failed
	retryAt  int64 // mono: no attempt before it

	announced  bool    // a bad notice of the open incident is pending or was delivered
	lastSent   *Notice // the last one delivered, while the incident is open or the service flaps
	lastSentAt int64   // mono
	current    *Event  // the latest that says that the service is bad, whether sent or not
	unknown    bool    // the status of the service is unknown

	changes    int   // transitions within FlapWindow at the last one
	flapping   int   // the same while they are too many; else 0
	flapSentAt int64 // mono: when a message said that it flaps; 0 for not yet
}

// suppressed reports whether no alert was sent yet, because alert_after is not reached.
func (c *conversation) suppressed() bool { return c.delay != nil && !c.delay.Recovery }

// accept decides whether a new notice is sent at all, and what it waits for. It
// returns the older ones that became superfluous, or are deferred.
func (c *conversation) accept(n *Notice, in EventContext, now clock.Instant) (changed []*Notice) {
	ev := n.Event
	// The worker, which observes the time, may be busy with another message.
	if c.delay != nil && (c.delay.Until <= now.Mono || c.suppressed() && ev.bad() && in.Delay == nil && in.Reached) {
		c.endDelay("", now)
	}
	before := c.ready
	c.changes = in.Changes
	c.observe(ev)
	switch {
	case c.suppressed() && ev.ends():
		why := "recovered before the alert was due: "
		if ev.Kind == Removed {
			why = "removed before the alert was due: "
		}
		changed = c.skipDelayed(now, why+c.delay.progress(now, in.PastBeats))
		n.End(now, Skipped, "no alert had been sent")
		return changed
	case c.delay != nil && c.delay.Recovery && ev.bad() && !c.announced:
		changed = c.skipDelayed(now, "bad again before the recovery was due: "+c.delay.progress(now, in.PastBeats))
	case c.delay != nil && c.delay.Recovery && ev.bad():
		changed = c.deferRecovery("bad again before the recovery was due: "+c.delay.progress(now, in.PastBeats), now)
		if last := c.latest(); last != nil && last.Event.To == ev.To {
			n.deferUntilNext(now, "the notifier already knows it as "+ev.To+", and its recovery was not sent")
			c.push(n)
			return changed
		}
	}
	follows := c.announced && !ev.bad() || (c.announced || c.suppressed()) && ev.Kind == Better
	if ok, not := c.queue.wants(ev); !ok && !follows {
		n.End(now, Skipped, "excluded by the filter: "+not)
		c.announced = c.announced && !ev.ends()
		return changed
	} else if !ok {
		n.AddStep(now, "sent despite filter ("+not+"): this notifier was alerted about the incident")
	}
	n.State = Waiting
	switch {
	case c.suppressed() && ev.bad() && in.Delay == nil: // it was registered with another threshold
		c.push(n)
		c.endDelay("the threshold has changed", now)
		return changed
	case c.suppressed():
		if ev.bad() {
			c.delay = in.Delay // silence counts in another way than heartbeats
		}
		n.delay(now, c.delay, in.Beats)
	case in.Delay != nil && ev.bad() && !c.announced, in.Delay != nil && ev.Kind == Recovered:
		c.delay = in.Delay
		n.delay(now, c.delay, in.Beats)
	default:
		c.announced = ev.bad() || ev.Kind == StorageDegraded || c.announced && !ev.ends() && ev.Kind != StorageRestored
	}
	c.push(n)
	if c.delay == nil {
		for _, deferred := range c.pending[c.ready : len(c.pending)-1] {
			c.makeReady(deferred, "sent together with "+ev.ID, now)
		}
		c.ready = len(c.pending)
		c.group(n, before, now)
	}
	return changed
}

// observe remembers the status of the service for reminders.
func (c *conversation) observe(ev *Event) {
	switch {
	case ev.bad():
		c.current, c.unknown = ev, false
	case ev.ends():
		c.current, c.unknown = nil, false
	default:
		c.unknown = true
	}
}

// deferRecovery keeps a delayed recovery for the next message. Without it, the
// incident that the notifier knows would never end, and the next end would be that
// of another incident.
func (c *conversation) deferRecovery(why string, now clock.Instant) (deferred []*Notice) {
	for _, n := range c.pending[c.ready:] {
		if n.Delay != nil && !n.Delay.Deferred {
			n.deferUntilNext(now, why)
			deferred = append(deferred, n)
		}
	}
	c.delay = nil
	return deferred
}

// makeReady ends the wait of one notice.
func (c *conversation) makeReady(n *Notice, why string, now clock.Instant) {
	c.queue.changed = append(c.queue.changed, n)
	n.State, n.Delay, n.Since = Waiting, nil, now.Mono
	n.AddStep(now, why)
}

// endDelay makes the delayed notices ready: the threshold is reached, or it does not
// matter any more because of why.
func (c *conversation) endDelay(why string, now clock.Instant) {
	d := c.delay
	if d == nil {
		return
	}
	c.delay = nil
	for _, n := range c.pending[c.ready:] {
		if n.State == Held {
			c.makeReady(n, cmp.Or(why, d.reached()), now)
		}
		c.announced = n.Event.bad() || c.announced && !n.Event.ends()
	}
	before := c.ready
	if c.ready = len(c.pending); c.ready > before {
		c.group(c.pending[c.ready-1], before, now)
		c.scheduleReview()
	}
}

// skipDelayed cancels the delayed notices.
func (c *conversation) skipDelayed(now clock.Instant, why string) (skipped []*Notice) {
	for _, n := range c.pending[c.ready:] {
		n.End(now, Skipped, why)
		skipped = append(skipped, n)
	}
	c.pending = slices.Delete(c.pending, c.ready, len(c.pending))
	c.delay = nil
	return skipped
}

// push appends a pending notice.
func (c *conversation) push(n *Notice) {
	c.pending = append(c.pending, n)
	c.queue.bytes += n.memory()
	c.queue.join(c)
}

// removeFirst removes the first n pending notices.
func (c *conversation) removeFirst(n int) {
	clear(c.pending[:n])
	c.pending = c.pending[n:]
	c.ready = max(0, c.ready-n)
	if len(c.pending) == 0 {
		c.pending = nil
	}
}

// drop ends n pending notices after the first few without delivery.
func (c *conversation) drop(behind, n int, now clock.Instant, why string) (gone []*Notice) {
	for _, dropped := range c.pending[behind : behind+n] {
		if dropped.State == Held && dropped.Event.ends() {
			c.announced = false // the incident is over, although the notifier will not know
		}
		dropped.End(now, Dead, why)
		gone = append(gone, dropped)
		c.queue.dead++
	}
	c.queue.free(gone)
	if behind == 0 {
		c.removeFirst(n)
	} else {
		c.pending = slices.Delete(c.pending, behind, behind+n)
		c.ready -= min(n, max(0, c.ready-behind))
	}
	if len(c.pending) == 0 {
		c.delay = nil
	}
	if c.lastSent != nil && !c.announced && c.ready == 0 { // the notice of the end is gone
		c.lastSent.Standing = false
		gone = append(gone, c.lastSent)
		c.lastSent = nil
	}
	return gone
}

// latest is the last notice that is ready or, if there is none, was delivered.
func (c *conversation) latest() *Notice {
	if c.ready > 0 {
		return c.pending[c.ready-1]
	}
	return c.lastSent
}

// idle reports whether there is nothing to remember.
func (c *conversation) idle(now clock.Instant) bool {
	return len(c.pending) == 0 && c.lastSent == nil && !c.announced && (c.flapSentAt == 0 || now.Mono > c.flapSentAt+int64(FlapWindow))
}

// forgetIfIdle removes the conversation from its queue if it is idle.
func (c *conversation) forgetIfIdle(now clock.Instant) {
	if c.idle(now) && c.batch == nil && c.queue.conversations[c.service] == c {
		delete(c.queue.conversations, c.service)
	}
}

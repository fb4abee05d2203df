package outbox

import (
	"fmt"
	"math"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// How long a receiver is left alone that asked for it, whatever time it said.
const (
	leastDelay = int64(250 * time.Millisecond)
	MostDelay  = OwedFor / 4
	// Who says less than briefDelay more than briefMost times in a row means none of it.
	briefDelay = time.Second
	briefMost  = 2
)

// delay has the receiver left alone for as long as it asked; mu is held.
func (c *Courier) delay(after time.Duration, now clock.Instant) {
	d := max(int64(after), leastDelay)
	if after >= briefDelay {
		c.brief = 0
	} else if c.brief++; c.brief > briefMost {
		d = max(d, min(Backoff(c.brief-briefMost), int64(time.Minute)))
	}
	c.asked = now.Mono + d
}

// done says what came of a message: the receiver's name for it, or the error.
// stopped says that it was cut off by Stop, which is nobody's failure.
// It remembers what became of the notices, and returns that.
func (c *Courier) Done(msg *Message, res Result, now clock.Instant) []Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = 0
	var changed []*Notice
	again := false
	for _, p := range msg.Parts {
		p.t.flying = 0
	}
	if res.Verdict != Delivered {
		c.lastError, c.lastErrorAt = res.Text, now
		if msg.test == nil {
			changed = c.failed(msg, res, now)
		} else if res.Verdict == Later {
			c.delay(res.After, now)
			again = c.testAgain(msg.test, res.Text)
		}
	} else {
		c.sent++
		c.lastSent, c.failures, c.pause, c.brief, c.disabled = now, 0, 0, 0, false
		if len(msg.Parts) > 1 {
			c.spoiled = 0
		}
		trouble := c.spoiled > 0
		for _, p := range msg.Parts {
			changed = append(changed, c.told(msg, p, res.MessageID, now)...)
		}
		if c.probed = trouble && c.troubled(); !c.probed {
			c.spoiled = 0
		}
	}
	if msg.test != nil && !again {
		msg.test.Done <- res
	}
	return c.settle(changed, now)
}

// told notes that a part of a message was delivered; mu is held.
func (c *Courier) told(msg *Message, p Part, id string, now clock.Instant) (changed []*Notice) {
	t := p.t
	text := "sent"
	if p.Reminder {
		p.notices[0].Reminders++
		text = fmt.Sprintf("reminder %d sent", p.notices[0].Reminders)
	}
	if id != "" {
		text += " as message " + id
	}
	if p.Reminder {
		p.notices[0].Step(now, text+inDigest(msg))
		t.saidAt, p.notices[0].SentAt = now.Mono, now.Wall/int64(time.Millisecond)
		t.failures, t.retryAt, t.alone, t.half = 0, 0, false, 0
		return p.notices
	}
	last := p.notices[len(p.notices)-1]
	for _, n := range p.notices {
		step := text
		if n.Attempts > 1 {
			step += fmt.Sprintf(", try %d", n.Attempts)
		}
		step += inDigest(msg)
		if n != last {
			step += ", together with " + last.Event.ID
		}
		n.MessageID, n.SentAt, n.Hold, n.FlapDue = id, now.Wall/int64(time.Millisecond), nil, 0
		n.End(now, Sent, step)
	}
	c.weigh(p.notices)
	t.drop(len(p.notices))
	t.failures, t.retryAt, t.alone, t.half = 0, 0, false, 0
	changed = append(changed, t.stand(p, now)...)
	t.landed(c, now)
	if !t.queued {
		c.tidy(t, now)
	}
	return append(changed, p.notices...)
}

// stand says which notice stands for what people know now: the latest bad one of an
// incident that they were not told the end of, or the one that said that the service
// flaps. It returns the one that stood before, if it does not any more.
func (t *thread) stand(p Part, now clock.Instant) []*Notice {
	stands, over := (*Notice)(nil), false
	for _, n := range p.notices {
		if n.Event.bad() {
			stands, over = n, false
		} else if n.Event.ends() {
			stands, over = nil, true
		}
	}
	if p.flapping > 0 {
		t.flapAt = max(1, now.Mono)
		if stands == nil {
			stands = p.notices[len(p.notices)-1]
		}
		stands.Flaps = true
	}
	before := t.said
	if stands == nil && !over || stands == nil && before == nil {
		return nil // nobody could hear: that ends nothing
	}
	t.said, t.saidAt = stands, now.Mono
	if stands != nil {
		stands.Standing = true
	}
	if before == nil {
		return nil
	}
	before.Standing = false
	return []*Notice{before}
}

func inDigest(msg *Message) string {
	if msg.number == 0 {
		return ""
	}
	return fmt.Sprintf(" (in digest %d, with %s)", msg.number, plural(len(msg.Parts)-1, "other"))
}

// failed decides what comes after an attempt that failed; mu is held.
func (c *Courier) failed(msg *Message, res Result, now clock.Instant) (changed []*Notice) {
	if res.Verdict == Refused {
		c.failures, c.pause = 0, 0 // it is there, and has read it
	}
	switch {
	case res.Verdict == Stopped:
		msg.step(now, "cut off: LaneSwap stopped")
	case res.Verdict == Later:
		c.delay(res.After, now)
		msg.step(now, fmt.Sprintf("%s; asked to wait until %s", res.Text, ClockAt(now, c.asked)))
	case res.Verdict == Permanent:
		c.disabled = true
		msg.step(now, res.Text+"; the notifier is disabled until LaneSwap is started again or a test message gets through")
	case res.Verdict == Refused && len(msg.Parts) > 1:
		msg.step(now, fmt.Sprintf("digest %d was refused, it is told in halves: %s", msg.number, res.Text))
		for i, p := range msg.Parts {
			p.t.half = c.halves + 1 + 2*i/len(msg.Parts)
			if msg.Kind == KindMassSilence {
				p.notices[len(p.notices)-1].Mass = true // of both halves
			}
		}
		c.halves += 2
	case res.Verdict == Refused && msg.Parts[0].Reminder:
		msg.step(now, "reminder refused: "+res.Text)
		msg.Parts[0].t.saidAt, msg.Parts[0].t.half = now.Mono, 0
	case res.Verdict == Refused:
		// It may be for what was before, or for how much that is: how the service is now
		// is tried without it.
		p := msg.Parts[0]
		p.t.half = 0
		changed = c.giveUp(p.t, 0, max(1, len(p.notices)-1), now, "given up, the receiver refused it: "+res.Text)
		if len(p.notices) > 1 {
			p.notices[len(p.notices)-1].Step(now, "refused, tried without what was before: "+res.Text)
		}
	default:
		c.failures++
		c.pause = now.Mono + Backoff(c.failures)
		for _, p := range msg.Parts {
			p.t.failures++
		}
		if t := msg.Parts[0].t; len(msg.Parts) == 1 && c.spoiled == 0 {
			// It may be this message that cannot be digested: the others go on.
			t.retryAt = now.Mono + Backoff(t.failures)
			c.pause = min(c.pause, t.retryAt)
			if len(c.apart) > 1 && c.apart[0] == t {
				c.apart = append(c.apart[1:], t)
			}
		} else if len(msg.Parts) > 1 {
			if c.spoiled++; c.probed {
				c.scatter() // it takes messages, and not that digest
				c.spoiled, c.probed = 0, false
			}
		}
		msg.step(now, fmt.Sprintf("try %d failed: %s; next one at %s or later", msg.Attempt, res.Text, ClockAt(now, c.pause)))
	}
	return changed
}

// spoiledMost is how often a digest may fail before one of its services is tried
// alone.
const spoiledMost = 3

// troubled reports whether something waits that has failed before; mu is held.
func (c *Courier) troubled() bool {
	for t := range c.lines() {
		if t.failures > 0 && len(t.waiting) > 0 {
			return true
		}
	}
	return false
}

// scatter has the services be told alone of which a digest has failed; mu is held.
func (c *Courier) scatter() {
	for _, t := range c.threads {
		t.alone = t.alone || t.failures > 0
	}
}

// step adds to the traces of all that a message tells.
func (msg *Message) step(now clock.Instant, text string) {
	for _, p := range msg.Parts {
		for _, n := range p.notices {
			n.Step(now, text)
		}
	}
}

// finished remembers what has become of notices by themselves, and returns that,
// and how many more were lost for want of room.
func (c *Courier) Finished(now clock.Instant) (reports []Notice, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost, c.lost = c.lost, 0
	return c.settle(nil, now), lost
}

// status is how the notifier stands.
func (c *Courier) Status(now clock.Instant) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{
		State: OK, Sent: c.sent, Dead: c.dead, LastError: c.lastError,
		LastSent: timeOf(c.lastSent), LastErrorAt: timeOf(c.lastErrorAt),
	}
	oldest := int64(math.MaxInt64)
	for t := range c.lines() {
		s.Waiting += len(t.waiting)
		for _, n := range t.waiting {
			oldest = min(oldest, n.Event.At.UnixMilli())
		}
	}
	if s.Waiting > 0 {
		s.Oldest = time.UnixMilli(oldest).UTC()
	}
	retry := max(c.asked, c.pause)
	next := int64(math.MaxInt64)
	for t := range c.lines() {
		if at, ok := t.readyAt(); ok {
			next = min(next, at)
		}
	}
	if c.failures > 0 && next != math.MaxInt64 {
		retry = max(retry, next) // the message that failed may wait a little longer
	}
	switch {
	case c.busy != 0 && now.Mono-c.busy > int64(NotifyTimeout):
		s.State = Stuck
	case c.disabled:
		s.State = Disabled
	case c.failures > 0 || retry > now.Mono:
		s.State = Retrying
		if retry > now.Mono {
			s.RetryAt = clock.Instant{Wall: now.Wall + retry - now.Mono}.Time()
		}
	}
	return s
}

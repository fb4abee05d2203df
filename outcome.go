package laneswap

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// How long a receiver is left alone that asked for it, whatever time it said.
const (
	leastDelay = int64(250 * time.Millisecond)
	mostDelay  = owedFor / 4
	// Who says less than briefDelay more than briefMost times in a row means none of it.
	briefDelay = time.Second
	briefMost  = 2
)

// delay has the receiver left alone for as long as it asked; mu is held.
func (c *courier) delay(after time.Duration, now instant) {
	d := max(int64(after), leastDelay)
	if after >= briefDelay {
		c.brief = 0
	} else if c.brief++; c.brief > briefMost {
		d = max(d, min(backoff(c.brief-briefMost), int64(time.Minute)))
	}
	c.asked = now.mono + d
}

// done says what came of a message: the receiver's name for it, or the error.
// stopped says that it was cut off by Stop, which is nobody's failure.
// It remembers what became of the notices, and returns that.
func (c *courier) done(msg *message, id string, err error, stopped bool, now instant) []report {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = 0
	var changed []*notice
	again := false
	for _, p := range msg.parts {
		p.t.flying = 0
	}
	if err != nil {
		c.lastError, c.lastErrorAt = excuse(err), now
		if msg.test == nil {
			changed = c.failed(msg, err, stopped, now)
		} else if f := failureOf(err); f.kind == failLater {
			c.delay(f.after, now)
			again = c.testAgain(msg.test, err)
		}
	} else {
		c.sent++
		c.lastSent, c.failures, c.pause, c.brief, c.disabled = now, 0, 0, 0, false
		if len(msg.parts) > 1 {
			c.spoiled = 0
		}
		trouble := c.spoiled > 0
		for _, p := range msg.parts {
			changed = append(changed, c.told(msg, p, id, now)...)
		}
		if c.probed = trouble && c.troubled(); !c.probed {
			c.spoiled = 0
		}
	}
	if msg.test != nil && !again {
		result := NotifierTest{Delivered: err == nil, MessageID: id}
		if err != nil {
			result.Error = excuse(err)
		}
		msg.test.done <- result
	}
	return c.settle(changed, now)
}

// excuse is an error in one line that may be shown.
func excuse(err error) string {
	return cutBytes(Sanitize(strings.TrimPrefix(err.Error(), ErrNotifier.Error()+": ")), 500)
}

// told notes that a part of a message was delivered; mu is held.
func (c *courier) told(msg *message, p part, id string, now instant) (changed []*notice) {
	t := p.t
	text := "sent"
	if p.reminder {
		p.notices[0].reminders++
		text = fmt.Sprintf("reminder %d sent", p.notices[0].reminders)
	}
	if id != "" {
		text += " as message " + id
	}
	if p.reminder {
		p.notices[0].step(now, text+inDigest(msg))
		t.saidAt, p.notices[0].sentAt = now.mono, now.wall/int64(time.Millisecond)
		t.failures, t.retryAt, t.alone, t.half = 0, 0, false, 0
		return p.notices
	}
	last := p.notices[len(p.notices)-1]
	for _, n := range p.notices {
		step := text
		if n.attempts > 1 {
			step += fmt.Sprintf(", try %d", n.attempts)
		}
		step += inDigest(msg)
		if n != last {
			step += ", together with " + last.ev.ID
		}
		n.message, n.sentAt, n.hold, n.flapDue = id, now.wall/int64(time.Millisecond), nil, 0
		n.end(now, NoticeSent, step)
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
func (t *thread) stand(p part, now instant) []*notice {
	stands, over := (*notice)(nil), false
	for _, n := range p.notices {
		if n.ev.bad() {
			stands, over = n, false
		} else if n.ev.ends() {
			stands, over = nil, true
		}
	}
	if p.flapping > 0 {
		t.flapAt = max(1, now.mono)
		if stands == nil {
			stands = p.notices[len(p.notices)-1]
		}
		stands.flaps = true
	}
	before := t.said
	if stands == nil && !over || stands == nil && before == nil {
		return nil // nobody could hear: that ends nothing
	}
	t.said, t.saidAt = stands, now.mono
	if stands != nil {
		stands.standing = true
	}
	if before == nil {
		return nil
	}
	before.standing = false
	return []*notice{before}
}

func inDigest(msg *message) string {
	if msg.number == 0 {
		return ""
	}
	return fmt.Sprintf(" (in digest %d, with %s)", msg.number, plural(len(msg.parts)-1, "other"))
}

// failed decides what comes after an attempt that failed; mu is held.
func (c *courier) failed(msg *message, err error, stopped bool, now instant) (changed []*notice) {
	f := failureOf(err)
	if f.kind == failRefused {
		c.failures, c.pause = 0, 0 // it is there, and has read it
	}
	switch {
	case stopped:
		msg.step(now, "cut off: LaneSwap stopped")
	case f.kind == failLater:
		c.delay(f.after, now)
		msg.step(now, fmt.Sprintf("%s; asked to wait until %s", excuse(err), clockAt(now, c.asked)))
	case f.kind == failPermanent:
		c.disabled = true
		msg.step(now, excuse(err)+"; the notifier is disabled until LaneSwap is started again or a test message gets through")
	case f.kind == failRefused && len(msg.parts) > 1:
		msg.step(now, fmt.Sprintf("digest %d was refused, it is told in halves: %s", msg.number, excuse(err)))
		for i, p := range msg.parts {
			p.t.half = c.halves + 1 + 2*i/len(msg.parts)
			if msg.kind == NoticeMassSilence {
				p.notices[len(p.notices)-1].mass = true // of both halves
			}
		}
		c.halves += 2
	case f.kind == failRefused && msg.parts[0].reminder:
		msg.step(now, "reminder refused: "+excuse(err))
		msg.parts[0].t.saidAt, msg.parts[0].t.half = now.mono, 0
	case f.kind == failRefused:
		// It may be for what was before, or for how much that is: how the service is now
		// is tried without it.
		p := msg.parts[0]
		p.t.half = 0
		changed = c.giveUp(p.t, 0, max(1, len(p.notices)-1), now, "given up, the receiver refused it: "+excuse(err))
		if len(p.notices) > 1 {
			p.notices[len(p.notices)-1].step(now, "refused, tried without what was before: "+excuse(err))
		}
	default:
		c.failures++
		c.pause = now.mono + backoff(c.failures)
		for _, p := range msg.parts {
			p.t.failures++
		}
		if t := msg.parts[0].t; len(msg.parts) == 1 && c.spoiled == 0 {
			// It may be this message that cannot be digested: the others go on.
			t.retryAt = now.mono + backoff(t.failures)
			c.pause = min(c.pause, t.retryAt)
			if len(c.apart) > 1 && c.apart[0] == t {
				c.apart = append(c.apart[1:], t)
			}
		} else if len(msg.parts) > 1 {
			if c.spoiled++; c.probed {
				c.scatter() // it takes messages, and not that digest
				c.spoiled, c.probed = 0, false
			}
		}
		msg.step(now, fmt.Sprintf("try %d failed: %s; next one at %s or later", msg.note.Attempt, excuse(err), clockAt(now, c.pause)))
	}
	return changed
}

// spoiledMost is how often a digest may fail before one of its services is tried
// alone.
const spoiledMost = 3

// troubled reports whether something waits that has failed before; mu is held.
func (c *courier) troubled() bool {
	for t := range c.lines() {
		if t.failures > 0 && len(t.waiting) > 0 {
			return true
		}
	}
	return false
}

// scatter has the services be told alone of which a digest has failed; mu is held.
func (c *courier) scatter() {
	for _, t := range c.threads {
		t.alone = t.alone || t.failures > 0
	}
}

// step adds to the traces of all that a message tells.
func (msg *message) step(now instant, text string) {
	for _, p := range msg.parts {
		for _, n := range p.notices {
			n.step(now, text)
		}
	}
}

// finished remembers what has become of notices by themselves, and returns that,
// and how many more were lost for want of room.
func (c *courier) finished(now instant) (reports []report, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost, c.lost = c.lost, 0
	return c.settle(nil, now), lost
}

// status is how the notifier stands.
func (c *courier) status(now instant) NotifierStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := NotifierStatus{
		State: NotifierOK, Sent: c.sent, Dead: c.dead, LastError: c.lastError,
		LastSent: wallTime(c.lastSent.wall / int64(time.Millisecond)), LastErrorAt: wallTime(c.lastErrorAt.wall / int64(time.Millisecond)),
	}
	oldest := int64(math.MaxInt64)
	for t := range c.lines() {
		s.Waiting += len(t.waiting)
		for _, n := range t.waiting {
			oldest = min(oldest, n.ev.At.UnixMilli())
		}
	}
	if s.Waiting > 0 {
		s.Oldest = wallTime(oldest)
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
	case c.busy != 0 && now.mono-c.busy > int64(notifyTimeout):
		s.State = NotifierStuck
	case c.disabled:
		s.State = NotifierDisabled
	case c.failures > 0 || retry > now.mono:
		s.State = NotifierRetrying
		if retry > now.mono {
			s.RetryAt = wallTime((now.wall + retry - now.mono) / int64(time.Millisecond))
		}
	}
	return s
}

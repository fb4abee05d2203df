package outbox

import (
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Verdict says what happened to a message.
type Verdict uint8

// The verdicts.
const (
	Delivered Verdict = iota
	Failed            // try again
	Later             // the receiver asked to wait
	Refused           // this message will never be accepted
	Permanent         // no message will be accepted any more
	Stopped           // interrupted by Stop
)

// Result is the result of sending a message.
type Result struct {
	Verdict   Verdict
	MessageID string        // the receiver's id of the message
	After     time.Duration // how long to wait, for Later
	Text      string        // the error in one line
}

// Bounds of the time that a receiver asks to wait for.
const (
	minRetryAfter = int64(250 * time.Millisecond)
	// MaxRetryAfter is the longest wait that is obeyed.
	MaxRetryAfter = MaxAge / 4
	// A receiver that asks for less than minAskedWait more often than maxShortWaits
	// times in a row gets pauses that grow.
	minAskedWait  = time.Second
	maxShortWaits = 2
)

// askedToWait makes no request for as long as the receiver asked; mu is held.
func (q *Queue) askedToWait(after time.Duration, now clock.Instant) {
	d := max(int64(after), minRetryAfter)
	if after >= minAskedWait {
		q.shortWaits = 0
	} else if q.shortWaits++; q.shortWaits > maxShortWaits {
		d = max(d, min(Backoff(q.shortWaits-maxShortWaits), int64(time.Minute)))
	}
	q.waitUntil = now.Mono + d
}

// Done reports the result of a message. It saves the notices that changed, and
// returns them.
func (q *Queue) Done(msg *Message, res Result, now clock.Instant) []Notice {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sendingSince = 0
	for _, p := range msg.Parts {
		p.conversation.inFlight = 0
	}
	var changed []*Notice
	switch {
	case res.Verdict == Delivered:
		changed = q.delivered(msg, res.MessageID, now)
	case msg.test == nil:
		changed = q.failed(msg, res, now)
	case res.Verdict == Later:
		q.askedToWait(res.After, now)
	}
	if res.Verdict != Delivered {
		q.lastError, q.lastErrorAt = res.Text, now
	}
	if msg.test != nil && (res.Verdict != Later || !q.repeatTest(msg.test, res.Text)) {
		msg.test.Done <- res
	}
	return q.saveChanged(changed)
}

// delivered records that a message was delivered; mu is held.
func (q *Queue) delivered(msg *Message, id string, now clock.Instant) (changed []*Notice) {
	q.sent++
	q.lastSent, q.failures, q.retryAt, q.shortWaits, q.disabled = now, 0, 0, 0, false
	for _, p := range msg.Parts {
		c := p.conversation
		c.failures, c.retryAt = 0, 0
		if p.Reminder {
			changed = append(changed, c.reminded(msg, p, id, now))
		} else {
			changed = append(changed, c.delivered(msg, p, id, now)...)
		}
		q.leaveSplit(c)
		c.forgetIfIdle(now)
	}
	if msg.batch != nil {
		msg.batch.succeeded(len(msg.Parts) > 1)
	}
	return changed
}

// reminded records that a reminder was delivered.
func (c *conversation) reminded(msg *Message, p Part, id string, now clock.Instant) *Notice {
	n := p.notices[0]
	n.Reminders++
	n.AddStep(now, sentAs(fmt.Sprintf("reminder %d sent", n.Reminders), id)+msg.inDigest())
	c.lastSentAt, n.SentAt = now.Mono, now.Wall/int64(time.Millisecond)
	return n
}

// delivered records that notices were delivered.
func (c *conversation) delivered(msg *Message, p Part, id string, now clock.Instant) (changed []*Notice) {
	last := p.notices[len(p.notices)-1]
	for _, n := range p.notices {
		step := sentAs("sent", id)
		if n.Attempts > 1 {
			step += fmt.Sprintf(", attempt %d", n.Attempts)
		}
		step += msg.inDigest()
		if n != last {
			step += ", together with " + last.Event.ID
		}
		n.MessageID, n.SentAt, n.Delay, n.FlapDue = id, now.Wall/int64(time.Millisecond), nil, 0
		n.End(now, Sent, step)
	}
	c.queue.free(p.notices)
	c.removeFirst(len(p.notices))
	changed = append(changed, c.setLastSent(p, now)...)
	c.regroup(now)
	return append(changed, p.notices...)
}

func sentAs(step, id string) string {
	if id == "" {
		return step
	}
	return step + " as message " + id
}

func (msg *Message) inDigest() string {
	if msg.number == 0 {
		return ""
	}
	return fmt.Sprintf(" (in digest %d, with %s)", msg.number, plural(len(msg.Parts)-1, "other"))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// setLastSent sets what the notifier knows now: the latest bad notice of an incident
// whose end it does not know, or the one that reported that the service flaps. It
// returns the one that was the last before, if that changed.
func (c *conversation) setLastSent(p Part, now clock.Instant) []*Notice {
	last, over := (*Notice)(nil), false
	for _, n := range p.notices {
		if n.Event.bad() {
			last, over = n, false
		} else if n.Event.ends() {
			last, over = nil, true
		}
	}
	if p.flapping > 0 {
		c.flapSentAt = max(1, now.Mono)
		if last == nil {
			last = p.notices[len(p.notices)-1]
		}
		last.Flaps = true
	}
	before := c.lastSent
	if last == nil && (!over || before == nil) {
		return nil // such as an absence of LaneSwap: it ends nothing
	}
	c.lastSent, c.lastSentAt = last, now.Mono
	if last != nil {
		last.Standing = true
	}
	if before == nil {
		return nil
	}
	before.Standing = false
	return []*Notice{before}
}

// failed decides what follows a message that was not delivered; mu is held.
func (q *Queue) failed(msg *Message, res Result, now clock.Instant) (changed []*Notice) {
	switch res.Verdict {
	case Stopped:
		msg.addStep(now, "interrupted: LaneSwap stopped")
	case Later:
		q.askedToWait(res.After, now)
		msg.addStep(now, fmt.Sprintf("%s; the receiver asked to wait until %s", res.Text, ClockAt(now, q.waitUntil)))
	case Permanent:
		q.disabled = true
		msg.addStep(now, res.Text+"; the notifier is disabled until LaneSwap is restarted or a test message is delivered")
	case Refused:
		q.failures, q.retryAt = 0, 0 // the receiver is there, and has read it
		return q.refused(msg, res, now)
	default:
		q.retry(msg, res, now)
	}
	return changed
}

// refused splits a digest that the receiver will never accept, and drops what cannot
// be split; mu is held.
func (q *Queue) refused(msg *Message, res Result, now clock.Instant) (changed []*Notice) {
	c, notices := msg.Parts[0].conversation, msg.Parts[0].notices
	switch {
	case len(msg.Parts) > 1:
		msg.addStep(now, fmt.Sprintf("digest %d was refused and split in two: %s", msg.number, res.Text))
		q.split(msg)
	case msg.Parts[0].Reminder:
		msg.addStep(now, "reminder refused: "+res.Text)
		c.lastSentAt = now.Mono
	default:
		// The earlier events may be the reason, or their number: the current status is
		// tried without them.
		changed = c.drop(0, max(1, len(notices)-1), now, "dropped: the receiver refused it: "+res.Text)
		if len(notices) > 1 {
			notices[len(notices)-1].AddStep(now, "refused, retried without the earlier events: "+res.Text)
		}
	}
	return changed
}

// retry schedules the next attempt; mu is held.
func (q *Queue) retry(msg *Message, res Result, now clock.Instant) {
	q.failures++
	q.retryAt = now.Mono + Backoff(q.failures)
	for _, p := range msg.Parts {
		p.conversation.failures++
	}
	then := ""
	if len(msg.Parts) == 1 && !msg.probe {
		// The content of the message may be the reason: the others go on.
		c := msg.Parts[0].conversation
		c.retryAt = now.Mono + Backoff(c.failures)
		q.retryAt = min(q.retryAt, c.retryAt)
	} else if msg.batch.failed(q.sent) && len(msg.Parts) > 1 {
		q.split(msg)
		then = ", split in two, because other messages were delivered"
	}
	msg.addStep(now, fmt.Sprintf("attempt %d failed: %s; next attempt at %s or later%s", msg.Attempt, res.Text, ClockAt(now, q.retryAt), then))
}

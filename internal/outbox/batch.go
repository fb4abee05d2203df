package outbox

import (
	"cmp"
	"slices"

	"github.com/laneswap/laneswap/internal/clock"
)

// splitAfter is how often the digests of a batch fail before the batch is suspected.
const splitAfter = 3

// batch is a set of conversations that may be sent in one message. Usually all share
// one; a digest that the receiver cannot take is split into two, until what it cannot
// take is alone. The mutex of the queue guards it.
type batch struct {
	members  []*conversation // those whose batch it is; others have left
	failures int             // digests that failed, without one that succeeded
	sent     uint64          // messages that the queue had sent at the first of these failures
	more     bool            // more waits than fitted into single messages, or into one
}

// failed counts a message that failed without a verdict about its content. It reports
// whether the batch is to be split: it is the digest that fails, for the receiver has
// taken other messages since.
func (b *batch) failed(sent uint64) (split bool) {
	if b.failures == 0 {
		b.sent = sent
	}
	b.failures++
	return b.failures >= splitAfter && sent > b.sent
}

// probes reports whether one service is to be sent instead of the digest, to find out
// whether the receiver takes anything: every second time after several failures.
func (b *batch) probes(sent uint64) bool {
	return b.failures >= splitAfter && b.failures%2 == splitAfter%2 && sent == b.sent
}

// succeeded notes that the receiver has taken a message of the batch.
func (b *batch) succeeded(digest bool) {
	failing := func(c *conversation) bool { return c.batch == b && c.failures > 0 && len(c.pending) > 0 }
	if b.failures > 0 && (digest || !slices.ContainsFunc(b.members, failing)) {
		b.failures = 0
	}
}

// join makes a conversation wait for its turn; mu is held.
func (q *Queue) join(c *conversation) {
	switch {
	case c.batch != nil:
		return
	case q.single:
		q.batches = append(q.batches, &batch{})
		c.batch = q.batches[len(q.batches)-1]
	default:
		c.batch = q.shared
	}
	c.batch.members = append(c.batch.members, c)
}

// leaveSplit returns a conversation to the shared batch after a success; mu is held.
func (q *Queue) leaveSplit(c *conversation) {
	if c.batch != q.shared && !q.single {
		c.batch = nil
		if len(c.pending) > 0 {
			q.join(c)
		}
	}
}

// split puts the services of a message into two batches; mu is held.
func (q *Queue) split(msg *Message) {
	parts, failures := msg.Parts, max(0, min(msg.batch.failures, splitAfter)-1)
	for _, half := range [][]Part{parts[:(len(parts)+1)/2], parts[(len(parts)+1)/2:]} {
		b := &batch{failures: failures, sent: q.sent}
		for _, p := range half {
			p.conversation.batch = b
			b.members = append(b.members, p.conversation)
			if msg.Kind == KindMassSilence {
				p.notices[len(p.notices)-1].Mass = true
			}
		}
		q.batches = append(q.batches, b)
	}
	msg.batch.failures = 0
}

// served moves a batch behind the others. The shared one has every second turn,
// however many there are; mu is held.
func (q *Queue) served(b *batch) {
	q.removeBatch(slices.Index(q.batches, b))
	q.batches = append(q.batches, b)
	if !q.single && q.shared != b {
		i := slices.Index(q.batches, q.shared)
		q.batches = slices.Insert(slices.Delete(q.batches, i, i+1), 0, q.shared)
	}
}

// removeBatch removes the i-th batch; mu is held.
func (q *Queue) removeBatch(i int) {
	if i == 0 { // the usual case, and there may be thousands
		q.batches[0] = nil
		q.batches = q.batches[1:]
		return
	}
	q.batches = slices.Delete(q.batches, i, i+1)
}

// pick returns the next message of the batch whose turn it is; mu is held.
func (q *Queue) pick(now clock.Instant) *Message {
	q.droppable = nil
	q.joinReminders(now)
	for i := 0; i < len(q.batches); {
		b := q.batches[i]
		if !q.compact(b, now) {
			q.removeBatch(i)
			continue
		}
		if parts := q.readyParts(b, now); len(parts) > 0 {
			q.served(b)
			return q.compose(b, parts, now)
		}
		i++
	}
	return nil
}

// compact forgets the members of a batch that have left or have nothing to send. It
// reports whether the batch is still needed; mu is held.
func (q *Queue) compact(b *batch, now clock.Instant) bool {
	b.members = slices.DeleteFunc(b.members, func(c *conversation) bool {
		if c.batch != b {
			return true
		}
		// A reminder that has failed keeps its batch.
		if at := q.remindAt(c); len(c.pending) > 0 || at <= now.Mono || at != never && c.failures > 0 {
			return false
		}
		c.batch = nil
		c.forgetIfIdle(now)
		return true
	})
	if len(b.members) == 0 && b == q.shared {
		b.failures, b.more = 0, false
		return true // it keeps its turn
	}
	return len(b.members) > 0
}

// readyParts returns what may be sent now of a batch: notices first, then reminders;
// mu is held.
func (q *Queue) readyParts(b *batch, now clock.Instant) (parts []Part) {
	var reminders []*conversation
	for _, c := range b.members {
		if at, ok := c.readyAt(); ok && at <= now.Mono {
			parts = append(parts, Part{conversation: c, notices: c.pending[:c.ready:c.ready], flapping: c.flapping})
		} else if q.remindAt(c) <= now.Mono {
			reminders = append(reminders, c)
		}
	}
	slices.SortFunc(reminders, bySequence)
	for _, c := range reminders {
		parts = append(parts, Part{conversation: c, notices: []*Notice{c.lastSent}, Reminder: true})
	}
	return parts
}

// readyAt returns when the ready notices may be sent; false for none.
func (c *conversation) readyAt() (int64, bool) {
	if c.ready == 0 || slices.ContainsFunc(c.pending[:c.ready], func(n *Notice) bool { return !n.noted }) {
		return 0, false
	}
	return max(c.due, c.retryAt), true
}

// bySequence orders conversations by what was last sent of them.
func bySequence(a, b *conversation) int {
	return cmp.Compare(a.lastSent.Event.Sequence, b.lastSent.Event.Sequence)
}

// Package outbox decides what a notifier is sent, in which messages, and when. It
// has no clock, no goroutine and no output: a worker asks a Queue for the Next
// message, sends it, and reports the result with Done.
package outbox

import (
	"iter"
	"math"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

const (
	// MaxAge is how long the delivery of a notice is attempted.
	MaxAge = 24 * time.Hour
	// NotifyTimeout bounds one call of a notifier.
	NotifyTimeout = 30 * time.Second
	// MassWithin is how close to each other services fall silent in a mass silence, in ns.
	MassWithin = int64(time.Minute)

	maxPendingBytes = 64 << 20 // of one queue; beyond it the oldest notices are dropped
	noticeOverhead  = 1500     // bytes of a notice besides its text, with its event and steps, about
	digestAbove     = 10       // more services than that are sent as one digest
	maxDigest       = 10_000   // services in one message
	burstFactor     = 6        // by which the group wait is longer after a digest
	burstWaits      = 12       // for how many group waits it stays longer

	never = math.MaxInt64
)

// Config configures a Queue.
type Config struct {
	// Wants reports whether the notifier wants an event; not names the filter that
	// excludes it.
	Wants func(*Event) (ok bool, not string)
	// Save stores notices that changed. It is called while the queue is locked, so
	// that the last call has the latest state.
	Save      func([]Notice)
	GroupWait time.Duration // how long notices are grouped
	Remind    time.Duration // between two reminders; 0 for no reminders
	Single    bool          // each service in a message of its own, at once
	FlapLimit int           // transitions within FlapWindow above which a service flaps; 0 for no limit
	Durable   bool          // pending notices survive a restart
}

// Queue holds the notices of one notifier. It is safe for concurrent use.
type Queue struct {
	Wake chan struct{} // holds one token when Next has to be called earlier than it said

	save        func([]Notice)
	wants       func(*Event) (ok bool, not string)
	groupWait   int64 // ns
	remindEvery int64 // ns; 0 for never
	single      bool
	flapLimit   int
	durable     bool

	mu            sync.Mutex // guards what follows
	conversations map[string]*conversation
	batches       []*batch // of the conversations with pending notices, in the order of their turns
	shared        *batch   // one of them, which new notices join; nil with single
	reviewAt      int64    // mono: when a delay or a notice ends next
	nextSweep     int64    // mono: when idle conversations are forgotten next
	bytes         int      // of pending notices
	droppable     []*conversation
	changed       []*Notice // not saved yet
	groupUntil    int64     // mono: notices are grouped until then
	burstUntil    int64     // mono: many notices come until then
	digests       int

	failures     int   // attempts in a row that failed
	retryAt      int64 // mono: no attempt before it
	waitUntil    int64 // mono: no request before it, because the receiver asked for that
	shortWaits   int   // how often in a row it asked for less than minAskedWait
	disabled     bool
	tests        []*Test
	nextAt       int64 // mono: when the worker calls Next again; math.MinInt64 while it works
	closing      bool
	closeBy      int64 // mono
	sendingSince int64 // mono; 0 while nothing is being sent

	sent, dead  uint64
	dropped     int // of dead those for want of memory that Flush has not returned yet
	lastSent    clock.Instant
	lastError   string
	lastErrorAt clock.Instant
}

// New makes a Queue.
func New(cfg Config) *Queue {
	q := &Queue{
		wants: cfg.Wants, save: cfg.Save, groupWait: int64(cfg.GroupWait), remindEvery: int64(cfg.Remind), single: cfg.Single, flapLimit: cfg.FlapLimit, durable: cfg.Durable,
		conversations: map[string]*conversation{}, nextAt: math.MinInt64, Wake: make(chan struct{}, 1), groupUntil: math.MinInt64, reviewAt: math.MaxInt64,
	}
	if q.single {
		q.groupWait, q.flapLimit = 0, 0
	} else {
		q.shared = &batch{}
		q.batches = []*batch{q.shared}
	}
	return q
}

// Offer is the decision of a queue about one event.
type Offer struct {
	queue   *Queue
	notice  *Notice
	Notices []Notice // the new one, which is not sent before Confirm, and the older ones that it changed
	Delayed bool     // a notice of the service waits for a threshold
}

// Offer decides about an event.
func (q *Queue) Offer(ev *Event, in EventContext, now clock.Instant) Offer {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.conversation(ev.Service)
	n := &Notice{Event: ev, Since: now.Mono, Mass: in.Mass}
	changed := c.accept(n, in, now)
	for _, old := range changed {
		if old.Over() {
			q.free([]*Notice{old})
		}
	}
	delayed := c.delay != nil
	c.forgetIfIdle(now)
	changed = append(changed, q.dropExcess(now)...)
	return Offer{q, n, cloneAll(append([]*Notice{n}, changed...)), delayed}
}

// Confirm says that the notice is in the journal under the number lsn, or that there
// is none (0): it may be sent.
func (o Offer) Confirm(lsn uint64) {
	q, n := o.queue, o.notice
	q.mu.Lock()
	defer q.mu.Unlock()
	n.noted, n.lsn = true, lsn
	c := q.conversations[n.Event.Service]
	if c == nil {
		return
	}
	c.scheduleReview()
	if c.ready > 0 && max(c.due, c.retryAt, q.blockedUntil()) < q.nextAt || q.reviewAt < q.nextAt {
		q.wake()
	}
}

// Find returns the notice of an event that is pending, or was sent last.
func (q *Queue) Find(ev *Event) (Notice, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.conversations[ev.Service]
	if c == nil {
		return Notice{}, false
	}
	if c.lastSent != nil && c.lastSent.Event.ID == ev.ID {
		return c.lastSent.clone(), true
	}
	for _, n := range c.pending {
		if n.Event.ID == ev.ID {
			return n.clone(), true
		}
	}
	return Notice{}, false
}

// Redelay replaces the delay of the notices of a service. With nil they are sent
// because of why: "" when the threshold is reached.
func (q *Queue) Redelay(service string, d *Delay, why string, now clock.Instant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.conversations[service]
	if c == nil || c.delay == nil {
		return
	}
	if d == nil || d.Recovery != c.delay.Recovery {
		c.endDelay(why, now)
	} else {
		if d.Threshold == c.delay.Threshold && c.delay.Until < d.Until { // a restart makes no delay longer
			merged := *d
			merged.Until = c.delay.Until
			d = &merged
		}
		c.delay = d
		c.scheduleReview()
	}
	q.wake()
	q.saveChanged(nil)
}

// Delayed reports whether a notice of a service waits for a threshold.
func (q *Queue) Delayed(service string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.conversations[service]
	return c != nil && c.delay != nil
}

// MarkUnknown stops reminders of a service until its next event.
func (q *Queue) MarkUnknown(service string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := q.conversations[service]; c != nil {
		c.unknown = true
	}
}

// Flush saves the notices that changed without an event or a message. It returns
// them, and how many more were dropped for want of memory.
func (q *Queue) Flush(now clock.Instant) (changed []Notice, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped, q.dropped = q.dropped, 0
	return q.saveChanged(nil), dropped
}

// saveChanged saves these notices and those in q.changed, and returns them; mu is held.
func (q *Queue) saveChanged(changed []*Notice) []Notice {
	all := cloneAll(append(changed, q.changed...))
	q.changed = nil
	q.save(all)
	return all
}

// Close lets the worker send until the instant deadline, and then end. Grouping ends
// at once. Thresholds stay; so do notices of a flapping service if they survive a
// restart.
func (q *Queue) Close(deadline int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing, q.closeBy, q.groupUntil, q.burstUntil = true, deadline, math.MinInt64, 0
	for c := range q.active() {
		if !c.waitsForFlapping() {
			c.due, c.dueNext = 0, 0
		}
	}
	q.wake()
}

// Undelivered is how many notices a closed queue should have sent and has not.
func (q *Queue) Undelivered() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for c := range q.active() {
		if c.due == 0 || !c.waitsForFlapping() {
			n += c.ready
		}
	}
	return n
}

func (q *Queue) wake() {
	select {
	case q.Wake <- struct{}{}:
	default:
	}
}

func (q *Queue) conversation(service string) *conversation {
	c := q.conversations[service]
	if c == nil {
		c = &conversation{queue: q, service: service}
		q.conversations[service] = c
	}
	return c
}

// active yields the conversations with pending notices; mu is held.
func (q *Queue) active() iter.Seq[*conversation] {
	return func(yield func(*conversation) bool) {
		for _, b := range q.batches {
			for _, c := range b.members {
				if c.batch == b && !yield(c) {
					return
				}
			}
		}
	}
}

// free subtracts the memory of notices that are not pending any more; mu is held.
func (q *Queue) free(gone []*Notice) {
	for _, n := range gone {
		q.bytes -= n.memory()
	}
}

// ReasonFull is the last step of a notice that was dropped for want of memory.
const ReasonFull = "dropped: too many notices wait for this notifier"

// dropExcess drops the oldest notices while the queue takes too much memory; mu is
// held. It goes on where the last call stopped, so that conversations whose notices
// are all being sent are not looked at again for each notice.
func (q *Queue) dropExcess(now clock.Instant) (gone []*Notice) {
	listed := false
	for q.bytes > maxPendingBytes {
		if len(q.droppable) == 0 {
			if listed {
				break
			}
			listed = true
			for c := range q.active() {
				q.droppable = append(q.droppable, c)
			}
			continue
		}
		c := q.droppable[0]
		if len(c.pending) <= c.inFlight {
			q.droppable = q.droppable[1:]
			continue
		}
		gone = append(gone, c.drop(c.inFlight, 1, now, ReasonFull)...)
		q.dropped++
	}
	return gone
}

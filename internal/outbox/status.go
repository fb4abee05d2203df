package outbox

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// The states of a notifier.
const (
	OK       = "ok"
	Retrying = "retrying"
	Stuck    = "stuck"
	Disabled = "disabled"
)

// Status describes a queue. Times that do not apply are zero.
type Status struct {
	State                                  string
	Waiting                                int // pending notices
	Oldest, LastSent, LastErrorAt, RetryAt time.Time
	Sent                                   uint64 // messages
	Dead                                   uint64 // notices
	LastError                              string
}

// Status returns the current status.
func (q *Queue) Status(now clock.Instant) Status {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Status{
		State: OK, Sent: q.sent, Dead: q.dead, LastError: q.lastError,
		LastSent: timeOf(q.lastSent), LastErrorAt: timeOf(q.lastErrorAt),
	}
	oldest, next := int64(math.MaxInt64), int64(math.MaxInt64)
	for c := range q.active() {
		s.Waiting += len(c.pending)
		for _, n := range c.pending {
			oldest = min(oldest, n.Event.At.UnixMilli())
		}
		if at, ok := c.readyAt(); ok {
			next = min(next, at)
		}
	}
	if s.Waiting > 0 {
		s.Oldest = time.UnixMilli(oldest).UTC()
	}
	retry := max(q.waitUntil, q.retryAt)
	if q.failures > 0 && next != math.MaxInt64 {
		retry = max(retry, next) // the message that failed may wait a little longer
	}
	switch {
	case q.sendingSince != 0 && now.Mono-q.sendingSince > int64(NotifyTimeout):
		s.State = Stuck
	case q.disabled:
		s.State = Disabled
	case q.failures > 0 || retry > now.Mono:
		s.State = Retrying
		if retry > now.Mono {
			s.RetryAt = clock.Instant{Wall: now.Wall + retry - now.Mono}.Time()
		}
	}
	return s
}

func timeOf(i clock.Instant) time.Time {
	if i.Wall/int64(time.Millisecond) == 0 {
		return time.Time{}
	}
	return i.Time()
}

// Test is a test message that somebody waits for.
type Test struct {
	Done chan Result // holds one

	until     int64  // mono: how long somebody waits; the mutex of the queue guards it
	lastError string // of the attempts so far
}

// NewTest makes a test whose result is waited for until the instant mono.
func NewTest(until int64) *Test { return &Test{Done: make(chan Result, 1), until: until} }

// SendTest sends a test message before all others.
func (q *Queue) SendTest(test *Test) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tests = append(q.tests, test)
	q.wake()
}

// repeatTest repeats a test that the receiver asked to send later, if somebody waits
// for that long; mu is held.
func (q *Queue) repeatTest(test *Test, text string) bool {
	if q.waitUntil >= test.until || q.closing {
		return false
	}
	test.lastError = text
	q.tests = slices.Insert(q.tests, 0, test)
	return true
}

// CancelTest cancels a test, and returns why it has no result yet.
func (q *Queue) CancelTest(test *Test, now clock.Instant) (why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tests = slices.DeleteFunc(q.tests, func(other *Test) bool { return other == test })
	test.until = 0
	switch {
	case test.lastError != "" && q.sendingSince == 0:
		return test.lastError
	case q.waitUntil > now.Mono:
		return "nothing was sent: the receiver asked to wait until " + ClockAt(now, q.waitUntil)
	case q.sendingSince != 0:
		return fmt.Sprintf("no answer: the notifier has been busy since %s", ClockAt(now, q.sendingSince))
	}
	return "nothing was sent in time"
}

package outbox

import (
	"slices"

	"github.com/laneswap/laneswap/internal/clock"
)

// remindAt returns when the notifier is reminded of a service; never for not at all.
// mu is held.
func (q *Queue) remindAt(c *conversation) int64 {
	if q.remindEvery == 0 || c.lastSent == nil || !c.lastSent.Event.bad() || !c.announced || c.unknown || c.ready > 0 || c.delay != nil || q.closing {
		return never
	}
	return max(c.lastSentAt+q.remindEvery, c.retryAt)
}

// joinReminders makes the reminders that are due wait for their turn; mu is held.
func (q *Queue) joinReminders(now clock.Instant) {
	if q.remindEvery == 0 {
		return
	}
	var due []*conversation
	for _, c := range q.conversations {
		if c.batch == nil && q.remindAt(c) <= now.Mono {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, bySequence)
	for _, c := range due {
		q.join(c)
	}
}

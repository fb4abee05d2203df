package laneswap

import (
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/journal"
	"github.com/laneswap/laneswap/internal/outbox"
)

// storedNotice is the content of an outbox row. The row is open while the notice is
// pending, and after that while it is the last one delivered of an open incident.
type storedNotice struct {
	Version  int    `json:"v"`
	Notifier string `json:"notifier"`
	// Event is left out once the notice is over: EventID remains.
	Event     *Event       `json:"event,omitempty"`
	EventID   string       `json:"event_id,omitempty"`
	State     NoticeState  `json:"state,omitempty"` // "" is waiting
	Message   string       `json:"message,omitempty"`
	Attempts  int          `json:"attempts,omitempty"`
	Steps     []TraceStep  `json:"steps,omitempty"`
	SentAt    int64        `json:"sent_at,omitempty"`  // wall ms
	FlapDue   int64        `json:"flap_due,omitempty"` // wall ms
	Changes   int          `json:"changes,omitempty"`
	Mass      bool         `json:"mass,omitempty"`
	Flaps     bool         `json:"flaps,omitempty"`
	Reminders int          `json:"reminders,omitempty"`
	Delay     *storedDelay `json:"hold,omitempty"`
}

// minRestoredTime is how long the delivery of a restored notice is attempted at least.
const minRestoredTime = 30 * time.Minute

// storedDelay is the delay of a notice in its row.
type storedDelay struct {
	Recovery bool  `json:"recovery,omitempty"`
	Deferred bool  `json:"parked,omitempty"`
	Beats    int   `json:"beats,omitempty"` // of the threshold
	For      int64 `json:"for,omitempty"`   // ns, of the threshold
	Until    int64 `json:"until,omitempty"` // wall ms
}

// noticeEntry returns the row of a notice as it is now.
func noticeEntry(n *outbox.Notice, key string, now clock.Instant) *entry {
	ev := eventOf(*n)
	s := &storedNotice{
		Version: storedVersion, Notifier: key, Event: ev, State: NoticeState(n.State), Message: n.MessageID,
		Attempts: n.Attempts, Steps: traceOf(*n, key).Steps, SentAt: n.SentAt, FlapDue: n.FlapDue, Changes: n.Changes, Mass: n.Mass, Flaps: n.Flaps, Reminders: n.Reminders,
	}
	if d := n.Delay; d != nil && n.State == outbox.Held {
		s.Delay = &storedDelay{Recovery: d.Recovery, Deferred: d.Deferred, Beats: d.Threshold.Beats, For: int64(d.Threshold.For)}
		if d.Until != clock.Never {
			s.Delay.Until = (now.Wall + d.Until - now.Mono) / int64(time.Millisecond)
		}
	}
	if n.Over() {
		s.Event, s.EventID = nil, ev.ID
	}
	e := newEntry(kindOutbox, outboxKey(key, ev.ID).ID, string(ev.Service), ev.At.UnixMilli(), s)
	e.Open, e.Size = !n.Over(), len(ev.Message)+100*len(n.Steps)
	return e
}

// outboxKey returns the key of the row of a notice.
func outboxKey(notifier, event string) journal.Key { return key(kindOutbox, notifier+"/"+event) }

// notice restores a stored notice; at converts wall ms into instants.
func (s *storedNotice) notice(at func(ms int64) clock.Instant, now clock.Instant) *outbox.Notice {
	n := &outbox.Notice{
		Event: outboxEvent(s.Event), State: outbox.State(s.State), MessageID: s.Message, Attempts: s.Attempts, SentAt: s.SentAt,
		FlapDue: s.FlapDue, Changes: s.Changes, Mass: s.Mass, Flaps: s.Flaps, Reminders: s.Reminders, Since: at(s.Event.At.UnixMilli()).Mono, Standing: s.State == NoticeSent,
	}
	n.MarkNoted()
	for _, step := range s.Steps {
		n.Steps = append(n.Steps, outbox.Step(step))
	}
	if n.State == "" || n.State == outbox.Held && s.Delay == nil {
		n.State = outbox.Waiting
	}
	if d := s.Delay; d != nil && n.State == outbox.Held {
		n.Delay = &outbox.Delay{Recovery: d.Recovery, Deferred: d.Deferred, Threshold: outbox.Threshold{Beats: d.Beats, For: time.Duration(d.For)}, Until: clock.Never}
		if d.Until != 0 {
			// The time between the two runs counts as well.
			n.Delay.Until = now.Mono + d.Until*int64(time.Millisecond) - now.Wall
		}
	}
	if n.State != outbox.Sent {
		n.AddStep(now, "restored after a restart")
		// It is attempted however long ago the last run was, whatever the clock says.
		n.Since = max(n.Since, now.Mono-int64(maxNoticeAge-minRestoredTime))
	}
	return n
}

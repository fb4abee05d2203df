package laneswap

import (
	"time"

	"github.com/laneswap/laneswap/internal/journal"
	"github.com/laneswap/laneswap/internal/outbox"
)

// storedNotice is what an outbox row holds. A row is open while the notice is
// owed, and while the incident is open that it was the latest to tell of.
type storedNotice struct {
	Version  int    `json:"v"`
	Notifier string `json:"notifier"`
	// Event is left out once nothing more comes of it: EventID says which it was.
	Event     *Event      `json:"event,omitempty"`
	EventID   string      `json:"event_id,omitempty"`
	State     NoticeState `json:"state,omitempty"` // "" is waiting
	Message   string      `json:"message,omitempty"`
	Attempts  int         `json:"attempts,omitempty"`
	Steps     []TraceStep `json:"steps,omitempty"`
	SentAt    int64       `json:"sent_at,omitempty"`  // wall ms
	FlapDue   int64       `json:"flap_due,omitempty"` // wall ms
	Changes   int         `json:"changes,omitempty"`
	Mass      bool        `json:"mass,omitempty"`
	Flaps     bool        `json:"flaps,omitempty"`
	Reminders int         `json:"reminders,omitempty"`
	Hold      *storedHold `json:"hold,omitempty"`
}

// triedFor is how long a notice is tried at least that is taken up.
const triedFor = 30 * time.Minute

// storedHold is a hold within a row.
type storedHold struct {
	Recovery bool  `json:"recovery,omitempty"`
	Parked   bool  `json:"parked,omitempty"`
	Beats    int   `json:"beats,omitempty"` // of the threshold
	For      int64 `json:"for,omitempty"`   // ns, of the threshold
	Until    int64 `json:"until,omitempty"` // wall ms
}

// noticeEntry is the row of a notice as it is now.
func noticeEntry(n *outbox.Notice, key string, now instant) *entry {
	ev := eventOf(*n)
	s := &storedNotice{
		Version: storedVersion, Notifier: key, Event: ev, State: NoticeState(n.State), Message: n.MessageID,
		Attempts: n.Attempts, Steps: traceOf(*n, key).Steps, SentAt: n.SentAt, FlapDue: n.FlapDue, Changes: n.Changes, Mass: n.Mass, Flaps: n.Flaps, Reminders: n.Reminders,
	}
	if h := n.Hold; h != nil && n.State == outbox.Held {
		s.Hold = &storedHold{Recovery: h.Recovery, Parked: h.Parked, Beats: h.Threshold.Beats, For: int64(h.Threshold.For)}
		if h.Until != noDeadline {
			s.Hold.Until = (now.Wall + h.Until - now.Mono) / int64(time.Millisecond)
		}
	}
	if n.Over() {
		s.Event, s.EventID = nil, ev.ID
	}
	return &entry{
		Policy: journal.Policy{Amended: true, Keep: 8}, Key: outboxKey(key, ev.ID), Service: string(ev.Service), At: ev.At.UnixMilli(), Open: !n.Over(),
		Data: s, Size: len(ev.Message) + 100*len(n.Steps),
	}
}

// outboxKey is the key of the row of a notice.
func outboxKey(notifier, event string) journal.Key { return key(kindOutbox, notifier+"/"+event) }

// notice is a stored one that is taken up; at turns wall ms into instants.
func (s *storedNotice) notice(at func(ms int64) instant, now instant) *outbox.Notice {
	n := &outbox.Notice{
		Event: owed(s.Event), State: outbox.State(s.State), MessageID: s.Message, Attempts: s.Attempts, SentAt: s.SentAt,
		FlapDue: s.FlapDue, Changes: s.Changes, Mass: s.Mass, Flaps: s.Flaps, Reminders: s.Reminders, Since: at(s.Event.At.UnixMilli()).Mono, Standing: s.State == NoticeSent,
	}
	n.Noted()
	for _, step := range s.Steps {
		n.Steps = append(n.Steps, outbox.Step(step))
	}
	if n.State == "" || n.State == outbox.Held && s.Hold == nil {
		n.State = outbox.Waiting
	}
	if h := s.Hold; h != nil && n.State == outbox.Held {
		n.Hold = &outbox.Hold{Recovery: h.Recovery, Parked: h.Parked, Threshold: outbox.Threshold{Beats: h.Beats, For: time.Duration(h.For)}, Until: noDeadline}
		if h.Until != 0 {
			// Wall time that passed while nobody ran counts as well.
			n.Hold.Until = now.Mono + h.Until*int64(time.Millisecond) - now.Wall
		}
	}
	if n.State != outbox.Sent {
		n.Step(now, "taken up after a restart")
		// However long nobody ran, or whatever the clock says: it is tried.
		n.Since = max(n.Since, now.Mono-int64(owedFor-triedFor))
	}
	return n
}

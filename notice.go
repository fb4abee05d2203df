package laneswap

import (
	"slices"
	"time"
)

// notice is what is owed to one notifier of one event, and what was decided about
// it. It is guarded by its courier.
type notice struct {
	ev        *Event
	state     NoticeState
	message   string // what the receiver calls the message that told it
	attempts  int
	steps     []TraceStep
	since     int64 // mono: from when on it is owed, held or not
	sentAt    int64 // wall ms
	hold      *hold // what it waits for, as it was when it was owed
	flapDue   int64 // wall ms: when it is told while its service flaps; 0 for at once
	changes   int   // transitions in 30 minutes, when it waits for that
	mass      bool  // many services fell silent with it
	reminders int
	flaps     bool // it said that the service flaps
	noted     bool // the storage is to know of it; before that it is not sent
	ticket    uint64
	standing  bool // the latest that was delivered of an incident that is open
}

// maxSteps is how many steps of a trace are kept: half of them the first ones.
const maxSteps = 16

// step adds to what was decided.
func (n *notice) step(now instant, text string) {
	s := TraceStep{At: wallTime(now.wall / int64(time.Millisecond)), Text: text}
	if len(n.steps) < maxSteps {
		n.steps = append(n.steps, s)
		return
	}
	copy(n.steps[maxSteps/2:], n.steps[maxSteps/2+1:])
	n.steps[maxSteps-1] = s
}

// end says what became of it.
func (n *notice) end(now instant, state NoticeState, text string) {
	n.state = state
	n.step(now, text)
}

// over reports whether nothing more comes of it.
func (n *notice) over() bool {
	return n.state == NoticeSkipped || n.state == NoticeDead || n.state == NoticeSent && !n.standing
}

// trace is what was decided, for people.
func (n *notice) trace(notifier string) NoticeTrace {
	return NoticeTrace{Notifier: notifier, State: n.state, MessageID: n.message, Attempts: n.attempts, Steps: slices.Clone(n.steps)}
}

// report is a notice as it is at one moment, for others than its courier.
type report struct {
	ev    *Event
	trace NoticeTrace
	row   *entry // nil without a storage
	over  bool
}

// report copies notices; mu is held.
func (c *courier) report(notices []*notice, now instant) []report {
	out := make([]report, len(notices))
	for i, n := range notices {
		out[i] = report{ev: n.ev, trace: n.trace(c.key), over: n.over()}
		if c.durable {
			out[i].row = n.entry(c.key, now)
		}
	}
	return out
}

// weight is what it costs in memory, about.
func (n *notice) weight() int { return noticeFrame + len(n.ev.Message) }

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

// entry is the row of a notice as it is now.
func (n *notice) entry(key string, now instant) *entry {
	s := &storedNotice{
		Version: storedVersion, Notifier: key, Event: n.ev, State: n.state, Message: n.message,
		Attempts: n.attempts, Steps: slices.Clone(n.steps), SentAt: n.sentAt, FlapDue: n.flapDue, Changes: n.changes, Mass: n.mass, Flaps: n.flaps, Reminders: n.reminders,
	}
	if h := n.hold; h != nil && n.state == NoticeHeld {
		s.Hold = &storedHold{Recovery: h.recovery, Parked: h.parked, Beats: h.threshold.Beats, For: int64(h.threshold.For)}
		if h.until != noDeadline {
			s.Hold.Until = (now.wall + h.until - now.mono) / int64(time.Millisecond)
		}
	}
	if n.over() {
		s.Event, s.EventID = nil, n.ev.ID
	}
	return &entry{
		Key: outboxKey(key, n.ev.ID), service: string(n.ev.Service), at: n.ev.At.UnixMilli(), open: !n.over(),
		data: s, size: len(n.ev.Message) + 100*len(n.steps),
	}
}

// outboxKey is the key of the row of a notice.
func outboxKey(notifier, event string) Key { return Key{kindOutbox, notifier + "/" + event} }

// notice is a stored one that is taken up; at turns wall ms into instants.
func (s *storedNotice) notice(at func(ms int64) instant, now instant) *notice {
	n := &notice{
		ev: s.Event, state: s.State, message: s.Message, attempts: s.Attempts, steps: s.Steps, sentAt: s.SentAt,
		flapDue: s.FlapDue, changes: s.Changes, mass: s.Mass, flaps: s.Flaps, reminders: s.Reminders, since: at(s.Event.At.UnixMilli()).mono, noted: true, standing: s.State == NoticeSent,
	}
	if n.state == "" || n.state == NoticeHeld && s.Hold == nil {
		n.state = NoticeWaiting
	}
	if h := s.Hold; h != nil && n.state == NoticeHeld {
		n.hold = &hold{recovery: h.Recovery, parked: h.Parked, threshold: Threshold{Beats: h.Beats, For: time.Duration(h.For)}, until: noDeadline}
		if h.Until != 0 {
			// Wall time that passed while nobody ran counts as well.
			n.hold.until = now.mono + h.Until*int64(time.Millisecond) - now.wall
		}
	}
	if n.state != NoticeSent {
		n.step(now, "taken up after a restart")
		// However long nobody ran, or whatever the clock says: it is tried.
		n.since = max(n.since, now.mono-int64(owedFor-triedFor))
	}
	return n
}

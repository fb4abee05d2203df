package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// MessageKind says what a message is about.
type MessageKind string

// The kinds of messages.
const (
	KindEvent       MessageKind = "event"
	KindDigest      MessageKind = "digest"
	KindMassSilence MessageKind = "mass_silence"
	KindFlapping    MessageKind = "flapping"
	KindReminder    MessageKind = "reminder"
	KindTest        MessageKind = "test"
)

// Message is what a notifier gets in one call.
type Message struct {
	ID      string
	Kind    MessageKind
	Parts   []Part // one for each service; none for a test
	Attempt int
	LSN     uint64 // the journal has to be durable up to it before the message is sent

	number int // of the digest; 0 for no digest
	batch  *batch
	probe  bool // one service of a digest that fails
	test   *Test
}

// Part is what a message says about one service.
type Part struct {
	Events   []*Event // oldest first
	Reminder bool     // nothing is new: Events holds the current one
	Flapping int      // transitions within FlapWindow when they are too many; else 0

	conversation *conversation
	notices      []*Notice
	flapping     int
}

// compose makes a message of the parts of a batch that are ready; mu is held.
func (q *Queue) compose(b *batch, parts []Part, now clock.Instant) *Message {
	// The one that has failed least goes first, so that a bad one blocks no other.
	first := slices.MinFunc(parts, func(x, y Part) int { return x.conversation.failures - y.conversation.failures })
	msg := &Message{Kind: KindEvent, Parts: []Part{first}, batch: b}
	silent := fellTogether(parts)
	switch {
	case q.single:
	case len(silent) > 0:
		msg.Kind, msg.Parts = KindMassSilence, silent
	case len(parts) > digestAbove, (b != q.shared || b.more || now.Mono < q.burstUntil) && len(parts) > 1:
		msg.Kind, msg.Parts = KindDigest, parts
	}
	if len(msg.Parts) > 1 && b.probes(q.sent) {
		if !slices.ContainsFunc(silent, func(p Part) bool { return p.conversation == first.conversation }) {
			msg.Kind = KindEvent
		}
		msg.Parts, msg.probe = []Part{first}, true
	}
	msg.Parts = msg.Parts[:min(len(msg.Parts), maxDigest)]
	if len(msg.Parts) > 1 {
		q.digests++
		msg.number = q.digests
		if len(parts) > digestAbove {
			q.burstUntil = now.Mono + burstWaits*q.groupWait
		}
	}
	b.more = len(msg.Parts) > 1 && len(parts) > max(digestAbove, len(msg.Parts))
	msg.fill()
	return msg
}

// fill completes a message from its parts; the mutex of the queue is held.
func (msg *Message) fill() {
	var ids []string
	for i := range msg.Parts {
		p := &msg.Parts[i]
		p.notices = slices.Clone(p.notices) // the slice of the conversation changes
		if !p.Reminder {
			p.conversation.inFlight = len(p.notices)
		}
		p.setEvents()
		for _, n := range p.notices {
			if !p.Reminder {
				n.Attempts++
			}
			msg.LSN = max(msg.LSN, n.lsn)
			ids = append(ids, n.Event.ID)
			if p.Reminder {
				ids = append(ids, fmt.Sprint("reminder ", n.Reminders+1))
			}
		}
	}
	first := msg.Parts[0]
	if msg.Attempt = first.notices[0].Attempts; first.Reminder {
		msg.Attempt = first.conversation.failures + 1
	}
	switch {
	case len(msg.Parts) > 1:
	case first.Reminder:
		msg.Kind = KindReminder
	case first.Flapping > 0:
		msg.Kind = KindFlapping
	}
	msg.ID = messageID(ids)
}

// messageID returns the id of a message about these events.
func messageID(events []string) string {
	if len(events) == 1 {
		return events[0]
	}
	sum := sha256.New()
	for _, id := range events {
		sum.Write(append([]byte(id), 0))
	}
	return "notice/" + hex.EncodeToString(sum.Sum(nil)[:12])
}

func (p *Part) setEvents() {
	last := p.notices[len(p.notices)-1].Event
	if p.Reminder {
		if p.conversation.current != nil {
			last = p.conversation.current
		}
		p.Events = []*Event{last}
		return
	}
	if last.Kind != Removed { // a service that is gone does not flap any more
		p.Flapping = p.flapping
	}
	for _, n := range p.notices {
		p.Events = append(p.Events, n.Event)
	}
}

func (p Part) silent() bool {
	return !p.Reminder && p.notices[len(p.notices)-1].Event.Silent
}

// fellTogether returns the parts whose services fell silent within a minute of many
// others. When the receiver was away for long, others may have fallen silent before
// or since.
func fellTogether(parts []Part) []Part {
	var silent []Part
	var many []time.Time
	for _, p := range parts {
		if p.silent() {
			silent = append(silent, p)
			if last := p.notices[len(p.notices)-1]; last.Mass {
				many = append(many, last.Event.At)
			}
		}
	}
	if len(many) == 0 {
		return nil
	}
	slices.SortFunc(many, time.Time.Compare)
	first, last := many[0], many[0]
	for _, at := range many {
		if at.Sub(last) <= time.Duration(MassWithin) {
			last = at
		}
	}
	return slices.DeleteFunc(silent, func(p Part) bool {
		at := p.notices[len(p.notices)-1].Event.At
		return first.Sub(at) > time.Duration(MassWithin) || at.Sub(last) > time.Duration(MassWithin)
	})
}

// addStep adds a step to all notices of the message.
func (msg *Message) addStep(now clock.Instant, text string) {
	for _, p := range msg.Parts {
		for _, n := range p.notices {
			n.AddStep(now, text)
		}
	}
}

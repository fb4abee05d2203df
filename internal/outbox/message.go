package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Message is what a notifier is given in one call.
type Message struct {
	ID      string
	Kind    MessageKind
	Parts   []Part
	Attempt int
	Ticket  uint64
	number  int // of the digest
	test    *Test
}

// Part is what a message tells of one service.
type Part struct {
	Events   []*Event // oldest first
	Reminder bool     // nothing new: Events holds how it is
	Flapping int      // transitions in 30 minutes, when they are too many

	t        *thread
	notices  []*Notice
	flapping int
}

// Test is somebody who waits for a test message.
type Test struct {
	Done  chan Result // holds one
	until int64       // mono: so long; the courier's mu guards it
	said  string      // what the notifier said to it so far
}

// compose makes the next message of what is ready and may be told together; mu is
// held.
func (c *Courier) compose(company []Part, now clock.Instant) *Message {
	// Who has failed least goes first: what nobody can digest holds up nobody.
	first := company[0]
	for _, p := range company {
		if p.t.failures < first.t.failures {
			first = p
		}
	}
	half := first.t.half
	company = slices.DeleteFunc(company, func(p Part) bool { return p.t.half != half })
	silent := fellTogether(company)
	msg := &Message{Kind: KindEvent, Parts: []Part{first}}
	switch {
	case c.single:
	case c.spoiled >= spoiledMost && c.spoiled%2 == 1 && !c.probed:
		c.spoiled++ // perhaps it is the digest that cannot be taken
		if slices.ContainsFunc(silent, func(p Part) bool { return p.t == msg.Parts[0].t }) {
			msg.Kind = KindMassSilence
		}
	case len(silent) > 0:
		msg.Kind, msg.Parts = KindMassSilence, silent
	case len(company) > digestAbove, (half != 0 || c.rest || now.Mono < c.storm) && len(company) > 1:
		msg.Kind, msg.Parts = KindDigest, company
	}
	msg.Parts = msg.Parts[:min(len(msg.Parts), digestMost)]
	if len(msg.Parts) > 1 {
		c.digests++
		msg.number = c.digests
		if len(company) > digestAbove {
			c.storm = now.Mono + stormLasts*c.wait
		}
	}
	c.rest = len(msg.Parts) > 1 && len(company) > max(digestAbove, len(msg.Parts))
	msg.fill()
	return msg
}

// fill puts the message together; the courier's mu is held.
func (msg *Message) fill() {
	var ids []string
	for i := range msg.Parts {
		p := &msg.Parts[i]
		p.notices = slices.Clone(p.notices) // those of the thread move on
		if !p.Reminder {
			p.t.flying = len(p.notices)
		}
		p.show()
		for _, n := range p.notices {
			if !p.Reminder {
				n.Attempts++
			}
			msg.Ticket = max(msg.Ticket, n.ticket)
			ids = append(ids, n.Event.ID)
			if p.Reminder {
				ids = append(ids, fmt.Sprint("reminder ", n.Reminders+1))
			}
		}
	}
	if p := msg.Parts[0]; len(msg.Parts) == 1 {
		switch {
		case p.Reminder:
			msg.Kind = KindReminder
		case p.Flapping > 0:
			msg.Kind = KindFlapping
		}
	}
	msg.ID = messageID(ids)
	if msg.Attempt = msg.Parts[0].notices[0].Attempts; msg.Parts[0].Reminder {
		msg.Attempt = msg.Parts[0].t.failures + 1
	}
}

// messageID names what tells of these events.
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

// silent reports whether a part says that a service is silent.
func (p Part) silent() bool {
	return !p.Reminder && p.notices[len(p.notices)-1].Event.Silent
}

// fellTogether returns those that fell silent within a minute of many others. Where
// the receiver could not be reached for long, others wait that fell before, or since.
func fellTogether(company []Part) []Part {
	var silent []Part
	var many []time.Time
	for _, p := range company {
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

// show sets what a part shows of itself.
func (p *Part) show() {
	last := p.notices[len(p.notices)-1].Event
	if p.Reminder {
		if p.t.current != nil {
			last = p.t.current
		}
		p.Events = []*Event{last}
		return
	}
	if last.Kind != Removed { // what is gone flaps no more
		p.Flapping = p.flapping
	}
	for _, n := range p.notices {
		p.Events = append(p.Events, n.Event)
	}
}

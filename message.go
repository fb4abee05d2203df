package laneswap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// message is what a notifier is given in one call.
type message struct {
	kind   NoticeKind
	parts  []part
	number int // of the digest
	ticket uint64
	test   *testCall
	note   Notification
}

// part is what a message tells of one service.
type part struct {
	t        *thread
	notices  []*notice
	reminder bool
	flapping int // transitions in 30 minutes, when they are too many
}

// testCall is somebody who waits for a test message.
type testCall struct {
	done  chan NotifierTest // holds one
	until int64             // mono: so long; the courier's mu guards it
	said  string            // what the notifier said to it so far
}

// compose makes the next message of what is ready and may be told together; mu is
// held.
func (c *courier) compose(company []part, now instant) *message {
	// Who has failed least goes first: what nobody can digest holds up nobody.
	first := company[0]
	for _, p := range company {
		if p.t.failures < first.t.failures {
			first = p
		}
	}
	half := first.t.half
	company = slices.DeleteFunc(company, func(p part) bool { return p.t.half != half })
	silent := fellTogether(company)
	msg := &message{kind: NoticeEvent, parts: []part{first}}
	switch {
	case c.single:
	case c.spoiled >= spoiledMost && c.spoiled%2 == 1 && !c.probed:
		c.spoiled++ // perhaps it is the digest that cannot be taken
		if slices.ContainsFunc(silent, func(p part) bool { return p.t == msg.parts[0].t }) {
			msg.kind = NoticeMassSilence
		}
	case len(silent) > 0:
		msg.kind, msg.parts = NoticeMassSilence, silent
	case len(company) > digestAbove, (half != 0 || c.rest || now.mono < c.storm) && len(company) > 1:
		msg.kind, msg.parts = NoticeDigest, company
	}
	msg.parts = msg.parts[:min(len(msg.parts), digestMost)]
	if len(msg.parts) > 1 {
		c.digests++
		msg.number = c.digests
		if len(company) > digestAbove {
			c.storm = now.mono + stormLasts*c.wait
		}
	}
	c.rest = len(msg.parts) > 1 && len(company) > max(digestAbove, len(msg.parts))
	msg.fill(now)
	return msg
}

// fill puts the message together; the courier's mu is held.
func (msg *message) fill(now instant) {
	var ids []string
	items := make([]Item, len(msg.parts))
	for i := range msg.parts {
		p := &msg.parts[i]
		p.notices = slices.Clone(p.notices) // those of the thread move on
		if !p.reminder {
			p.t.flying = len(p.notices)
		}
		items[i] = p.item(now)
		for _, n := range p.notices {
			if !p.reminder {
				n.attempts++
			}
			msg.ticket = max(msg.ticket, n.ticket)
			ids = append(ids, n.ev.ID)
			if p.reminder {
				ids = append(ids, fmt.Sprint("reminder ", n.reminders+1))
			}
		}
	}
	if p := msg.parts[0]; len(msg.parts) == 1 {
		switch {
		case p.reminder:
			msg.kind = NoticeReminder
		case items[0].Flapping > 0:
			msg.kind = NoticeFlapping
		}
	}
	msg.note = compose(msg.kind, items)
	msg.note.ID = messageID(ids)
	if msg.note.Attempt = msg.parts[0].notices[0].attempts; msg.parts[0].reminder {
		msg.note.Attempt = msg.parts[0].t.failures + 1
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
func (p part) silent() bool {
	return !p.reminder && p.notices[len(p.notices)-1].ev.To == StatusStale
}

// fellTogether returns those that fell silent within a minute of many others. Where
// the receiver could not be reached for long, others wait that fell before, or since.
func fellTogether(company []part) []part {
	var silent []part
	var many []time.Time
	for _, p := range company {
		if p.silent() {
			silent = append(silent, p)
			if last := p.notices[len(p.notices)-1]; last.mass {
				many = append(many, last.ev.At)
			}
		}
	}
	if len(many) == 0 {
		return nil
	}
	slices.SortFunc(many, time.Time.Compare)
	first, last := many[0], many[0]
	for _, at := range many {
		if at.Sub(last) <= time.Duration(massWithin) {
			last = at
		}
	}
	return slices.DeleteFunc(silent, func(p part) bool {
		at := p.notices[len(p.notices)-1].ev.At
		return first.Sub(at) > time.Duration(massWithin) || at.Sub(last) > time.Duration(massWithin)
	})
}

// item is what a part tells.
func (p part) item(now instant) Item {
	last := len(p.notices) - 1
	it := Item{Event: *p.notices[last].ev}
	if p.reminder {
		if p.t.current != nil {
			it.Event = *p.t.current
		}
		it.Reminder = max(time.Duration(now.wall-it.Event.StartedAt.UnixNano()), time.Millisecond)
		return it
	}
	if it.Event.Kind != EventRemoved { // what is gone flaps no more
		it.Flapping = p.flapping
	}
	for _, n := range p.notices[:last] {
		it.Earlier = append(it.Earlier, *n.ev)
	}
	return it
}

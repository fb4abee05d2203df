package laneswap

import (
	"sync"
	"time"
)

// NoticeKind says what a notification tells.
type NoticeKind string

// The kinds of notifications.
const (
	// NoticeEvent tells what happened to one service.
	NoticeEvent NoticeKind = "event"
	// NoticeDigest tells of several services at once.
	NoticeDigest NoticeKind = "digest"
	// NoticeMassSilence tells that many services fell silent within a minute: it may
	// be LaneSwap or its network. Finding says what LaneSwap found out about itself.
	NoticeMassSilence NoticeKind = "mass_silence"
	// NoticeFlapping tells that a service changes so often that not every change is
	// told by itself.
	NoticeFlapping NoticeKind = "flapping"
	// NoticeReminder tells that a service is still bad.
	NoticeReminder NoticeKind = "reminder"
	// NoticeTest tells nothing: somebody wants to see whether messages arrive.
	NoticeTest NoticeKind = "test"
)

// Notification is what a notifier is given: one message. It holds text from
// services, cleaned of control characters; what else a receiver gives a meaning,
// such as markdown or mentions, is for the notifier to escape, and to cut to what
// the receiver takes.
type Notification struct {
	// ID names the message: the same each time it is tried with the same content,
	// also after a restart. A receiver can tell by it, or by the ids of the events
	// and of their incidents, what it has seen already.
	ID   string
	Kind NoticeKind
	// Event is that of the first item.
	Event Event
	// Items are what it tells, one per service, in the order in which they came to
	// be told: one item, except of digests and of mass silence. Never empty.
	Items []Item
	// Title is one short line: "billing is down", "14 services fell silent".
	Title string
	// Text is the whole notice as plain text, for receivers that have no better use
	// of the rest. Digests have a line per service, of which at most 50 are in Text.
	Text string
	// Finding is what LaneSwap found out about itself, for mass silence.
	Finding string
	// Attempt counts how often this was tried, this time included.
	Attempt int

	receipt *receipt
}

// Item is what a notification tells of one service.
type Item struct {
	// Event is the latest.
	Event Event
	// Earlier are the events before it which were not told before, oldest first:
	// that the service went down, say, when it is back already.
	Earlier []Event
	// Flapping says how many transitions there were in the last 30 minutes when
	// they are too many; else 0. No more than 10 are counted: 10 are 10 or more.
	Flapping int
	// Reminder says for how long the service has been bad, when that is all that
	// there is to tell; else 0.
	Reminder time.Duration
	// Text is the item in one line of plain text.
	Text string
}

// Receipt says what the receiver calls the message, such as the id of a Discord
// message. It is kept with the notice and shown by Explain. Calls after Notify has
// returned are ignored; the zero Notification ignores all.
func (n Notification) Receipt(messageID string) {
	if n.receipt != nil {
		n.receipt.give(messageID)
	}
}

// receipt takes the id of a message once.
type receipt struct {
	mu    sync.Mutex // guards what follows
	id    string
	taken bool
}

func (r *receipt) give(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.taken {
		r.id = cutBytes(Sanitize(id), maxIDLength)
	}
}

func (r *receipt) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = true
	return r.id
}

// notable reports whether people are to be told of ev.
func notable(ev *Event) bool {
	return ev.Kind != EventUp && ev.Kind != EventUnknown
}

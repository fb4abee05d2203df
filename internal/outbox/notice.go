package outbox

import (
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// State is the state of a notice.
type State string

// The states of a notice.
const (
	Held    State = "held"
	Waiting State = "waiting"
	Sent    State = "sent"
	Skipped State = "skipped"
	Dead    State = "dead"
)

// Step is one decision about a notice.
type Step struct {
	At   time.Time
	Text string
}

// Notice is one event on its way to one notifier. The mutex of its queue guards it.
type Notice struct {
	Event     *Event
	State     State
	MessageID string // the receiver's id of the message
	Attempts  int
	Steps     []Step
	Since     int64 // mono: when it became pending
	SentAt    int64 // wall ms
	Delay     *Delay
	FlapDue   int64 // wall ms: when it is sent while its service flaps; 0 for at once
	Changes   int   // transitions within FlapWindow, while FlapDue is set
	Mass      bool  // many services fell silent together with this one
	Reminders int   // how many were sent
	Flaps     bool  // it reported that the service flaps
	Standing  bool  // it is the last delivered notice of an incident that is still open

	noted bool   // the storage knows it, or will; it is not sent before that
	lsn   uint64 // until that number the journal has to be durable before it is sent
}

// maxSteps is how many steps are kept: the first half and the latest half.
const maxSteps = 16

// AddStep records a decision.
func (n *Notice) AddStep(now clock.Instant, text string) {
	s := Step{At: now.Time(), Text: text}
	if len(n.Steps) < maxSteps {
		n.Steps = append(n.Steps, s)
		return
	}
	copy(n.Steps[maxSteps/2:], n.Steps[maxSteps/2+1:])
	n.Steps[maxSteps-1] = s
}

// End sets the final state and records why.
func (n *Notice) End(now clock.Instant, state State, text string) {
	n.State = state
	n.AddStep(now, text)
}

// Over reports whether the notice will not change any more.
func (n *Notice) Over() bool {
	return n.State == Skipped || n.State == Dead || n.State == Sent && !n.Standing
}

// MarkNoted says that a restored notice is in the storage already.
func (n *Notice) MarkNoted() { n.noted = true }

// deferUntilNext keeps a recovery back until the next notice of its service is sent.
func (n *Notice) deferUntilNext(now clock.Instant, why string) {
	n.State, n.Delay = Held, &Delay{Recovery: true, Deferred: true, Until: never}
	n.AddStep(now, why+"; sent with the next notice")
}

// delay has n wait for a threshold.
func (n *Notice) delay(now clock.Instant, d *Delay, beats uint64) {
	n.State, n.Delay = Held, d
	n.AddStep(now, d.progress(now, beats))
}

// memory is about how many bytes the notice takes.
func (n *Notice) memory() int { return noticeOverhead + n.Event.Size }

func (n *Notice) clone() Notice {
	out := *n
	out.Steps = slices.Clone(n.Steps)
	return out
}

func cloneAll(notices []*Notice) []Notice {
	out := make([]Notice, len(notices))
	for i, n := range notices {
		out[i] = n.clone()
	}
	return out
}

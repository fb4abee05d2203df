package outbox

import (
	"slices"

	"github.com/laneswap/laneswap/internal/clock"
)

// notice is what is owed to one notifier of one event, and what was decided about
// it. It is guarded by its courier.
type Notice struct {
	Event     *Event
	State     State
	MessageID string // what the receiver calls the message that told it
	Attempts  int
	Steps     []Step
	Since     int64 // mono: from when on it is owed, held or not
	SentAt    int64 // wall ms
	Hold      *Hold // what it waits for, as it was when it was owed
	FlapDue   int64 // wall ms: when it is told while its service flaps; 0 for at once
	Changes   int   // transitions in 30 minutes, when it waits for that
	Mass      bool  // many services fell silent with it
	Reminders int
	Flaps     bool // it said that the service flaps
	Standing  bool // the latest that was delivered of an incident that is open

	noted  bool // the storage is to know of it; before that it is not sent
	ticket uint64
}

// maxSteps is how many steps of a trace are kept: half of them the first ones.
const maxSteps = 16

// step adds to what was decided.
func (n *Notice) Step(now clock.Instant, text string) {
	s := Step{At: now.Time(), Text: text}
	if len(n.Steps) < maxSteps {
		n.Steps = append(n.Steps, s)
		return
	}
	copy(n.Steps[maxSteps/2:], n.Steps[maxSteps/2+1:])
	n.Steps[maxSteps-1] = s
}

// end says what became of it.
func (n *Notice) End(now clock.Instant, state State, text string) {
	n.State = state
	n.Step(now, text)
}

// over reports whether nothing more comes of it.
func (n *Notice) Over() bool {
	return n.State == Skipped || n.State == Dead || n.State == Sent && !n.Standing
}

// copy is a notice as it is now.
func (n *Notice) copy() Notice {
	out := *n
	out.Steps = slices.Clone(n.Steps)
	return out
}

func copies(notices []*Notice) []Notice {
	out := make([]Notice, len(notices))
	for i, n := range notices {
		out[i] = n.copy()
	}
	return out
}

// Noted says that the storage has a notice that is taken up.
func (n *Notice) Noted() { n.noted = true }

// weight is what it costs in memory, about.
func (n *Notice) weight() int { return noticeFrame + n.Event.Size }

// Package outbox decides what a notifier is told, together with what, and when.
// It has no clock, no goroutine and no output: its worker drives it.
package outbox

import (
	"fmt"
	"math"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// Kind is what an event means for who is told of it.
type Kind string

// The kinds that matter here; all others are told and change nothing.
const (
	Down        Kind = "down"
	Worse       Kind = "worse"
	Better      Kind = "better"
	Recovered   Kind = "recovered"
	Removed     Kind = "removed"
	StorageAway Kind = "storage_away"
	StorageBack Kind = "storage_back"
)

// Event is what is to be known of an event here.
type Event struct {
	ID, Service, Incident string
	Kind                  Kind
	To                    string
	Silent                bool // To is that of a silent service
	Sequence              uint64
	At, StartedAt         time.Time
	Size                  int // bytes of its text
	Of                    any // the event itself, which is carried along
}

func (e *Event) bad() bool  { return e.Kind == Down || e.Kind == Worse || e.Kind == Better }
func (e *Event) ends() bool { return e.Kind == Recovered || e.Kind == Removed }

// State is how far a notice is.
type State string

// The states.
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

// MessageKind is what a message tells.
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

// Threshold is what a Hold waits for.
type Threshold struct {
	Beats int
	For   time.Duration
}

// Verdict is what came of sending a message.
type Verdict uint8

// The verdicts.
const (
	Delivered Verdict = iota
	Failed            // try again
	Later             // asked to be left alone
	Refused           // this message never
	Permanent         // no message any more
	Stopped           // cut off by Stop
)

// Result is what came of sending a message.
type Result struct {
	Verdict   Verdict
	MessageID string
	After     time.Duration // of Later
	Text      string        // why not, in one line
}

// Config is what a Courier is made with.
type Config struct {
	Wants     func(*Event) (ok bool, not string)
	Keep      func([]Notice) // called while its lock is held
	GroupWait time.Duration
	Remind    time.Duration
	Single    bool
	FlapLimit int
	Durable   bool
}

// The states of a notifier.
const (
	OK       = "ok"
	Retrying = "retrying"
	Stuck    = "stuck"
	Disabled = "disabled"
)

// Status is how a notifier stands.
type Status struct {
	State                                  string
	Waiting                                int
	Oldest, LastSent, LastErrorAt, RetryAt time.Time
	Sent, Dead                             uint64
	LastError                              string
}

// NewTest makes a test that waits until the instant mono.
func NewTest(until int64) *Test { return &Test{Done: make(chan Result, 1), until: until} }

const (
	// OwedFor is how long a notice is tried.
	OwedFor = 24 * time.Hour
	// NotifyTimeout bounds one call of a notifier.
	NotifyTimeout = 30 * time.Second
	// MassWithin is how close to each other services fall silent in a mass silence.
	MassWithin = int64(time.Minute)

	never = math.MaxInt64
)

func timeOf(i clock.Instant) time.Time {
	if i.Wall/int64(time.Millisecond) == 0 {
		return time.Time{}
	}
	return i.Time()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

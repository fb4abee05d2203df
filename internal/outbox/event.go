package outbox

import "time"

// Kind says what an event means for a notifier.
type Kind string

// The kinds that make a difference here. Events of any other kind are sent and
// change nothing.
const (
	Down            Kind = "down"
	Worse           Kind = "worse"
	Better          Kind = "better"
	Recovered       Kind = "recovered"
	Removed         Kind = "removed"
	StorageDegraded Kind = "storage_away"
	StorageRestored Kind = "storage_back"
)

// Event is what a queue needs to know about an event.
type Event struct {
	ID, Service, Incident string
	Kind                  Kind
	To                    string // the new status
	Silent                bool   // To is the status of a silent service
	Sequence              uint64
	At, StartedAt         time.Time
	Size                  int // bytes of its text
	Of                    any // the caller's own event, which is passed through
}

func (e *Event) bad() bool  { return e.Kind == Down || e.Kind == Worse || e.Kind == Better }
func (e *Event) ends() bool { return e.Kind == Recovered || e.Kind == Removed }

// EventContext is what a queue needs to know about a service when an event happens.
type EventContext struct {
	Changes   int    // transitions within FlapWindow
	Delay     *Delay // what a notice of the event has to wait for; nil for nothing
	Reached   bool   // an older notice of the service has waited long enough
	Mass      bool   // many services have fallen silent within a minute
	Beats     uint64 // heartbeats since the service became good or bad
	PastBeats uint64 // heartbeats of the period that the event ended
}

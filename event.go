package laneswap

import (
	"time"

	"github.com/laneswap/laneswap/internal/text"
)

// EventKind is the meaning of an event.
type EventKind string

// The kinds of events.
const (
	// EventUp is a change to a good status without an incident before it, such as the
	// first heartbeat.
	EventUp EventKind = "up"
	// EventDown opens an incident.
	EventDown EventKind = "down"
	// EventWorse and EventBetter are changes within an incident.
	EventWorse  EventKind = "worse"
	EventBetter EventKind = "better"
	// EventRecovered ends an incident: the service is good again.
	EventRecovered EventKind = "recovered"
	// EventUnknown means that the service itself reported unknown.
	EventUnknown EventKind = "unknown"
	// EventUnheard means that the status is unknown because a deadline passed while
	// LaneSwap could not receive heartbeats.
	EventUnheard EventKind = "unheard"
	// EventRemoved ends the incident of a service that was removed or forgotten
	// while it was bad.
	EventRemoved EventKind = "removed"

	// The events of LaneSwap itself belong to no service. Their Service, From and To
	// are empty, and Message describes what happened.

	// EventStorageAway means that the storage does not accept writes. LaneSwap goes on
	// watching and keeps the backlog in memory.
	EventStorageAway EventKind = "storage_away"
	// EventStorageBack means that the storage accepts writes again and the backlog has
	// been written. Duration is the time in between.
	EventStorageBack EventKind = "storage_back"
	// EventStorageLost means that rows could not be stored and were dropped.
	EventStorageLost EventKind = "storage_lost"
	// EventStorageDamaged means that the storage was damaged when it was opened.
	EventStorageDamaged EventKind = "storage_damaged"
)

// Event is the record of one transition, or of something that happened to LaneSwap
// itself. Each transition makes exactly one event. A change from good to good is not a
// transition.
type Event struct {
	// ID is deterministic: service, incident and transition, joined by slashes.
	ID string
	// Sequence numbers the events of a Manager in ascending order. With a storage the
	// numbers continue after a restart. They have no gaps, except after a crash.
	Sequence uint64
	Kind     EventKind
	Service  ServiceID
	Name     string
	Tags     []string // of the service at that time; read-only
	From, To Status
	// Message is the message of the heartbeat that caused the transition. For stale it
	// is the message of the last heartbeat.
	Message string
	// At is when the event happened: the deadline for stale, otherwise when the
	// heartbeat arrived.
	At time.Time
	// Incident is the id of the incident that the event belongs to, or "".
	Incident string
	// StartedAt is when that incident began.
	StartedAt time.Time
	// SilentSince is when the last heartbeat arrived, if silence caused the event or
	// its incident, and zero otherwise.
	SilentSince time.Time
	// Cause describes for display what opened the incident. For EventUnheard it
	// describes why LaneSwap could not receive heartbeats.
	Cause string
	// Duration is the length of the incident that the event ended. For
	// EventStorageBack it is how long the storage accepted no writes. For other events
	// it is zero.
	Duration time.Duration
}

// Incident is the time from the first bad status to the return to a good one.
type Incident struct {
	// ID is deterministic: the service and a number.
	ID string
	// StartedAt is when the first bad status began. If silence is the cause, that is
	// the deadline.
	StartedAt time.Time
	// SilentSince is when the last heartbeat arrived, if silence is the cause, and zero
	// otherwise.
	SilentSince time.Time
	// Cause describes for display what opened the incident.
	Cause string
}

// EventQuery selects events. The zero value selects every event that is kept.
type EventQuery struct {
	// After selects events with a greater sequence number. Events returns ErrGone when
	// one of those is no longer kept. Zero starts with the oldest event kept.
	After uint64
	// Service selects the events of one service. "" selects the events of all.
	Service ServiceID
	// Limit is the maximum number of events. Zero means all.
	Limit int
}

// Level is the severity of an event.
type Level string

// The levels, least severe first.
const (
	LevelInfo    Level = "info"    // Unknown, unheard, removed.
	LevelSuccess Level = "success" // Recovered, up, and a storage that accepts writes again.
	LevelWarning Level = "warning" // Warning and degraded.
	LevelError   Level = "error"   // Error, critical and stale, shutdown of a service that must run, storage failures.
)

var levelOrder = [...]Level{LevelInfo, LevelSuccess, LevelWarning, LevelError}

// ParseLevel returns the level named s. The error is a *ValidationError for the field
// "level".
func ParseLevel(s string) (Level, error) {
	if l := Level(s); l.rank() >= 0 {
		return l, nil
	}
	return "", invalid(ErrInvalidOption, "level", "%q is not one of info, success, warning, error", text.Cut(s, 40))
}

// rank returns the position of l in levelOrder, or -1 when l is not a level.
func (l Level) rank() int {
	for i, other := range levelOrder {
		if l == other {
			return i
		}
	}
	return -1
}

// Level returns the severity of the event.
func (e Event) Level() Level {
	switch e.Kind {
	case EventStorageAway, EventStorageLost, EventStorageDamaged:
		return LevelError
	case EventStorageBack, EventRecovered, EventUp:
		return LevelSuccess
	case EventRemoved, EventUnheard, EventUnknown:
		return LevelInfo
	}
	switch e.To {
	case StatusWarning, StatusDegraded:
		return LevelWarning
	case StatusShutdown:
		if e.Kind == EventDown || e.Kind == EventWorse || e.Kind == EventBetter { // the service must run
			return LevelError
		}
	}
	switch {
	case e.To.Bad():
		return LevelError
	case e.To.Good():
		return LevelSuccess
	}
	return LevelInfo
}

// bad reports whether ev says that a service is bad.
func (e *Event) bad() bool {
	return e.Kind == EventDown || e.Kind == EventWorse || e.Kind == EventBetter
}

// ends reports whether ev ends an incident.
func (e *Event) ends() bool { return e.Kind == EventRecovered || e.Kind == EventRemoved }

// notable reports whether ev makes a notice.
func notable(ev *Event) bool {
	return ev.Kind != EventUp && ev.Kind != EventUnknown
}

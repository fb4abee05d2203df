package laneswap

import "time"

// EventKind says what a transition means.
type EventKind string

// The kinds of events.
const (
	// EventUp is a first good status: nothing was wrong before it.
	EventUp EventKind = "up"
	// EventDown opens an incident.
	EventDown EventKind = "down"
	// EventWorse and EventBetter are changes within an incident.
	EventWorse  EventKind = "worse"
	EventBetter EventKind = "better"
	// EventRecovered ends an incident: the service is good again.
	EventRecovered EventKind = "recovered"
	// EventUnknown says that the service itself reports unknown.
	EventUnknown EventKind = "unknown"
	// EventUnheard says that the status is unknown because a heartbeat was
	// expected while LaneSwap could not hear.
	EventUnheard EventKind = "unheard"
	// EventRemoved ends the incident of a service that was removed or forgotten
	// while it was bad.
	EventRemoved EventKind = "removed"

	// The events of LaneSwap itself belong to no service: their Service, From and
	// To are empty, and Message says what happened.

	// EventStorageAway says that the storage does not take what it is given;
	// watching goes on.
	EventStorageAway EventKind = "storage_away"
	// EventStorageBack says that it does again, and has taken all that waited.
	// Duration is how long it was away.
	EventStorageBack EventKind = "storage_back"
	// EventStorageLost says that something could not be kept.
	EventStorageLost EventKind = "storage_lost"
	// EventStorageDamaged says that the storage was found damaged.
	EventStorageDamaged EventKind = "storage_damaged"
)

// Event is the record of a transition. Good to good makes none; every other
// transition makes exactly one.
type Event struct {
	// ID is deterministic: service, incident and transition, joined by slashes.
	ID string
	// Sequence grows from event to event of a Manager, also across restarts when
	// it has a storage: by one, and further after a crash.
	Sequence uint64
	Kind     EventKind
	Service  ServiceID
	Name     string
	Tags     []string // of the service when it happened; not to be changed
	From, To Status
	// Message is that of the heartbeat that made the transition; for stale the
	// last one heard.
	Message string
	// At is when it happened: the deadline for stale, else when it was heard.
	At time.Time
	// Incident is the id of the incident that the event belongs to, or "".
	Incident string
	// StartedAt is when that incident began.
	StartedAt time.Time
	// SilentSince is the last heartbeat, when silence made the event or began its
	// incident; else zero.
	SilentSince time.Time
	// Cause says, for people, what opened the incident; for EventUnheard, why
	// nothing was heard.
	Cause string
	// Duration is how long the incident lasted, once it ended, or how long the
	// storage was away; else zero.
	Duration time.Duration
}

// Incident is the time from a first bad transition to the return to good.
type Incident struct {
	// ID is deterministic: the service and a number.
	ID string
	// StartedAt is the deadline when the cause is silence.
	StartedAt time.Time
	// SilentSince is the last heartbeat when the cause is silence; else zero.
	SilentSince time.Time
	// Cause says, for people, what opened the incident.
	Cause string
}

// EventQuery selects events. The zero value selects all that are kept.
type EventQuery struct {
	// After selects events with a greater sequence number. ErrGone is returned
	// when an event behind it is no longer kept; zero starts with the oldest kept.
	After uint64
	// Service selects the events of one service.
	Service ServiceID
	// Limit is the greatest number of events; zero means all.
	Limit int
}

// Level is how loud an event is.
type Level string

// The levels, quietest first.
const (
	LevelInfo    Level = "info"    // Unknown, could not be heard, removed.
	LevelSuccess Level = "success" // Recovered, or a first good heartbeat.
	LevelWarning Level = "warning" // Warning and degraded.
	LevelError   Level = "error"   // Error, critical and stale, and trouble of LaneSwap's own.
)

var levelOrder = [...]Level{LevelInfo, LevelSuccess, LevelWarning, LevelError}

// ParseLevel returns the level of that name. The error is a *ValidationError for
// the field "level".
func ParseLevel(s string) (Level, error) {
	if l := Level(s); l.rank() >= 0 {
		return l, nil
	}
	return "", invalid(ErrInvalidOption, "level", "%q is not one of info, success, warning, error", cutBytes(s, 40))
}

// rank is the place in the order, -1 when not a level.
func (l Level) rank() int {
	for i, other := range levelOrder {
		if l == other {
			return i
		}
	}
	return -1
}

// Level returns how loud the event is.
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
		if e.Kind == EventDown || e.Kind == EventWorse || e.Kind == EventBetter { // of a service that must run
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

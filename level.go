package laneswap

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

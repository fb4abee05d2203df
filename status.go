package laneswap

import "strings"

// Status is how a service is. The effective status of a service is what its
// latest heartbeat reported, or StatusStale when it was silent for too long, or
// StatusUnknown before its first heartbeat and where LaneSwap's own absence
// leaves no honest answer. In a Heartbeat the zero value means StatusHealthy.
type Status string

// The statuses, most urgent first: the order for sorting and colouring.
const (
	StatusCritical Status = "critical" // Bad.
	StatusError    Status = "error"    // Bad.
	StatusStale    Status = "stale"    // Bad; derived from silence, never reported.
	StatusDegraded Status = "degraded" // Bad.
	StatusWarning  Status = "warning"  // Bad.
	StatusUnknown  Status = "unknown"  // Neither good nor bad.
	StatusBusy     Status = "busy"     // Good.
	StatusIdle     Status = "idle"     // Good.
	StatusHealthy  Status = "healthy"  // Good; what an empty heartbeat means.
	StatusShutdown Status = "shutdown" // Good; a goodbye: silence is expected from now on.
)

var statusOrder = [...]Status{
	StatusCritical, StatusError, StatusStale, StatusDegraded, StatusWarning,
	StatusUnknown, StatusBusy, StatusIdle, StatusHealthy, StatusShutdown,
}

// Statuses returns all statuses, most urgent first. The slice is the caller's.
func Statuses() []Status {
	return append([]Status(nil), statusOrder[:]...)
}

// ParseStatus returns the status of that name, in any case of letters. The
// error is a *ValidationError for the field "status".
func ParseStatus(s string) (Status, error) {
	st := Status(strings.ToLower(s))
	if st.rank() < 0 {
		return "", invalid(ErrInvalidHeartbeat, "status", "%q is not one of critical, error, stale, degraded, warning, unknown, busy, idle, healthy, shutdown", cutBytes(s, 40))
	}
	return st, nil
}

// Valid reports whether s is one of the statuses.
func (s Status) Valid() bool { return s.rank() >= 0 }

// Good reports whether s is healthy, busy, idle or shutdown.
func (s Status) Good() bool {
	switch s {
	case StatusHealthy, StatusBusy, StatusIdle, StatusShutdown:
		return true
	}
	return false
}

// Bad reports whether s is warning, degraded, error, critical or stale.
func (s Status) Bad() bool {
	switch s {
	case StatusWarning, StatusDegraded, StatusError, StatusCritical, StatusStale:
		return true
	}
	return false
}

// Compare orders statuses, the more urgent first: it is negative when s is more
// urgent than t, positive when less, and fits slices.SortFunc.
func (s Status) Compare(t Status) int { return s.rank() - t.rank() }

// rank is the place in the order, 0 for the most urgent, -1 when not a status.
func (s Status) rank() int {
	for i, st := range statusOrder {
		if s == st {
			return i
		}
	}
	return -1
}

package laneswap

import (
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// Status is the state of a service. The effective status is the one that the latest
// heartbeat reported, or StatusStale when the service was silent for longer than its
// window. It is StatusUnknown before the first heartbeat, and when the deadline passed
// during an absence of LaneSwap itself. In a Heartbeat the zero value means
// StatusHealthy.
type Status string

// The statuses, most urgent first. Compare sorts by this order.
const (
	StatusCritical Status = "critical" // Bad.
	StatusError    Status = "error"    // Bad.
	StatusStale    Status = "stale"    // Bad; LaneSwap derives it from silence, a heartbeat cannot report it.
	StatusDegraded Status = "degraded" // Bad.
	StatusWarning  Status = "warning"  // Bad.
	StatusUnknown  Status = "unknown"  // Neither good nor bad.
	StatusBusy     Status = "busy"     // Good.
	StatusIdle     Status = "idle"     // Good.
	StatusHealthy  Status = "healthy"  // Good; an empty heartbeat reports it.
	StatusShutdown Status = "shutdown" // Good, unless the service must run; no heartbeat follows.
)

var statusOrder = [...]Status{
	StatusCritical, StatusError, StatusStale, StatusDegraded, StatusWarning,
	StatusUnknown, StatusBusy, StatusIdle, StatusHealthy, StatusShutdown,
}

// Statuses returns all statuses, most urgent first. The caller may change the slice.
func Statuses() []Status {
	return append([]Status(nil), statusOrder[:]...)
}

// ParseStatus returns the status named s and ignores the case of letters. The error
// is a *ValidationError for the field "status".
func ParseStatus(s string) (Status, error) {
	st := Status(strings.ToLower(s))
	if st.rank() < 0 {
		return "", invalid(ErrInvalidHeartbeat, "status", "%q is not one of critical, error, stale, degraded, warning, unknown, busy, idle, healthy, shutdown", text.Cut(s, 40))
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

// Compare returns a negative number when s is more urgent than t, a positive number
// when it is less urgent, and 0 when both are equal. It fits slices.SortFunc.
func (s Status) Compare(t Status) int { return s.rank() - t.rank() }

// rank returns the position of s in statusOrder, or -1 when s is not a status.
func (s Status) rank() int {
	for i, st := range statusOrder {
		if s == st {
			return i
		}
	}
	return -1
}

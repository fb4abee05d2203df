package laneswap

import (
	"errors"
	"fmt"
	"strings"
)

// ErrLaneSwap is matched, through errors.Is, by every error that the Manager and
// the client make, so that a program can tell a LaneSwap failure from its own.
// The errors of ended contexts and of encoding/json stay what they are.
var ErrLaneSwap = errors.New("laneswap error")

// The sentinels. Each also matches ErrLaneSwap. They survive the trip over the
// network: the client returns the same ones as the Manager.
var (
	// ErrServiceNotFound is returned when no service is registered under the id.
	ErrServiceNotFound error = &sentinel{"service-not-found", "service not found"}

	// ErrInvalidServiceID is returned when an id is not 1 to 128 of letters,
	// digits and ". _ - : @" beginning with a letter or digit.
	ErrInvalidServiceID error = &sentinel{"invalid-service-id", "invalid service id"}

	// ErrInvalidRegistration is returned when a registration breaks a limit.
	ErrInvalidRegistration error = &sentinel{"invalid-registration", "invalid registration"}

	// ErrInvalidHeartbeat is returned when a heartbeat breaks a limit, reports a
	// status that cannot be reported, or was refused by an interceptor.
	ErrInvalidHeartbeat error = &sentinel{"invalid-heartbeat", "invalid heartbeat"}

	// ErrInvalidQuery is returned when a query holds a value out of its range.
	ErrInvalidQuery error = &sentinel{"invalid-query", "invalid query"}

	// ErrInvalidOption is returned by Start and by every verb when an option
	// given to NewManager was out of its range.
	ErrInvalidOption error = &sentinel{"invalid-option", "invalid option"}

	// ErrTooManyServices is returned when a registration would exceed
	// Limits.Services.
	ErrTooManyServices error = &sentinel{"too-many-services", "too many services"}

	// ErrUnhealthy is matched by the error of Manager.Unhealthy.
	ErrUnhealthy error = &sentinel{"unhealthy", "unhealthy"}

	// ErrStorage is returned when the storage failed.
	ErrStorage error = &sentinel{"storage", "storage failed"}

	// ErrExists is returned by a Storage that is to insert a row whose id exists
	// with another content.
	ErrExists error = &sentinel{"exists", "row exists with other content"}

	// ErrFenced is returned by a Storage that is to change a row which a newer
	// writer has written.
	ErrFenced error = &sentinel{"fenced", "row belongs to a newer writer"}

	// ErrDegraded is returned by Sync, Remove and Stop when the storage has not
	// taken within 5 seconds what it was given. It is kept in memory and offered
	// again until the storage takes it.
	ErrDegraded error = &sentinel{"degraded", "storage has not taken it yet"}

	// ErrLoading is returned when something is asked that only the storage knows,
	// which could not be read yet.
	ErrLoading error = &sentinel{"loading", "storage not loaded yet"}

	// ErrInvalidErrorReport is returned when a reported error breaks a limit.
	ErrInvalidErrorReport error = &sentinel{"invalid-error-report", "invalid error report"}

	// ErrNotifier is matched by what is logged when a notifier failed or
	// panicked, and is returned when a notifier cannot be added.
	ErrNotifier error = &sentinel{"notifier", "notifier failed"}

	// ErrNotifierNotFound is returned when no notifier has the name.
	ErrNotifierNotFound error = &sentinel{"notifier-not-found", "notifier not found"}

	// ErrEventNotFound is returned when no event with the id is kept.
	ErrEventNotFound error = &sentinel{"event-not-found", "event not found"}

	// ErrNotStarted is returned by the verbs of a Manager that has a notifier or a
	// storage and was not started: nobody would hear of what it is told, and it
	// does not know what is stored.
	ErrNotStarted error = &sentinel{"not-started", "manager not started"}

	// ErrAlreadyStarted is returned by a second Start.
	ErrAlreadyStarted error = &sentinel{"already-started", "manager already started"}

	// ErrStopped is returned when something is to be changed after Stop.
	ErrStopped error = &sentinel{"stopped", "manager stopped"}

	// ErrSlowConsumer ends a watch whose reader fell further behind than the
	// events that are kept.
	ErrSlowConsumer error = &sentinel{"slow-consumer", "watch fell behind"}

	// ErrGone is returned when events are asked for that are no longer kept.
	ErrGone error = &sentinel{"gone", "events no longer kept"}
)

// sentinels lists every code that travels over the network.
var sentinels = []error{
	ErrServiceNotFound, ErrInvalidServiceID, ErrInvalidRegistration, ErrInvalidHeartbeat,
	ErrInvalidQuery, ErrInvalidOption, ErrTooManyServices, ErrUnhealthy, ErrStorage, ErrExists, ErrFenced, ErrDegraded, ErrLoading,
	ErrInvalidErrorReport, ErrNotifier, ErrNotifierNotFound, ErrEventNotFound,
	ErrNotStarted, ErrAlreadyStarted, ErrStopped, ErrSlowConsumer, ErrGone,
}

// sentinel is a comparable error with a code for the wire.
type sentinel struct{ code, text string }

func (s *sentinel) Error() string { return s.text }

// Is makes every sentinel match ErrLaneSwap besides itself.
func (s *sentinel) Is(target error) bool { return target == ErrLaneSwap }

// ErrorCode returns the short code under which err's sentinel travels over the
// network, for example "service-not-found"; "" when err holds none.
func ErrorCode(err error) string {
	var s *sentinel
	if errors.As(err, &s) {
		return s.code
	}
	return ""
}

// ErrorFromCode returns the sentinel of a code that ErrorCode made, or nil when
// the code is unknown.
func ErrorFromCode(code string) error {
	for _, err := range sentinels {
		if err.(*sentinel).code == code {
			return err
		}
	}
	return nil
}

// ValidationError says which field of an input was refused, and why. It wraps
// the sentinel of the input that it belongs to.
type ValidationError struct {
	// Field is the field as it is called over the network, for example
	// "stale_after" or "metadata.cpu".
	Field string
	// Problem says what is wrong and names the limit, for example "is 5000
	// bytes long, the limit is 4096".
	Problem string
	// Err is the sentinel: ErrInvalidHeartbeat, ErrInvalidRegistration,
	// ErrInvalidServiceID, ErrInvalidErrorReport, ErrInvalidQuery or
	// ErrInvalidOption.
	Err error
}

// Error returns the field, if there is one, and the problem.
func (e *ValidationError) Error() string { return strings.TrimSpace(e.Field + " " + e.Problem) }

// Unwrap returns the sentinel.
func (e *ValidationError) Unwrap() error { return e.Err }

// Is makes every ValidationError match ErrLaneSwap.
func (e *ValidationError) Is(target error) bool { return target == ErrLaneSwap }

// invalid makes a ValidationError.
func invalid(kind error, field, format string, args ...any) *ValidationError {
	return &ValidationError{Field: field, Problem: fmt.Sprintf(format, args...), Err: kind}
}

// failed wraps err once, at the public boundary, with the verb and the id. The
// id is cut: what was refused for its length must not fill a log.
func failed(verb string, id ServiceID, err error) error {
	if err == nil {
		return nil
	}
	if id == "" {
		return fmt.Errorf("laneswap: %s: %w", verb, err)
	}
	return fmt.Errorf("laneswap: %s %q: %w", verb, cutBytes(string(id), maxIDLength), err)
}

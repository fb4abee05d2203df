package laneswap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// ErrLaneSwap matches, through errors.Is, every error that the Manager and the client
// create. A program can thus distinguish them from its own errors. Errors of contexts
// and of encoding/json do not match it.
var ErrLaneSwap = errors.New("laneswap error")

// The sentinels. Each also matches ErrLaneSwap. The client returns the same sentinels
// as the Manager.
var (
	// ErrServiceNotFound is returned when no service with the id is registered.
	ErrServiceNotFound error = &sentinel{"service-not-found", "service not found"}

	// ErrInvalidServiceID is returned when an id breaks the rules of ServiceID.
	ErrInvalidServiceID error = &sentinel{"invalid-service-id", "invalid service id"}

	// ErrInvalidRegistration is returned when a registration breaks a limit.
	ErrInvalidRegistration error = &sentinel{"invalid-registration", "invalid registration"}

	// ErrInvalidHeartbeat is returned when a heartbeat breaks a limit or reports a
	// status that cannot be reported, or when an interceptor refused it.
	ErrInvalidHeartbeat error = &sentinel{"invalid-heartbeat", "invalid heartbeat"}

	// ErrInvalidQuery is returned when a value of a query is out of its range.
	ErrInvalidQuery error = &sentinel{"invalid-query", "invalid query"}

	// ErrInvalidOption is returned by Start and the other methods of a Manager when an
	// option of NewManager is out of its range.
	ErrInvalidOption error = &sentinel{"invalid-option", "invalid option"}

	// ErrTooManyServices is returned when a registration would exceed
	// Limits.Services.
	ErrTooManyServices error = &sentinel{"too-many-services", "too many services"}

	// ErrUnhealthy is matched by the error of Manager.Unhealthy.
	ErrUnhealthy error = &sentinel{"unhealthy", "unhealthy"}

	// ErrStorage is returned when the storage failed to read or write.
	ErrStorage error = &sentinel{"storage", "storage failed"}

	// ErrExists is returned by Storage.Commit when it inserts a row whose kind and id
	// exist with different content.
	ErrExists error = &sentinel{"exists", "row exists with other content"}

	// ErrFenced is returned by Storage.Commit when it changes a row that a writer with
	// a higher epoch has written.
	ErrFenced error = &sentinel{"fenced", "row belongs to a newer writer"}

	// ErrDegraded is returned by Sync, Remove and Stop when the storage has not accepted
	// the change within 5 seconds. The Manager keeps the change in memory and retries
	// until the storage accepts it. Register and ReportError return it when the backlog
	// is full; they have then changed nothing.
	ErrDegraded error = &sentinel{"degraded", "storage has not taken it yet"}

	// ErrLoading is returned when the answer needs the storage and the Manager has not
	// read it yet.
	ErrLoading error = &sentinel{"loading", "storage not loaded yet"}

	// ErrInvalidErrorReport is returned when a reported error breaks a limit.
	ErrInvalidErrorReport error = &sentinel{"invalid-error-report", "invalid error report"}

	// ErrNotifier is returned when a notifier cannot be added, by Send when the notifier
	// failed, and by Stop when notices are undelivered.
	ErrNotifier error = &sentinel{"notifier", "notifier failed"}

	// ErrNotifierNotFound is returned when the Manager has no notifier of that name.
	ErrNotifierNotFound error = &sentinel{"notifier-not-found", "notifier not found"}

	// ErrEventNotFound is returned when no event with the id is kept.
	ErrEventNotFound error = &sentinel{"event-not-found", "event not found"}

	// ErrNotStarted is returned by a Manager with a storage or notifier before Start.
	ErrNotStarted error = &sentinel{"not-started", "manager not started"}

	// ErrAlreadyStarted is returned by a second Start.
	ErrAlreadyStarted error = &sentinel{"already-started", "manager already started"}

	// ErrStopped is returned by methods that change something after Stop.
	ErrStopped error = &sentinel{"stopped", "manager stopped"}

	// ErrSlowConsumer ends a watch when its reader fell behind and the next event is no
	// longer kept.
	ErrSlowConsumer error = &sentinel{"slow-consumer", "watch fell behind"}

	// ErrGone is returned when a query asks for events that are no longer kept.
	ErrGone error = &sentinel{"gone", "events no longer kept"}
)

// sentinels lists every error that ErrorFromCode can return.
var sentinels = []error{
	ErrServiceNotFound, ErrInvalidServiceID, ErrInvalidRegistration, ErrInvalidHeartbeat,
	ErrInvalidQuery, ErrInvalidOption, ErrTooManyServices, ErrUnhealthy, ErrStorage, ErrExists, ErrFenced, ErrDegraded, ErrLoading,
	ErrInvalidErrorReport, ErrNotifier, ErrNotifierNotFound, ErrEventNotFound,
	ErrNotStarted, ErrAlreadyStarted, ErrStopped, ErrSlowConsumer, ErrGone,
}

// sentinel is a comparable error with a code for the HTTP API.
type sentinel struct{ code, text string }

func (s *sentinel) Error() string { return s.text }

// Is makes every sentinel match ErrLaneSwap besides itself.
func (s *sentinel) Is(target error) bool { return target == ErrLaneSwap }

// ErrorCode returns the code of the sentinel in err, for example "service-not-found",
// or "" when err holds none. Answers of the HTTP API carry this code.
func ErrorCode(err error) string {
	var s *sentinel
	if errors.As(err, &s) {
		return s.code
	}
	return ""
}

// ErrorFromCode returns the sentinel with this code, or nil when the code is unknown.
func ErrorFromCode(code string) error {
	for _, err := range sentinels {
		if err.(*sentinel).code == code {
			return err
		}
	}
	return nil
}

// ValidationError names the field of an input that was refused, and the reason. It
// wraps the sentinel of that input.
type ValidationError struct {
	// Field is the JSON name of the field, for example "stale_after" or
	// "metadata.cpu". It may be empty.
	Field string
	// Problem describes the problem and gives the limit, for example "is 5000 bytes
	// long, the limit is 4096".
	Problem string
	// Err is the sentinel: ErrInvalidHeartbeat, ErrInvalidRegistration,
	// ErrInvalidServiceID, ErrInvalidErrorReport, ErrInvalidQuery or ErrInvalidOption.
	// It is nil in errors of ParseThreshold and Seconds.
	Err error
}

// Error returns the field and the problem, or only the problem when Field is empty.
func (e *ValidationError) Error() string { return strings.TrimSpace(e.Field + " " + e.Problem) }

// Unwrap returns the sentinel.
func (e *ValidationError) Unwrap() error { return e.Err }

// Is reports whether target is ErrLaneSwap. Every ValidationError matches it.
func (e *ValidationError) Is(target error) bool { return target == ErrLaneSwap }

// invalid makes a ValidationError.
func invalid(kind error, field, format string, args ...any) *ValidationError {
	return &ValidationError{Field: field, Problem: fmt.Sprintf(format, args...), Err: kind}
}

// failed wraps err with the method and the id. Exported methods call it once. It cuts
// the id, because an id that was refused for its length must not fill a log.
func failed(verb string, id ServiceID, err error) error {
	if err == nil {
		return nil
	}
	if id == "" {
		return fmt.Errorf("laneswap: %s: %w", verb, err)
	}
	return fmt.Errorf("laneswap: %s %q: %w", verb, text.Cut(string(id), maxIDLength), err)
}

package laneswap

import (
	"context"
	"math"
	"time"
)

// ServiceID names a service: 1 to 128 of ASCII letters, digits and ". _ - : @",
// beginning with a letter or digit, without "..". A good one says what runs
// where, for example "billing@web-1".
type ServiceID string

// Never is a duration that does not end. As Registration.ForgetAfter it keeps a
// service for ever.
const Never time.Duration = math.MaxInt64

// Registration is what a service says of itself once. Registering the same id
// again replaces everything but the metadata, which is merged.
type Registration struct {
	// ID is the service's id. When it is empty a UUID is made up, unless Name is
	// that of exactly one service with a made-up id that is stale, shut down or
	// has sent its final heartbeat, which is then taken over: restarts breed no
	// dead services. Every id in the form of a
	// random UUID (version 4, lower case) counts as made up.
	ID ServiceID
	// Name is shown to people: 1 to 128 runes. When empty it is the ID; one of
	// the two is required.
	Name string
	// Interval is how often the service says that it will beat: 10 ms to 366
	// days. Zero: it does not say.
	Interval time.Duration
	// StaleAfter is the silence after which the service is stale; it must be
	// above Interval. Zero: Interval + min(1.5 x Interval, 1 h) when the interval
	// is above half of the Manager's stale threshold, else that threshold.
	StaleAfter time.Duration
	// NoDeadline asks for a service that is never stale, such as an HTTP handler
	// whose traffic may stop. It excludes StaleAfter.
	NoDeadline bool
	// Tags are at most 32, of at most 64 runes each.
	Tags []string
	// Metadata is merged into the service's; a nil value removes its key.
	Metadata map[string]any
	// ForgetAfter is how long the service is kept once it is stale, shut down or
	// has sent its final heartbeat.
	// Zero: 24 hours for made-up ids, Never for chosen ones.
	ForgetAfter time.Duration
	// MustRun makes a goodbye a bad thing: the status shutdown then opens an
	// incident.
	MustRun bool
	// AlertAfter is how long the service must be bad before people are told,
	// RecoverAfter how long good before they are told that it recovered. A service
	// that turns bad and is good again before AlertAfter is not told of. Zero: at
	// once. Statuses, events and history are never delayed.
	AlertAfter, RecoverAfter Threshold
}

// Heartbeat is one sign of life. The zero value says that all is well.
type Heartbeat struct {
	// Status is what the service reports; zero means StatusHealthy. StatusStale
	// is refused: it is derived.
	Status Status `json:"status,omitempty"`
	// Message is for people, at most Limits.MessageBytes long.
	Message string `json:"message,omitempty"`
	// Metadata is merged into the service's; a nil value removes its key. Values
	// are what JSON can hold; numbers become float64.
	Metadata map[string]any `json:"metadata,omitempty"`
	// Final says that no heartbeat is expected after this one, as after a goodbye:
	// the service is not held to its deadline until it beats or registers again.
	// It is for the last words of a job that failed. StatusShutdown is always
	// final.
	Final bool `json:"final,omitempty"`
}

// empty reports whether the beat says nothing but "alive".
func (hb Heartbeat) empty() bool {
	return (hb.Status == "" || hb.Status == StatusHealthy) && hb.Message == "" && len(hb.Metadata) == 0 && !hb.Final
}

// last reports whether no heartbeat is expected after this one.
func (hb Heartbeat) last() bool { return hb.Final || hb.Status == StatusShutdown }

// ServiceStatus is how a service stands at the moment of asking. It is a copy:
// changing it changes nothing.
type ServiceStatus struct {
	ID   ServiceID
	Name string
	// Status is the effective status.
	Status Status
	// ReportedStatus is what the latest heartbeat said; StatusUnknown before it.
	ReportedStatus Status
	// Message is that of the latest heartbeat; empty when it had none.
	Message  string
	Metadata map[string]any
	Tags     []string
	// CreatedAt is when the service was first registered.
	CreatedAt time.Time
	// LastHeartbeat is zero before the first one.
	LastHeartbeat time.Time
	// Since is when the present run of Status began. All good statuses are one
	// run.
	Since time.Time
	// Late says that more than one and a half intervals have passed in silence,
	// but not yet the window. It is shown, never alerted.
	Late bool
	// Deadline is when the service goes stale unless it beats; zero when it has
	// no deadline or is past it.
	Deadline time.Time
	// Interval is zero when the service declared none.
	Interval time.Duration
	// Window is the silence allowed; zero when the service has no deadline.
	Window time.Duration
	// AlertAfter and RecoverAfter are as registered.
	AlertAfter, RecoverAfter Threshold
	// Incident is the open incident, nil when there is none.
	Incident *Incident
	// Beats counts the heartbeats since the service was registered.
	Beats uint64
	// Events are the latest transitions, oldest first, at most 10, with messages
	// cut to 512 bytes. Services leaves them out unless asked.
	Events []Event
	// NotDurable is set in the answers of Register, Announce and Report when the
	// Manager has a storage which has not taken yet what they acknowledge: it is
	// lost if LaneSwap is killed before the storage is back. Over the network it
	// is "durable": false, and absent otherwise.
	NotDurable bool
}

// ServiceQuery selects services. The zero value selects all. Conditions are
// joined by and.
type ServiceQuery struct {
	// Status is the effective status.
	Status Status
	// Tag is one that the service must have.
	Tag string
	// Name is compared whole.
	Name string
	// After continues a listing behind this id.
	After ServiceID
	// Limit is the greatest number of services; zero means all.
	Limit int
	// Events is how many of the latest events to include, 0 to 10.
	Events int
}

// Summary counts services.
type Summary struct {
	Total int `json:"total"`
	// Counts has no entry for a status that no service has.
	Counts map[Status]int `json:"status_counts"`
	// Sequence is the sequence number of the latest event when the count was
	// taken: watching after it misses nothing that the count does not hold.
	Sequence uint64 `json:"sequence"`
	// Journal names the numbering of the events. Sequence numbers of another
	// journal mean nothing: without a storage each Manager has one of its own, with
	// one it stays the same across restarts.
	Journal string `json:"journal"`
}

// HeartbeatRecord is a heartbeat that said something, as it is kept: the latest
// 100 and 16 KiB of a service. Equal ones in a row are one record with a count.
type HeartbeatRecord struct {
	Status   Status         `json:"status"`
	Message  string         `json:"message,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	// At is when the first of them was heard, Last when the latest was.
	At   time.Time `json:"timestamp"`
	Last time.Time `json:"last"`
	// Count is how many there were.
	Count uint64 `json:"count"`
}

// Interceptor is custom processing of heartbeats: it may change a heartbeat or
// refuse it by returning an error, which then matches ErrInvalidHeartbeat. It
// sees every heartbeat of every service, the empty ones too, before anything is
// changed, on the goroutine of the caller and concurrently; the heartbeat has
// been checked and cleaned before, and is again after. It may call the Manager.
// A panic refuses the heartbeat.
type Interceptor func(ctx context.Context, id ServiceID, hb Heartbeat) (Heartbeat, error)

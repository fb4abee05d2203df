package laneswap

import (
	"context"
	"math"
	"time"
)

// ServiceID identifies a service. It has 1 to 128 characters: ASCII letters, digits
// and ". _ - : @". It begins with a letter or digit and does not contain "..". A good
// id says what runs where, for example "billing@web-1".
type ServiceID string

// Never is a duration that does not end. Registration.ForgetAfter accepts it: the
// service is then kept until Remove.
const Never time.Duration = math.MaxInt64

// Registration is what a service declares about itself. Registering the same id
// again replaces the whole declaration, except that metadata is merged.
type Registration struct {
	// ID is the id of the service. When it is empty, the Manager generates a UUID. But
	// if exactly one service of this Name has a generated id and is stale, shut down or
	// final, the Manager reuses that service, so that restarts leave no dead services
	// behind. Every id in the form of a random UUID (version 4, lower case) counts
	// as generated.
	ID ServiceID
	// Name is the name for display, 1 to 128 runes. When it is empty, the ID is
	// displayed. Name or ID is required.
	Name string
	// Interval is how often the service promises to send a heartbeat, 10 ms to 366
	// days. Zero promises nothing.
	Interval time.Duration
	// StaleAfter is the silence after which the service is stale, 10 ms to 366 days.
	// It must be above Interval. Zero means Interval + min(1.5 x Interval, 1 h) when
	// Interval is above half of the Manager's stale threshold, and that threshold
	// otherwise.
	StaleAfter time.Duration
	// NoDeadline declares a service that is never stale, such as an HTTP handler
	// whose traffic may stop. It excludes StaleAfter.
	NoDeadline bool
	// Tags are labels to select services by: at most 32, of 1 to 64 runes each.
	Tags []string
	// Metadata is merged into the metadata of the service. A nil value removes its key.
	Metadata map[string]any
	// ForgetAfter is how long the Manager keeps the service once it is stale, shut
	// down or final: 10 ms to 366 days, or Never. Zero means 24 hours for generated
	// ids and Never for other ids.
	ForgetAfter time.Duration
	// MustRun makes the status shutdown bad: it then opens an incident.
	MustRun bool
	// AlertAfter is how long the service must be bad before notifiers are alerted.
	// RecoverAfter is how long it must be good before they receive the recovery. A
	// service that is bad for less than AlertAfter causes no alert. Zero means at once.
	// Statuses, events and history are never delayed.
	AlertAfter, RecoverAfter Threshold
}

// Heartbeat is one sign of life. The zero value means healthy.
type Heartbeat struct {
	// Status is the status that the service reports. Zero means StatusHealthy.
	// StatusStale is refused, because LaneSwap derives it from silence.
	Status Status `json:"status,omitempty"`
	// Message is free text for display, at most Limits.MessageBytes long.
	Message string `json:"message,omitempty"`
	// Metadata is merged into the metadata of the service. A nil value removes its
	// key. Values must fit into JSON. Numbers become float64.
	Metadata map[string]any `json:"metadata,omitempty"`
	// Final announces that no heartbeat follows. The service has no deadline until it
	// sends a heartbeat or registers again. A job that failed sends it with its last
	// heartbeat. StatusShutdown is always final.
	Final bool `json:"final,omitempty"`
}

// empty reports whether the heartbeat carries nothing but "healthy".
func (hb Heartbeat) empty() bool {
	return (hb.Status == "" || hb.Status == StatusHealthy) && hb.Message == "" && len(hb.Metadata) == 0 && !hb.Final
}

// last reports whether no heartbeat follows this one.
func (hb Heartbeat) last() bool { return hb.Final || hb.Status == StatusShutdown }

// ServiceStatus is a copy of the state of a service at the time of the call. The
// caller may change it.
type ServiceStatus struct {
	ID   ServiceID
	Name string
	// Status is the effective status.
	Status Status
	// ReportedStatus is the status in the latest heartbeat, StatusUnknown before the
	// first one.
	ReportedStatus Status
	// Message is the message of the latest heartbeat, "" when it had none.
	Message  string
	Metadata map[string]any
	Tags     []string
	// CreatedAt is when the service was first registered.
	CreatedAt time.Time
	// LastHeartbeat is when the latest heartbeat arrived, zero before the first one.
	LastHeartbeat time.Time
	// Since is when the present span began. All good statuses form one span.
	Since time.Time
	// Late reports that the service is silent for more than one and a half intervals,
	// but still inside its window. It is shown and never alerted.
	Late bool
	// Deadline is when the service becomes stale unless it sends a heartbeat. It is
	// zero when the service has no deadline or is past it.
	Deadline time.Time
	// Interval is the declared interval, zero when the service declared none.
	Interval time.Duration
	// Window is how long the service may stay silent, zero when it has no deadline.
	Window time.Duration
	// AlertAfter and RecoverAfter are as registered.
	AlertAfter, RecoverAfter Threshold
	// Incident is the open incident, or nil.
	Incident *Incident
	// Beats counts the heartbeats since the service was registered.
	Beats uint64
	// Events are the latest transitions, oldest first, at most 10, with messages
	// cut to 512 bytes. Services includes them only if ServiceQuery.Events asks for
	// them.
	Events []Event
	// NotDurable is set in the answers of Register, Announce and Report when the
	// storage has not yet accepted the change that they acknowledge. The change is
	// lost if LaneSwap is killed before the storage accepts it. In JSON it is
	// "durable": false, and absent otherwise.
	NotDurable bool
}

// ServiceQuery selects services. The zero value selects all. A service must meet
// every condition that is set.
type ServiceQuery struct {
	// Status selects services with this effective status.
	Status Status
	// Tag selects services with this tag.
	Tag string
	// Name selects services with exactly this name.
	Name string
	// After selects services whose id sorts behind this one, to continue a listing.
	After ServiceID
	// Limit is the maximum number of services. Zero means all.
	Limit int
	// Events is how many of the latest events each service includes, 0 to 10.
	Events int
}

// Summary counts services.
type Summary struct {
	Total int `json:"total"`
	// Counts is the number of services by effective status. Statuses without a
	// service have no entry.
	Counts map[Status]int `json:"status_counts"`
	// Sequence is the sequence number of the latest event that the counts include. A
	// watch after it receives every later event.
	Sequence uint64 `json:"sequence"`
	// Journal identifies the numbering of the events. Do not compare sequence numbers
	// of different journals. Without a storage each Manager has its own journal; with
	// one the journal stays the same across restarts.
	Journal string `json:"journal"`
}

// HeartbeatRecord is a heartbeat that was not empty. The Manager keeps the latest
// 100 of a service, and at most 16 KiB. Equal heartbeats in a row are one record with
// a count.
type HeartbeatRecord struct {
	Status   Status         `json:"status"`
	Message  string         `json:"message,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	// At is when the first of the equal heartbeats arrived, Last when the latest did.
	At   time.Time `json:"timestamp"`
	Last time.Time `json:"last"`
	// Count is the number of equal heartbeats.
	Count uint64 `json:"count"`
}

// Interceptor inspects each heartbeat before the Manager applies it. It returns the
// heartbeat, changed or not, or an error that refuses it; that error then matches
// ErrInvalidHeartbeat. A panic refuses the heartbeat too. The Manager calls it for
// every heartbeat, including empty ones, on the goroutine of the caller and
// concurrently. It validates the heartbeat before and after the call. An
// Interceptor may call the Manager.
type Interceptor func(ctx context.Context, id ServiceID, hb Heartbeat) (Heartbeat, error)

// maxStatusEvents is how many of the latest events a ServiceStatus has at most.
const maxStatusEvents = 10

// maxIDLength is how many characters a ServiceID has at most.
const maxIDLength = 128

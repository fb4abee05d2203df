package laneswap

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/laneswap/laneswap/internal/text"
)

// The HTTP API and the adapters use this JSON. Durations are numbers of seconds, times
// are RFC 3339 in UTC, and absent values are null.

// Seconds converts a number of seconds, the JSON form of durations. It returns an error
// when s is not finite, negative, or above MaxDuration: a *ValidationError without Field
// and Err, which the caller sets.
func Seconds(s float64) (time.Duration, error) {
	switch {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return 0, invalid(nil, "", "is not a finite number of seconds")
	case s < 0:
		return 0, invalid(nil, "", "is %v seconds, it must not be negative", s)
	case s > MaxDuration.Seconds():
		return 0, invalid(nil, "", "is %v seconds, the limit is %v (366 days)", s, MaxDuration.Seconds())
	}
	return time.Duration(math.Round(s * float64(time.Second))), nil
}

type wireRegistration struct {
	ID          ServiceID      `json:"service_id,omitempty"`
	Name        string         `json:"service_name,omitempty"`
	Interval    float64        `json:"interval,omitempty"`
	StaleAfter  float64        `json:"stale_after,omitempty"`
	NoDeadline  bool           `json:"no_deadline,omitempty"`
	Tags        []string       `json:"tags,omitempty"`
	Metadata    map[string]any `json:"metadata,omitempty"`
	ForgetAfter any            `json:"forget_after,omitempty"`
	MustRun     bool           `json:"must_run,omitempty"`

	AlertAfter   *Threshold `json:"alert_after,omitempty"`
	RecoverAfter *Threshold `json:"recover_after,omitempty"`
}

// MarshalJSON writes the registration as a request of the HTTP API.
func (r Registration) MarshalJSON() ([]byte, error) {
	w := wireRegistration{
		ID: r.ID, Name: r.Name, Interval: r.Interval.Seconds(), StaleAfter: r.StaleAfter.Seconds(),
		NoDeadline: r.NoDeadline, Tags: r.Tags, Metadata: r.Metadata, MustRun: r.MustRun,
		AlertAfter: thresholdPtr(r.AlertAfter), RecoverAfter: thresholdPtr(r.RecoverAfter),
	}
	switch r.ForgetAfter {
	case 0:
	case Never:
		w.ForgetAfter = "never"
	default:
		w.ForgetAfter = r.ForgetAfter.Seconds()
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form of MarshalJSON.
func (r *Registration) UnmarshalJSON(data []byte) error {
	var w wireRegistration
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: registration: %w", err)
	}
	*r = Registration{
		ID: w.ID, Name: w.Name, Interval: durationOf(&w.Interval), StaleAfter: durationOf(&w.StaleAfter),
		NoDeadline: w.NoDeadline, Tags: w.Tags, Metadata: w.Metadata, MustRun: w.MustRun,
		AlertAfter: thresholdOf(w.AlertAfter), RecoverAfter: thresholdOf(w.RecoverAfter),
	}
	switch after := w.ForgetAfter.(type) {
	case nil:
	case float64:
		r.ForgetAfter = durationOf(&after)
	case string:
		if after != "never" {
			return fmt.Errorf("laneswap: registration: forget_after is %q, it must be a number of seconds or \"never\"", text.Cut(after, 40))
		}
		r.ForgetAfter = Never
	default:
		return errors.New("laneswap: registration: forget_after must be a number of seconds or \"never\"")
	}
	return nil
}

type wireStatus struct {
	ID             ServiceID      `json:"id"`
	Name           string         `json:"name"`
	Status         Status         `json:"status"`
	Message        *string        `json:"message"`
	Metadata       map[string]any `json:"metadata"`
	CreatedAt      time.Time      `json:"created_at"`
	LastHeartbeat  *time.Time     `json:"last_heartbeat"`
	Events         []Event        `json:"events"`
	ReportedStatus Status         `json:"reported_status"`
	Late           bool           `json:"late"`
	Since          time.Time      `json:"since"`
	Deadline       *time.Time     `json:"deadline"`
	Interval       *float64       `json:"interval"`
	Window         *float64       `json:"window"`
	Incident       *wireIncident  `json:"incident"`
	Tags           []string       `json:"tags"`
	Beats          uint64         `json:"beats"`
	Durable        *bool          `json:"durable,omitempty"` // only when false

	AlertAfter   *Threshold `json:"alert_after"`
	RecoverAfter *Threshold `json:"recover_after"`
}

type wireIncident struct {
	ID          string     `json:"id"`
	StartedAt   time.Time  `json:"started_at"`
	SilentSince *time.Time `json:"silent_since"`
	Cause       string     `json:"cause"`
}

// MarshalJSON writes the status as an answer of the HTTP API.
func (s ServiceStatus) MarshalJSON() ([]byte, error) {
	w := wireStatus{
		ID: s.ID, Name: s.Name, Status: s.Status, Metadata: s.Metadata,
		CreatedAt: s.CreatedAt, LastHeartbeat: timePtr(s.LastHeartbeat), Events: s.Events,
		ReportedStatus: s.ReportedStatus, Late: s.Late, Since: s.Since, Deadline: timePtr(s.Deadline),
		Interval: secondsPtr(s.Interval), Window: secondsPtr(s.Window), Tags: s.Tags, Beats: s.Beats,
		AlertAfter: thresholdPtr(s.AlertAfter), RecoverAfter: thresholdPtr(s.RecoverAfter),
	}
	if s.Message != "" {
		w.Message = &s.Message
	}
	if s.NotDurable {
		w.Durable = new(bool)
	}
	if w.Metadata == nil {
		w.Metadata = map[string]any{}
	}
	if w.Events == nil {
		w.Events = []Event{}
	}
	if w.Tags == nil {
		w.Tags = []string{}
	}
	if i := s.Incident; i != nil {
		w.Incident = &wireIncident{ID: i.ID, StartedAt: i.StartedAt, SilentSince: timePtr(i.SilentSince), Cause: i.Cause}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form of MarshalJSON.
func (s *ServiceStatus) UnmarshalJSON(data []byte) error {
	var w wireStatus
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: service status: %w", err)
	}
	*s = ServiceStatus{
		ID: w.ID, Name: w.Name, Status: w.Status, ReportedStatus: w.ReportedStatus, Metadata: w.Metadata,
		Tags: w.Tags, CreatedAt: w.CreatedAt, LastHeartbeat: timeOf(w.LastHeartbeat), Since: w.Since, Late: w.Late,
		Deadline: timeOf(w.Deadline), Interval: durationOf(w.Interval), Window: durationOf(w.Window),
		Beats: w.Beats, Events: w.Events,
		AlertAfter: thresholdOf(w.AlertAfter), RecoverAfter: thresholdOf(w.RecoverAfter),
	}
	if w.Message != nil {
		s.Message = *w.Message
	}
	s.NotDurable = w.Durable != nil && !*w.Durable
	if len(s.Events) == 0 {
		s.Events = nil
	}
	if i := w.Incident; i != nil {
		s.Incident = &Incident{ID: i.ID, StartedAt: i.StartedAt, SilentSince: timeOf(i.SilentSince), Cause: i.Cause}
	}
	return nil
}

type wireEvent struct {
	ID          string     `json:"id"`
	Sequence    uint64     `json:"sequence"`
	Kind        EventKind  `json:"kind"`
	Service     ServiceID  `json:"service"`
	Name        string     `json:"name"`
	Tags        []string   `json:"tags,omitempty"`
	From        Status     `json:"from"`
	To          Status     `json:"to"`
	Message     *string    `json:"message"`
	At          time.Time  `json:"timestamp"`
	Incident    *string    `json:"incident"`
	StartedAt   *time.Time `json:"started_at"`
	SilentSince *time.Time `json:"silent_since"`
	Cause       *string    `json:"cause"`
	Duration    *float64   `json:"duration"`
}

// MarshalJSON writes the event as an answer of the HTTP API.
func (e Event) MarshalJSON() ([]byte, error) {
	w := wireEvent{
		ID: e.ID, Sequence: e.Sequence, Kind: e.Kind, Service: e.Service, Name: e.Name, Tags: e.Tags, From: e.From, To: e.To,
		At: e.At, StartedAt: timePtr(e.StartedAt), SilentSince: timePtr(e.SilentSince),
		Message: stringPtr(e.Message), Incident: stringPtr(e.Incident), Cause: stringPtr(e.Cause),
	}
	if e.Kind == EventRecovered || e.Kind == EventRemoved || e.Kind == EventStorageBack {
		d := e.Duration.Seconds()
		w.Duration = &d
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form of MarshalJSON.
func (e *Event) UnmarshalJSON(data []byte) error {
	var w wireEvent
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: event: %w", err)
	}
	*e = Event{
		ID: w.ID, Sequence: w.Sequence, Kind: w.Kind, Service: w.Service, Name: w.Name, Tags: w.Tags, From: w.From, To: w.To,
		At: w.At, StartedAt: timeOf(w.StartedAt), SilentSince: timeOf(w.SilentSince), Duration: durationOf(w.Duration),
		Message: stringOf(w.Message), Incident: stringOf(w.Incident), Cause: stringOf(w.Cause),
	}
	return nil
}

func timePtr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func stringPtr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func stringOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func secondsPtr(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

func durationOf(s *float64) time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(math.Round(*s * float64(time.Second)))
}

type wireNotification struct {
	ID      string     `json:"id"`
	Kind    NoticeKind `json:"kind"`
	Title   string     `json:"title"`
	Text    string     `json:"text"`
	Finding *string    `json:"finding"`
	Attempt int        `json:"attempt"`
	Items   []Item     `json:"items"`
}

// MarshalJSON writes the notification in the form that the adapters webhook and command
// send. Event is not a field of its own: it is in the first item.
func (n Notification) MarshalJSON() ([]byte, error) {
	w := wireNotification{
		ID: n.ID, Kind: n.Kind, Title: n.Title, Text: n.Text, Finding: stringPtr(n.Finding), Attempt: n.Attempt, Items: n.Items,
	}
	if w.Items == nil {
		w.Items = []Item{}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form of MarshalJSON. Receipt has no effect on the result.
func (n *Notification) UnmarshalJSON(data []byte) error {
	var w wireNotification
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: notification: %w", err)
	}
	*n = Notification{
		ID: w.ID, Kind: w.Kind, Title: w.Title, Text: w.Text, Finding: stringOf(w.Finding), Attempt: w.Attempt, Items: w.Items,
	}
	if len(n.Items) == 0 {
		n.Items = nil
		return nil
	}
	n.Event = n.Items[0].Event
	return nil
}

type wireItem struct {
	Event    Event    `json:"event"`
	Earlier  []Event  `json:"earlier"`
	Flapping int      `json:"flapping"`
	Reminder *float64 `json:"reminder"`
	Text     string   `json:"text"`
}

// MarshalJSON writes the item as a part of a notification.
func (i Item) MarshalJSON() ([]byte, error) {
	w := wireItem{Event: i.Event, Earlier: i.Earlier, Flapping: i.Flapping, Reminder: secondsPtr(i.Reminder), Text: i.Text}
	if w.Earlier == nil {
		w.Earlier = []Event{}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form of MarshalJSON.
func (i *Item) UnmarshalJSON(data []byte) error {
	var w wireItem
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: item: %w", err)
	}
	*i = Item{Event: w.Event, Earlier: w.Earlier, Flapping: w.Flapping, Reminder: durationOf(w.Reminder), Text: w.Text}
	if len(i.Earlier) == 0 {
		i.Earlier = nil
	}
	return nil
}

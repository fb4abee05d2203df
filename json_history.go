package laneswap

import (
	"encoding/json"
	"fmt"
	"time"
)

type wireHistory struct {
	Service            ServiceID      `json:"service_id"`
	From               time.Time      `json:"from"`
	To                 time.Time      `json:"to"`
	KnownFrom          time.Time      `json:"known_from"`
	Complete           bool           `json:"complete"`
	Uptime             *float64       `json:"uptime"`
	Up                 float64        `json:"up"`
	Down               float64        `json:"down"`
	Unknown            float64        `json:"unknown"`
	Absent             float64        `json:"absent"`
	IncidentCount      int            `json:"incident_count"`
	Recovered          int            `json:"recovered"`
	MeanTimeToRecovery *float64       `json:"mean_time_to_recovery"`
	Spans              []Span         `json:"spans"`
	Incidents          []PastIncident `json:"incidents"`
	Absences           []Absence      `json:"absences"`
	Events             []Event        `json:"events"`
	Truncated          bool           `json:"truncated"`
}

// MarshalJSON writes the history as an answer of the HTTP API. It adds "uptime", a
// percentage or null as Uptime returns it, and "complete", which reports whether
// KnownFrom is not after From.
func (h History) MarshalJSON() ([]byte, error) {
	w := wireHistory{
		Service: h.Service, From: h.From, To: h.To, KnownFrom: h.KnownFrom, Complete: !h.KnownFrom.After(h.From),
		Up: h.Up.Seconds(), Down: h.Down.Seconds(), Unknown: h.Unknown.Seconds(), Absent: h.Absent.Seconds(),
		IncidentCount: h.IncidentCount, Recovered: h.Recovered, MeanTimeToRecovery: secondsPtr(h.MeanTimeToRecovery),
		Spans: listed(h.Spans), Incidents: listed(h.Incidents), Absences: listed(h.Absences), Events: listed(h.Events),
		Truncated: h.Truncated,
	}
	if percent, ok := h.Uptime(); ok {
		w.Uptime = &percent
	}
	return json.Marshal(w)
}

// listed returns an empty slice for nil, so that its JSON is [] and not null.
func listed[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// UnmarshalJSON reads the form of MarshalJSON.
func (h *History) UnmarshalJSON(data []byte) error {
	var w wireHistory
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: history: %w", err)
	}
	*h = History{
		Service: w.Service, From: w.From, To: w.To, KnownFrom: w.KnownFrom,
		Up: durationOf(&w.Up), Down: durationOf(&w.Down), Unknown: durationOf(&w.Unknown), Absent: durationOf(&w.Absent),
		IncidentCount: w.IncidentCount, Recovered: w.Recovered, MeanTimeToRecovery: durationOf(w.MeanTimeToRecovery),
		Spans: w.Spans, Incidents: w.Incidents, Absences: w.Absences, Events: w.Events, Truncated: w.Truncated,
	}
	return nil
}

type wireSpan struct {
	State      SpanState  `json:"state"`
	Status     Status     `json:"status"`
	From       time.Time  `json:"from"`
	To         *time.Time `json:"to"`
	Beats      uint64     `json:"beats"`
	LongestGap float64    `json:"longest_gap"`
	Message    *string    `json:"message"`
	Incident   *string    `json:"incident"`
}

// MarshalJSON writes the span as an answer of the HTTP API.
func (s Span) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireSpan{
		State: s.State, Status: s.Status, From: s.From, To: timePtr(s.To), Beats: s.Beats,
		LongestGap: s.LongestGap.Seconds(), Message: stringPtr(s.Message), Incident: stringPtr(s.Incident),
	})
}

// UnmarshalJSON reads the form of MarshalJSON.
func (s *Span) UnmarshalJSON(data []byte) error {
	var w wireSpan
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: span: %w", err)
	}
	*s = Span{
		State: w.State, Status: w.Status, From: w.From, To: timeOf(w.To), Beats: w.Beats,
		LongestGap: durationOf(&w.LongestGap), Message: stringOf(w.Message), Incident: stringOf(w.Incident),
	}
	return nil
}

type wirePastIncident struct {
	ID        string     `json:"id"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Duration  float64    `json:"duration"`
	Worst     Status     `json:"worst"`
	Cause     string     `json:"cause"`
}

// MarshalJSON writes the incident as an answer of the HTTP API.
func (i PastIncident) MarshalJSON() ([]byte, error) {
	return json.Marshal(wirePastIncident{
		ID: i.ID, StartedAt: i.StartedAt, EndedAt: timePtr(i.EndedAt), Duration: i.Duration.Seconds(), Worst: i.Worst, Cause: i.Cause,
	})
}

// UnmarshalJSON reads the form of MarshalJSON.
func (i *PastIncident) UnmarshalJSON(data []byte) error {
	var w wirePastIncident
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: incident: %w", err)
	}
	*i = PastIncident{
		ID: w.ID, StartedAt: w.StartedAt, EndedAt: timeOf(w.EndedAt), Duration: durationOf(&w.Duration), Worst: w.Worst, Cause: w.Cause,
	}
	return nil
}

type wireAbsence struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// MarshalJSON writes the absence as an answer of the HTTP API.
func (a Absence) MarshalJSON() ([]byte, error) { return json.Marshal(wireAbsence(a)) }

// UnmarshalJSON reads the form of MarshalJSON.
func (a *Absence) UnmarshalJSON(data []byte) error {
	var w wireAbsence
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("laneswap: absence: %w", err)
	}
	*a = Absence(w)
	return nil
}

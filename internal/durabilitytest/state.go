package durabilitytest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// state is the state of a service after an operation, as a client can know it. Its
// maps and slices are never changed.
type state struct {
	present    bool
	name       string
	tags       []string
	interval   time.Duration
	staleAfter time.Duration
	metadata   map[string]any
	reported   laneswap.Status
	message    string
	beats      uint64
	incident   bool // one is open

	events      int // the number of the service's events so far
	errors      int // the number of its reported errors so far
	oldest      int // the first error since the service was last created
	lastDurable int // the latest operation so far that is durable once it is acknowledged
	answered    int // the life of the server that answered; 0 for none

	// Parts of an answer, zero without one.
	created    time.Time
	lastBeat   time.Time
	incidentID string
}

// transition is an event without its times and numbers.
type transition struct {
	kind     laneswap.EventKind
	name     string
	from, to laneswap.Status
	message  string
}

func of(ev laneswap.Event) transition {
	return transition{kind: ev.Kind, name: ev.Name, from: ev.From, to: ev.To, message: ev.Message}
}

// register returns the state after a registration.
func (s state) register(reg laneswap.Registration) state {
	next := s.fresh()
	if !s.present {
		next = state{present: true, reported: laneswap.StatusUnknown, events: s.events, errors: s.errors, oldest: s.errors}
	}
	next.name, next.tags, next.interval, next.staleAfter = reg.Name, reg.Tags, reg.Interval, reg.StaleAfter
	next.metadata = merge(next.metadata, reg.Metadata)
	return next
}

// fresh returns the state without an answer.
func (s state) fresh() state {
	s.answered = 0
	return s
}

// beat returns the state after a heartbeat and the transition, nil when there is none.
func (s state) beat(hb laneswap.Heartbeat) (state, *transition) {
	next := s.fresh()
	from, to := s.reported, hb.Status
	if to == "" {
		to = laneswap.StatusHealthy
	}
	next.reported, next.message, next.beats = to, hb.Message, s.beats+1
	next.metadata = merge(s.metadata, hb.Metadata)
	if from == to || from.Good() && to.Good() && !s.incident {
		return next, nil
	}
	tr := &transition{name: s.name, from: from, to: to, message: hb.Message}
	switch {
	case to.Bad() && !s.incident:
		tr.kind, next.incident, next.incidentID = laneswap.EventDown, true, ""
	case to.Bad() && to.Compare(from) < 0:
		tr.kind = laneswap.EventWorse
	case to.Bad():
		tr.kind = laneswap.EventBetter
	case to.Good() && s.incident:
		tr.kind, next.incident, next.incidentID = laneswap.EventRecovered, false, ""
	case to.Good():
		tr.kind = laneswap.EventUp
	default:
		tr.kind = laneswap.EventUnknown
	}
	next.events++
	return next, tr
}

// remove returns the state after a removal, and the event when it ends an incident.
func (s state) remove() (state, *transition) {
	next := state{events: s.events, errors: s.errors}
	if !s.incident {
		return next, nil
	}
	next.events++
	return next, &transition{kind: laneswap.EventRemoved, name: s.name, from: s.reported, to: laneswap.StatusUnknown}
}

// report returns the state after a reported error.
func (s state) report() state {
	next := s.fresh()
	next.errors++
	return next
}

func merge(old, more map[string]any) map[string]any {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range more {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

// window returns the window of the service, with the default threshold of the server.
func (s state) window() time.Duration {
	switch {
	case s.staleAfter > 0:
		return s.staleAfter
	case s.interval > laneswap.DefaultStaleThreshold/2:
		return s.interval + min(s.interval+s.interval/2, time.Hour)
	}
	return laneswap.DefaultStaleThreshold
}

// differs returns how the found status differs from the state, "" when it does not.
func (s state) differs(found *laneswap.ServiceStatus) string {
	if s.present != (found != nil) {
		return fmt.Sprintf("present is %v, want %v", found != nil, s.present)
	}
	if found == nil {
		return ""
	}
	metadata := found.Metadata
	if metadata == nil {
		metadata = map[string]any{}
	}
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"reported status", found.ReportedStatus, s.reported},
		{"status", found.Status, s.reported}, // none of them is ever silent for so long
		{"message", found.Message, s.message},
		{"name", found.Name, s.name},
		{"tags", slices.Clip(append([]string{}, found.Tags...)), append([]string{}, s.tags...)},
		{"interval", found.Interval, s.interval},
		{"window", found.Window, s.window()},
		{"metadata", metadata, s.metadata},
		{"beats", found.Beats, s.beats},
		{"an incident", found.Incident != nil, s.incident},
	} {
		if !reflect.DeepEqual(f.got, f.want) {
			return fmt.Sprintf("%s is %v, want %v", f.name, f.got, f.want)
		}
	}
	switch {
	case !s.created.IsZero() && !found.CreatedAt.Equal(s.created):
		return fmt.Sprintf("created at %v, want %v", found.CreatedAt, s.created)
	case found.LastHeartbeat.Before(s.lastBeat):
		return fmt.Sprintf("the last heartbeat was at %v, want %v or later", found.LastHeartbeat, s.lastBeat)
	case s.incidentID != "" && found.Incident != nil && found.Incident.ID != s.incidentID:
		return fmt.Sprintf("the incident is %s, want %s", found.Incident.ID, s.incidentID)
	}
	return ""
}

// learn adds the times and the incident of an answer.
func (s *state) learn(st laneswap.ServiceStatus) {
	s.created, s.lastBeat = st.CreatedAt, st.LastHeartbeat
	if st.Incident != nil {
		s.incidentID = st.Incident.ID
	}
}

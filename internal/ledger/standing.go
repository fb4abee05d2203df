package ledger

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// standing is how a service is after an operation, as a client can know it. What
// its maps and slices hold is never changed.
type standing struct {
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

	events   int // how many of the account's events have happened
	errors   int // how many of the account's errors were reported
	oldest   int // the first error of the present life
	vital    int // the latest operation up to here that is durable once it is acknowledged
	answered int // the life of the server that answered; 0 for none

	// What an answer said of it; zero when there was none.
	created    time.Time
	heard      time.Time
	incidentID string
}

// transition is what an event says, without its times and numbers.
type transition struct {
	kind     laneswap.EventKind
	name     string
	from, to laneswap.Status
	message  string
}

func of(ev laneswap.Event) transition {
	return transition{kind: ev.Kind, name: ev.Name, from: ev.From, to: ev.To, message: ev.Message}
}

// register is the standing after a registration.
func (s standing) register(reg laneswap.Registration) standing {
	next := s.fresh()
	if !s.present {
		next = standing{present: true, reported: laneswap.StatusUnknown, events: s.events, errors: s.errors, oldest: s.errors}
	}
	next.name, next.tags, next.interval, next.staleAfter = reg.Name, reg.Tags, reg.Interval, reg.StaleAfter
	next.metadata = merge(next.metadata, reg.Metadata)
	return next
}

// fresh is the standing before there is an answer to what follows it.
func (s standing) fresh() standing {
	s.answered = 0
	return s
}

// beat is the standing after a heartbeat, and the transition that it makes, nil
// when it makes none. None of the services must run.
func (s standing) beat(hb laneswap.Heartbeat) (standing, *transition) {
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

// remove is the standing after a removal, and the event that it makes when it
// ends an incident.
func (s standing) remove() (standing, *transition) {
	next := standing{events: s.events, errors: s.errors}
	if !s.incident {
		return next, nil
	}
	next.events++
	return next, &transition{kind: laneswap.EventRemoved, name: s.name, from: s.reported, to: laneswap.StatusUnknown}
}

// report is the standing after a reported error.
func (s standing) report() standing {
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

// window is the silence that is allowed, with the default threshold of the server.
func (s standing) window() time.Duration {
	switch {
	case s.staleAfter > 0:
		return s.staleAfter
	case s.interval > laneswap.DefaultStaleThreshold/2:
		return s.interval + min(s.interval+s.interval/2, time.Hour)
	}
	return laneswap.DefaultStaleThreshold
}

// differs says in what the found status is not that of the standing; "" when it
// is in nothing.
func (s standing) differs(found *laneswap.ServiceStatus) string {
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
	case found.LastHeartbeat.Before(s.heard):
		return fmt.Sprintf("the last heartbeat was at %v, want %v or later", found.LastHeartbeat, s.heard)
	case s.incidentID != "" && found.Incident != nil && found.Incident.ID != s.incidentID:
		return fmt.Sprintf("the incident is %s, want %s", found.Incident.ID, s.incidentID)
	}
	return ""
}

// learn takes in what an answer says of the standing.
func (s *standing) learn(st laneswap.ServiceStatus) {
	s.created, s.heard = st.CreatedAt, st.LastHeartbeat
	if st.Incident != nil {
		s.incidentID = st.Incident.ID
	}
}

package laneswap

import (
	"cmp"
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/text"
)

// storedService is the content of a service row. The fields up to LastHeartbeat are
// for other programs too: a row without a version was written by another program, and
// has only these.
type storedService struct {
	Version       int            `json:"v"`
	ID            ServiceID      `json:"id"`
	Name          string         `json:"name"`
	Status        Status         `json:"status"`
	Message       string         `json:"message,omitempty"`
	Metadata      map[string]any `json:"metadata,omitempty"`
	CreatedAt     time.Time      `json:"created_at"`
	LastHeartbeat time.Time      `json:"last_heartbeat,omitzero"`

	Reported    Status          `json:"reported,omitempty"` // when it is not Status
	Made        bool            `json:"made,omitempty"`
	Born        int64           `json:"born"`
	Since       int64           `json:"since"`   // wall ms
	Stamped     int64           `json:"stamped"` // wall ms
	Armed       bool            `json:"armed,omitempty"`
	ArmedAt     int64           `json:"armed_at"`           // wall ms
	Judged      bool            `json:"judged,omitempty"`   // its silence was judged already
	EndedAt     int64           `json:"ended_at,omitempty"` // wall ms
	Interval    time.Duration   `json:"interval,omitempty"` // ns, as those below
	StaleAfter  time.Duration   `json:"stale_after,omitempty"`
	ForgetAfter time.Duration   `json:"forget_after,omitempty"`
	NoDeadline  bool            `json:"no_deadline,omitempty"`
	MustRun     bool            `json:"must_run,omitempty"`
	Tags        []string        `json:"tags,omitempty"`
	Beats       uint64          `json:"beats,omitempty"`
	RunBeats    uint64          `json:"run_beats,omitempty"` // beats when the run began
	Gap         time.Duration   `json:"gap,omitempty"`
	Transitions uint64          `json:"transitions,omitempty"`
	Incidents   uint64          `json:"incidents,omitempty"`
	Incident    *storedIncident `json:"incident,omitempty"`
	Errors      uint64          `json:"errors,omitempty"`
	Oldest      uint64          `json:"oldest_error,omitempty"` // number of the oldest that may be stored
	Side        SpanState       `json:"side,omitempty"`         // of the present run

	AlertAfter   *Threshold  `json:"alert_after,omitempty"`
	RecoverAfter *Threshold  `json:"recover_after,omitempty"`
	Turned       *storedTurn `json:"turned,omitempty"` // where a threshold may count from it
	// Bare says that Metadata was left out, for it is that of the state before.
	Bare    bool `json:"bare,omitempty"`
	Foreign bool `json:"foreign,omitempty"` // another program's, and long silent
}

// valid returns an error for a state that the judge cannot count.
func (s *storedService) valid() error {
	if !s.Status.Valid() {
		return fmt.Errorf("service %.80q: %.40q is not a status", s.ID, s.Status)
	}
	return nil
}

// storedTurn is when a service last became good or bad.
type storedTurn struct {
	At    int64  `json:"at"`    // wall ms
	Beats uint64 `json:"beats"` // heartbeats before it
	Quiet bool   `json:"quiet,omitempty"`
	// Missed is how many heartbeats silence has counted for since.
	Missed uint64 `json:"missed,omitempty"`
}

// storedIncident is an incident within a row; its times are wall ms.
type storedIncident struct {
	ID          string `json:"id"`
	StartedAt   int64  `json:"started_at"`
	SilentSince int64  `json:"silent_since,omitempty"`
	Cause       string `json:"cause,omitempty"`
}

// from sets s to the state of r; r.mu is held. Its counterpart is into.
func (s *storedService) from(r *record, j *judge) {
	last, wall := r.cell.Last.Load(), func(mono int64) int64 { return j.absences.Wall(mono) / int64(time.Millisecond) }
	*s = storedService{
		Version: storedVersion, ID: r.id, Name: r.reg.Name, Status: r.status, Message: r.message, Metadata: r.metadata,
		CreatedAt: clock.WallTime(r.created), Made: r.generatedID, Born: r.generation, Since: r.statusSince, Stamped: r.lastStamp,
		Armed: r.expecting, ArmedAt: wall(r.expectingSince), Judged: r.judgedBeat >= max(last, r.expectingSince),
		Interval: r.reg.Interval, StaleAfter: r.reg.StaleAfter, ForgetAfter: r.reg.ForgetAfter,
		NoDeadline: r.reg.NoDeadline, MustRun: r.reg.MustRun, Tags: r.reg.Tags,
		Beats: r.cell.Beats.Load(), RunBeats: r.spanFirstBeat, Gap: time.Duration(r.cell.Gap.Load()),
		Transitions: r.transitions, Incidents: r.incidents, Incident: r.incident.stored(), Errors: r.errorCount, Oldest: r.oldestError, Side: r.spanState, Foreign: r.imported,
		AlertAfter: thresholdPtr(r.reg.AlertAfter), RecoverAfter: thresholdPtr(r.reg.RecoverAfter),
	}
	if s.Beats > 0 {
		s.LastHeartbeat = clock.WallTime(wall(last))
	}
	if s.AlertAfter != nil || s.RecoverAfter != nil {
		s.Turned = &storedTurn{wall(r.streak.since), r.streak.beats, r.streak.fromSilence, r.streak.silentBeats}
	}
	if r.reported != r.status {
		s.Reported = r.reported
	}
	if r.ended() {
		s.EndedAt = wall(r.endedAt)
	}
}

// into sets r to what is stored, all but its cell; mono maps wall ms to an instant.
// r.mu is held. Its counterpart is from.
func (s *storedService) into(r *record, mono func(ms int64) int64) {
	r.reg = Registration{
		ID: s.ID, Name: cmp.Or(text.Trim(s.Name), text.Trim(string(s.ID)), "(no name)"), Interval: s.Interval, StaleAfter: s.StaleAfter, ForgetAfter: s.ForgetAfter,
		NoDeadline: s.NoDeadline, MustRun: s.MustRun, Tags: s.Tags,
		AlertAfter: thresholdOf(s.AlertAfter), RecoverAfter: thresholdOf(s.RecoverAfter),
	}
	if r.reg.Tags == nil {
		r.reg.Tags = []string{} // as one that was registered has
	}
	r.generatedID, r.imported = s.Made, s.Foreign
	r.created, r.generation, r.statusSince, r.lastStamp = s.CreatedAt.UnixMilli(), s.Born, s.Since, s.Stamped
	r.metadata, r.message = s.Metadata, s.Message
	r.status, r.reported = s.Status, s.Reported
	if !r.reported.Valid() {
		r.reported = s.Status
	}
	r.expecting, r.expectingSince, r.endedAt = s.Armed, mono(s.ArmedAt), mono(s.EndedAt)
	r.transitions, r.incidents, r.errorCount, r.oldestError = s.Transitions, s.Incidents, s.Errors, s.Oldest
	r.spanFirstBeat, r.savedBeats = s.RunBeats, s.Beats
	if i := s.Incident; i != nil {
		r.incident = i.incident()
		r.incident.start = mono(i.StartedAt)
		if r.incident.id == "" {
			r.incident.id = r.incidentID(r.incidents)
		}
	}
	r.streak = streak{since: mono(s.Since), beats: s.Beats}
	if r.incident != nil {
		r.streak = streak{bad: true, since: r.incident.start, beats: s.Beats}
	}
	if t := s.Turned; t != nil {
		r.streak.since, r.streak.beats, r.streak.fromSilence, r.streak.silentBeats = mono(t.At), t.Beats, t.Quiet, t.Missed
	}
	r.streak.silentSince = mono(s.Since)
	if r.spanState = s.Side; r.spanState == "" {
		r.spanState = r.currentSpanState()
	}
}

func (i *incident) stored() *storedIncident {
	if i == nil {
		return nil
	}
	return &storedIncident{ID: i.id, StartedAt: i.startedAt, SilentSince: i.silentSince, Cause: i.cause}
}

// incident is the stored one without its monotonic start.
func (s *storedIncident) incident() *incident {
	if s == nil {
		return nil
	}
	return &incident{id: s.ID, startedAt: s.StartedAt, silentSince: s.SilentSince, cause: s.Cause}
}

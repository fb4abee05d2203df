package laneswap

import (
	"strings"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/text"
)

// What the import does with rows of other programs.
const (
	importSilence = 24 * time.Hour // longer, and LaneSwap does not alert about the service
)

// convert turns a row of another program into one of ours. LaneSwap in Python stores
// the id, the name, the status, the message, the metadata and two times, and leaves a
// new id behind at each restart of a client.
func (s *storedService) convert(limits Limits, now int64) {
	// The clock of another host may have been wrong.
	s.CreatedAt, s.LastHeartbeat = notInFuture(s.CreatedAt, now), notInFuture(s.LastHeartbeat, now)
	made, last := s.CreatedAt, s.LastHeartbeat
	switch {
	case made.IsZero() && last.IsZero():
		made, last = clock.WallTime(now), clock.WallTime(now)
	case made.IsZero(), !last.IsZero() && last.Before(made):
		made = last
	case last.IsZero():
		last = made
	}
	said := s.Status
	if !said.Valid() {
		said = Status(strings.ToLower(string(said)))
	}
	if !said.Valid() {
		said = StatusUnknown
	}
	*s = storedService{
		Version: storedVersion, ID: s.ID, Name: text.CutRunes(strings.TrimSpace(text.Line(s.Name)), maxNameRunes), Status: said,
		Message: text.Cut(text.Lines(s.Message), limits.MessageBytes), Metadata: limits.fitting(s.Metadata),
		CreatedAt: made, LastHeartbeat: s.LastHeartbeat, Reported: said, Made: uuid.MatchString(string(s.ID)),
		Born: made.UnixMilli(), Since: last.UnixMilli(), Stamped: last.UnixMilli(), Armed: true, ArmedAt: made.UnixMilli(),
	}
	if !s.LastHeartbeat.IsZero() {
		s.Beats = 1
	}
	silent := now - last.UnixMilli()
	switch {
	case silent > importSilence.Milliseconds():
		s.Status, s.Reported, s.Armed = StatusUnknown, StatusUnknown, false
		s.EndedAt, s.Foreign = now, true
	case said == StatusStale, said.Bad():
		s.Incidents = 1
		s.Incident = &storedIncident{StartedAt: last.UnixMilli(), Cause: "already " + string(said) + " when LaneSwap imported it"}
		if said == StatusStale {
			s.Reported, s.Judged, s.EndedAt = StatusUnknown, true, now
			s.Incident.SilentSince = last.UnixMilli()
		}
	case said == StatusShutdown:
		s.Armed, s.EndedAt = false, now
	}
	switch {
	case s.Status.Bad():
		s.Side = SpanDown
	case s.Status.Good():
		s.Side = SpanUp
	default:
		s.Side = SpanUnknown
	}
}

// notInFuture returns t, or now when t is in the future; zero when t is before 1970.
func notInFuture(t time.Time, now int64) time.Time {
	if t.UnixMilli() <= 0 {
		return time.Time{}
	}
	return clock.WallTime(min(t.UnixMilli(), now))
}

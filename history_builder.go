package laneswap

import (
	"cmp"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// historyBuilder computes a History from the spans of a period, added one by one. A
// period may have millions of spans: the builder keeps only those that it will list. It
// has no clock and no lock. Times are wall ms.
type historyBuilder struct {
	from, to int64
	limit    int
	present  span // the span that lasts
	absences []storedAbsence

	h              History
	end            int64 // spans are counted up to this time
	up, down, lost int64
	spans          int   // spans that overlap the period
	last           span  // the latest of these spans
	next           *span // the following span, if it begins when the period ends
	incident       *PastIncident
	began          int64         // start of incident
	recovery       time.Duration // total duration of ended incidents
}

// begin resets the builder for a service. The caller adds all absences before the first
// span.
func (t *historyBuilder) begin(id ServiceID, present span) {
	t.present, t.end = present, t.from
	t.h = History{Service: id, From: time.UnixMilli(t.from).UTC(), To: clock.WallTime(t.to), KnownFrom: clock.WallTime(t.to)}
}

// compare orders spans of a service by time.
func (s span) compare(other span) int {
	return cmp.Or(cmp.Compare(s.born, other.born), cmp.Compare(s.number, other.number))
}

// inOrder sorts spans and drops duplicates.
func inOrder(spans []span) []span {
	slices.SortStableFunc(spans, span.compare)
	return slices.CompactFunc(spans, func(a, b span) bool { return a.compare(b) == 0 })
}

// add counts the next span if it overlaps the period. Spans come in ascending order.
func (t *historyBuilder) count(s span) {
	switch {
	case s.to < t.from, s.to == t.from && s.from < s.to:
		return // before the period
	case s.from < t.to, s.from == t.to && s.from == t.present.to: // or the present span began in this millisecond
	case s.from == t.to && t.next == nil:
		next := s
		t.next = &next
		return
	default:
		return
	}
	// No moment counts twice, even if the times of stored rows overlap.
	from := min(max(s.from, t.end), t.to)
	to := max(from, min(s.to, t.to))
	t.end = to
	if t.spans == 0 {
		t.h.KnownFrom = time.UnixMilli(from).UTC()
	}
	gone := t.absent(from, to)
	t.lost += gone
	switch s.state {
	case SpanUp:
		t.up += to - from - gone
	case SpanDown:
		t.down += to - from - gone
	}
	public := s.public()
	if s.compare(t.present) == 0 {
		public.To = time.Time{}
	}
	t.h.Spans = keep(t.h.Spans, public, t.limit, &t.h.Truncated)
	t.followIncident(s)
	t.last = s
	t.spans++
}

// addAbsences merges absences, in any order and with duplicates. It ignores absences in
// which no heartbeat can have been lost.
func (t *historyBuilder) addAbsences(gone []storedAbsence) {
	gone = slices.DeleteFunc(slices.Clone(gone), func(a storedAbsence) bool {
		return !a.Lost || a.From >= t.to || a.Back <= t.from || a.Back <= a.From
	})
	slices.SortFunc(gone, func(a, b storedAbsence) int { return cmp.Compare(a.From, b.From) })
	for _, a := range gone {
		if n := len(t.absences); n > 0 && a.From <= t.absences[n-1].Back {
			t.absences[n-1].Back = max(t.absences[n-1].Back, a.Back)
			continue
		}
		t.absences = append(t.absences, a)
	}
}

// absent returns how much of the time between from and to LaneSwap was absent.
func (t *historyBuilder) absent(from, to int64) (ms int64) {
	i, _ := slices.BinarySearchFunc(t.absences, from, func(a storedAbsence, from int64) int { return cmp.Compare(a.Back, from) })
	for ; i < len(t.absences) && t.absences[i].From < to; i++ {
		ms += max(0, min(to, t.absences[i].Back)-max(from, t.absences[i].From))
	}
	return ms
}

// build returns the History once all spans are added.
func (t *historyBuilder) build() History {
	h := &t.h
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	h.Up, h.Down, h.Absent = ms(t.up), ms(t.down), ms(t.lost)
	h.Unknown = ms(t.to - t.from - t.up - t.down - t.lost)
	for _, a := range latest(t.absences, t.limit, &h.Truncated) {
		h.Absences = append(h.Absences, Absence{From: clock.WallTime(a.From), To: clock.WallTime(a.Back)})
	}
	if t.spans > 0 && t.incident != nil {
		// An incident that no span follows, and that ended within the period, ended
		// because the service was removed.
		lasts := t.last.compare(t.present) == 0
		over := !lasts && t.last.to <= t.to && t.next == nil ||
			t.next != nil && (t.next.incident == nil || t.next.incident.id != t.incident.ID)
		t.closeIncident(min(t.last.to, t.to), over)
	}
	if h.Recovered > 0 {
		h.MeanTimeToRecovery = (t.recovery / time.Duration(h.Recovered)).Truncate(time.Millisecond)
	}
	h.Spans = latest(h.Spans, t.limit, &h.Truncated)
	h.Incidents = latest(h.Incidents, t.limit, &h.Truncated)
	return *h
}

// followIncident finds incidents in the spans. An incident ends before the first span that does
// not belong to it.
func (t *historyBuilder) followIncident(s span) {
	if t.incident != nil && (s.incident == nil || s.incident.id != t.incident.ID) {
		t.closeIncident(t.last.to, true)
	}
	if s.incident == nil {
		return
	}
	if t.incident == nil {
		t.began = s.incident.startedAt
		t.incident = &PastIncident{ID: s.incident.id, StartedAt: clock.WallTime(t.began), Worst: s.status, Cause: s.incident.cause}
	}
	if s.status.rank() < t.incident.Worst.rank() {
		t.incident.Worst = s.status
	}
}

// closeIncident lists the incident up to the time at. ended says whether it ended there.
func (t *historyBuilder) closeIncident(at int64, ended bool) {
	i := t.incident
	i.Duration = time.Duration(at-t.began) * time.Millisecond
	if ended {
		i.EndedAt = clock.WallTime(at)
		t.h.Recovered++
		t.recovery += i.Duration
	}
	t.h.IncidentCount++
	t.h.Incidents = keep(t.h.Incidents, *i, t.limit, &t.h.Truncated)
	t.incident = nil
}

// keep appends v to list, and drops the oldest entries when the list has twice the limit.
func keep[T any](list []T, v T, limit int, truncated *bool) []T {
	if len(list) >= 2*limit {
		list = append(list[:0], latest(list, limit, truncated)...)
	}
	return append(list, v)
}

// latest returns the newest entries of list, at most limit. It sets truncated when it
// drops others.
func latest[T any](list []T, limit int, truncated *bool) []T {
	if len(list) <= limit {
		return list
	}
	*truncated = true
	return list[len(list)-limit:]
}

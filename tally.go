package laneswap

import (
	"cmp"
	"slices"
	"time"
)

// tally counts how a service fared in a period. It is pure; times are wall ms.
type tally struct {
	from, to int64
	limit    int
	spans    []span // those that touch the period, in order
	next     *span  // the one behind them, if that begins when the period ends
	present  span   // the one that lasts
	gone     []storedAbsence
}

// add takes the spans in, in any order and some of them twice, and which of them
// is the one that lasts.
func (t *tally) add(spans []span, present span) {
	spans, t.present = slices.Clone(spans), present
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.born, b.born), cmp.Compare(a.number, b.number))
	})
	spans = slices.CompactFunc(spans, func(a, b span) bool { return a.born == b.born && a.number == b.number })
	for i, s := range spans {
		switch {
		case s.to < t.from, s.to == t.from && s.from < s.to: // before the period
		case s.from < t.to, s.from == t.to && s.from == present.to: // or it began this very millisecond
			t.spans = append(t.spans, s)
		case s.from == t.to && t.next == nil:
			t.next = &spans[i]
		}
	}
}

// lay takes the absences in, in any order and some of them twice. Only those
// count in which a heartbeat may have been lost.
func (t *tally) lay(gone []storedAbsence) {
	gone = slices.DeleteFunc(slices.Clone(gone), func(a storedAbsence) bool {
		return !a.Lost || a.From >= t.to || a.Back <= t.from || a.Back <= a.From
	})
	slices.SortFunc(gone, func(a, b storedAbsence) int { return cmp.Compare(a.From, b.From) })
	for _, a := range gone {
		if n := len(t.gone); n > 0 && a.From <= t.gone[n-1].Back {
			t.gone[n-1].Back = max(t.gone[n-1].Back, a.Back)
			continue
		}
		t.gone = append(t.gone, a)
	}
}

// absent is how much of a time was absence.
func (t *tally) absent(from, to int64) (ms int64) {
	i, _ := slices.BinarySearchFunc(t.gone, from, func(a storedAbsence, from int64) int { return cmp.Compare(a.Back, from) })
	for ; i < len(t.gone) && t.gone[i].From < to; i++ {
		ms += max(0, min(to, t.gone[i].Back)-max(from, t.gone[i].From))
	}
	return ms
}

func (t *tally) history(id ServiceID) History {
	h := History{Service: id, From: time.UnixMilli(t.from).UTC(), To: wallTime(t.to), KnownFrom: wallTime(t.to)}
	var up, down, absent int64
	end := t.from // no moment counts twice, whatever a row says of its times
	for i, s := range t.spans {
		from := min(max(s.from, end), t.to)
		to := max(from, min(s.to, t.to))
		end = to
		if i == 0 {
			h.KnownFrom = time.UnixMilli(from).UTC()
		}
		gone := t.absent(from, to)
		absent += gone
		switch s.state {
		case SpanUp:
			up += to - from - gone
		case SpanDown:
			down += to - from - gone
		}
		public := s.public()
		if s.born == t.present.born && s.number == t.present.number {
			public.To = time.Time{}
		}
		h.Spans = append(h.Spans, public)
	}
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	h.Up, h.Down, h.Absent = ms(up), ms(down), ms(absent)
	h.Unknown = ms(t.to - t.from - up - down - absent)
	for _, a := range t.gone {
		h.Absences = append(h.Absences, Absence{From: wallTime(a.From), To: wallTime(a.Back)})
	}
	t.incidents(&h)
	h.Spans = latest(h.Spans, t.limit, &h.Truncated)
	h.Absences = latest(h.Absences, t.limit, &h.Truncated)
	h.Incidents = latest(h.Incidents, t.limit, &h.Truncated)
	return h
}

// incidents finds the incidents in the spans: one is over when a span follows
// that does not belong to it.
func (t *tally) incidents(h *History) {
	var recovery time.Duration
	var open *PastIncident
	var began, ended int64
	close := func(at int64, ended bool) {
		if open == nil {
			return
		}
		open.Duration = time.Duration(at-began) * time.Millisecond
		if ended {
			open.EndedAt = wallTime(at)
			h.Recovered++
			recovery += open.Duration
		}
		h.Incidents = append(h.Incidents, *open)
		open = nil
	}
	for _, s := range t.spans {
		if open != nil && (s.incident == nil || s.incident.id != open.ID) {
			close(ended, true)
		}
		ended = s.to
		if s.incident == nil {
			continue
		}
		if open == nil {
			began = s.incident.startedAt
			open = &PastIncident{ID: s.incident.id, StartedAt: wallTime(began), Worst: s.status, Cause: s.incident.cause}
		}
		if s.status.rank() < open.Worst.rank() {
			open.Worst = s.status
		}
	}
	if n := len(t.spans); n > 0 {
		// One that ends before the period does, with nothing behind it, ended with
		// the service.
		last := t.spans[n-1]
		lasts := last.born == t.present.born && last.number == t.present.number
		over := !lasts && ended <= t.to && t.next == nil || t.next != nil && (t.next.incident == nil || open != nil && t.next.incident.id != open.ID)
		close(min(ended, t.to), over)
	}
	h.IncidentCount = len(h.Incidents)
	if h.Recovered > 0 {
		h.MeanTimeToRecovery = (recovery / time.Duration(h.Recovered)).Truncate(time.Millisecond)
	}
}

// latest cuts a list to its newest entries, and says so.
func latest[T any](list []T, limit int, truncated *bool) []T {
	if len(list) <= limit {
		return list
	}
	*truncated = true
	return list[len(list)-limit:]
}

package laneswap

import (
	"sync/atomic"
	"time"
)

// span is a run of one kind of status that is over.
type span struct {
	born     int64  // of the record that it belongs to
	number   uint64 // of the transition that began it; 0 for the first run
	state    SpanState
	status   Status
	from, to int64 // wall ms
	beats    uint64
	gap      int64 // ns
	message  string
	incident *incident // that it belonged to, or nil
}

// endRun notes that a run of status is over: the present one began when it
// ended. mu is held.
func (r *record) endRun(over span) {
	over.to = max(r.since, over.from)
	r.runs = append(r.runs, over)
	r.side = r.spanState()
	r.runBeats += over.beats
	r.cell.gap.Store(0)
}

// run is the present run of status, as if it ended at the wall ms. mu is held.
func (r *record) run(ms int64) span {
	return span{
		born: r.born, number: r.transitions, state: r.side, status: r.status, from: r.since, to: max(ms, r.since),
		beats: max(r.cell.beats.Load(), r.runBeats) - r.runBeats, gap: r.cell.gap.Load(), message: r.message, incident: r.incident,
	}
}

// spanState is on which side the present status counts. A run keeps the side that
// it began with, whatever is registered later. mu is held.
func (r *record) spanState() SpanState {
	switch {
	case r.bad(r.status):
		return SpanDown
	case r.status.Good():
		return SpanUp
	}
	return SpanUnknown
}

// widen remembers the longest gap between two heartbeats.
func widen(longest *atomic.Int64, gap int64) {
	for {
		prev := longest.Load()
		if prev >= gap || longest.CompareAndSwap(prev, gap) {
			return
		}
	}
}

// public is the span as people see it.
func (s span) public() Span {
	out := Span{
		State: s.state, Status: s.status, From: wallTime(s.from), To: wallTime(s.to), Beats: s.beats,
		LongestGap: time.Duration(s.gap).Truncate(time.Millisecond), Message: s.message,
	}
	if s.incident != nil {
		out.Incident = s.incident.id
	}
	return out
}

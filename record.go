package laneswap

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// record is what the Manager knows of one service. The cell is for beats; all
// else is guarded by mu, except slot, which is the agenda's.
type record struct {
	cell   *cell
	id     ServiceID
	slot   int           // place in the agenda, -1 when in none
	seen   atomic.Int64  // mono: the beat of which the storage was told
	ticket atomic.Uint64 // of what was last saved of it that somebody may wait for

	mu       sync.Mutex
	reg      Registration // as last registered; Metadata stays nil here
	made     bool         // the id was made up
	created  int64        // wall ms
	born     int64        // created, but no two records have the same: part of event ids
	metadata map[string]any
	message  string
	reported Status
	status   Status
	since    int64 // wall ms: when the present run of status began
	stamped  int64 // wall ms: the latest time recorded for this service; never goes back

	armed   bool  // a heartbeat is expected: false after a goodbye or other final words
	armedAt int64 // mono: silence counts from here when no beat is newer
	judged  int64 // mono: the beat whose silence was found to be too long
	claimed int64 // mono: until then a take-over is being made good; 0 for none
	endedAt int64 // mono: when it ended; what is forgotten counts from here
	gone    fate
	heir    *record // of a forgotten record: the one that a handle registered in its place

	turned  side   // whether it is good or bad, and since when
	awaited uint64 // how many heartbeats its notices wait for; 0 for none

	transitions, incidents uint64
	incident               *incident
	events                 []*Event // the latest, oldest first
	spoke                  *speech  // beats that said something; made when one does

	side     SpanState           // of the present run of status
	runBeats uint64              // beats when the present run of status began
	runs     []span              // those that are over, until they are written down
	past     *shelf[span]        // without a storage: those that were; made with the first
	log      *shelf[ErrorRecord] // without a storage: reported errors; made with the first
	oldest   uint64              // the number of the oldest reported error that may be stored
	errors   uint64              // how many were reported

	held     []held // what was heard of it while the storage was away at the start; see limbo
	limbo    bool   // the storage has not been read: what it knows of the service is to come
	unsaid   bool   // a heartbeat said something since the state was saved
	unkept   bool   // what it said was not saved
	noted    uint64 // beats when the state was saved
	foreign  bool   // another program's, silent for long when it was taken over
	recallAt int64  // mono: events are not read again before it
	recalled bool   // events holds all that there are, up to their number
}

const keptMessage = 512 // bytes of a message that the latest events of a service keep

// fate is whether a record is still the service's.
type fate uint8

const (
	alive fate = iota
	removed
	forgotten
)

// incident is an open one.
type incident struct {
	id          string
	start       int64 // mono
	startedAt   int64 // wall ms
	silentSince int64 // wall ms; 0 when it did not begin with silence
	cause       string
}

// bad and good judge a status as this service means it: a service that must
// run may not say goodbye. mu is held.
func (r *record) bad(s Status) bool {
	return s.Bad() || s == StatusShutdown && r.reg.MustRun
}

func (r *record) good(s Status) bool { return s.Good() && !r.bad(s) }

// tags are those of its events; they are shared. mu is held.
func (r *record) tags() []string {
	if len(r.reg.Tags) == 0 {
		return nil
	}
	return r.reg.Tags
}

// quiet reports whether an empty beat would change nothing but the cell.
// mu is held.
func (r *record) quiet() bool {
	return r.gone == alive && r.reported == StatusHealthy && r.status == StatusHealthy && r.message == "" && r.armed && r.awaited == 0
}

// ended reports whether nothing more is expected of the service: it is stale, or
// has said goodbye or other final words. mu is held.
func (r *record) ended() bool {
	return r.status == StatusStale || r.status == StatusShutdown || !r.armed
}

// stamp turns wall ns into the ms that are recorded; they never go back for one
// service. mu is held.
func (r *record) stamp(wall int64) int64 {
	r.stamped = max(r.stamped, wall/int64(time.Millisecond))
	return r.stamped
}

func (r *record) incidentID(number uint64) string {
	// The birth of the record keeps the ids apart from those of a service that
	// was removed and registered again under the same id.
	return string(r.id) + "/" + strconv.FormatInt(r.born, 36) + "-" + strconv.FormatUint(number, 10)
}

// keep adds an event, numbered by the journal, to the latest ones. Its message
// is cut, so that ten of them for every service stay small. mu is held.
func (r *record) keep(ev *Event) {
	if len(ev.Message) > keptMessage {
		short := *ev
		short.Message = strings.Clone(cutBytes(ev.Message, keptMessage))
		ev = &short
	}
	if len(r.events) >= maxStatusEvts {
		r.events = slices.Delete(r.events, 0, len(r.events)-maxStatusEvts+1)
	}
	r.events = append(r.events, ev)
}

// snapshot is the record as people see it. mu is held; whoever holds it has
// let the judge look first.
func (r *record) snapshot(j *judge, now instant, events int) ServiceStatus {
	last := r.cell.last.Load()
	st := ServiceStatus{
		ID: r.id, Name: r.reg.Name, Status: r.status, ReportedStatus: r.reported, Message: r.message,
		Metadata: cloneMap(r.metadata), Tags: slices.Clone(r.reg.Tags),
		CreatedAt: wallTime(r.created), Since: wallTime(r.since),
		Interval: r.reg.Interval, Beats: r.cell.beats.Load(), AlertAfter: r.reg.AlertAfter, RecoverAfter: r.reg.RecoverAfter,
	}
	if st.Beats > 0 {
		st.LastHeartbeat = wallTime(j.absences.Wall(last) / int64(time.Millisecond))
	}
	if window := r.cell.window.Load(); window != noDeadline {
		st.Window = time.Duration(window)
		if deadline := j.due(r); deadline != noDeadline && r.status != StatusStale {
			st.Deadline = wallTime(j.absences.Wall(deadline) / int64(time.Millisecond))
			interval := int64(r.reg.Interval)
			st.Late = interval > 0 && now.Mono-max(last, r.armedAt) > interval+interval/2
		}
	}
	if i := r.incident; i != nil {
		st.Incident = &Incident{ID: i.id, StartedAt: wallTime(i.startedAt), SilentSince: wallTime(i.silentSince), Cause: i.cause}
	}
	for _, ev := range r.events[max(0, len(r.events)-events):] {
		st.Events = append(st.Events, *ev)
	}
	return st
}

// wallTime is the time of wall milliseconds; 0 is the zero time.
func wallTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// cloneMap copies what the cleaner made: maps, slices and scalars.
func cloneMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	return cloneValue(m).(map[string]any)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = cloneValue(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloneValue(e)
		}
		return out
	}
	return v
}

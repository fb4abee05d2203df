package durabilitytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/laneswap/laneswap"
)

// service is what a client knows of one service. One worker uses it during Work, and
// Check between.
type service struct {
	id laneswap.ServiceID
	// states are the states that the server may have after a kill, in the order of the
	// operations. The first is durable, each of the others follows from the one before.
	states   []state
	first    int // the number of the operation that led to the first
	events   []transition
	errors   []laneswap.ErrorRecord // the id is empty without an answer
	compared int                    // number of events that were compared
	orphans  int                    // incidents of creations of which only the event was stored
	frozen   bool                   // an answer is missing: no operation until Check
	asked    int                    // the run of the server with the latest operation; 0 for none
}

func newService(id laneswap.ServiceID) *service {
	return &service{id: id, states: []state{{}}}
}

func (a *service) now() state { return a.states[len(a.states)-1] }

// op returns the number of the latest operation.
func (a *service) op() int { return a.first + len(a.states) - 1 }

// note adds the state after an operation. durable tells that the acknowledgement
// makes the operation durable, and not only those before it.
func (a *service) note(next state, tr *transition, durable bool) {
	if tr != nil {
		a.events = append(a.events, *tr)
	}
	next.lastDurable = a.now().lastDurable
	if durable {
		next.lastDurable = a.op() + 1
	}
	a.states = append(a.states, next)
}

// forget removes the operations behind a number: they did not happen.
func (a *service) forget(op int) {
	a.states = a.states[:op-a.first+1]
	a.events = a.events[:a.now().events]
	a.errors = a.errors[:a.now().errors]
}

// answered records the answer to the latest operation in a life of the server.
func (a *service) answered(st *laneswap.ServiceStatus, life int) {
	s := &a.states[len(a.states)-1]
	s.answered = life
	if st != nil {
		s.learn(*st)
	}
}

// durable records that the answer to the latest operation was durable.
func (a *service) durable() {
	lastDurable := a.now().lastDurable
	if lastDurable > a.first {
		a.states = slices.Clone(a.states[lastDurable-a.first:])
		a.first = lastDurable
	}
}

// found is the state of a service on the server.
type found struct {
	status *laneswap.ServiceStatus // nil when there is none
	events []laneswap.Event        // that were not compared yet
	errors []laneswap.ErrorRecord  // the newest errorsLooked, newest first
}

// errorsLooked is the number of the newest errors that are compared.
const errorsLooked = 20

// compare finds the state that the server has. Operations that were answered in the
// present life of the server must be in it. restored tells that the server has read it
// from its storage; torn that the storage has no transactions. The error describes what
// was lost.
func (a *service) compare(f found, life int, restored, torn bool) error {
	from := 0
	for i, s := range a.states {
		if s.answered == life {
			from = i
		}
	}
	var why []string
	for i := len(a.states) - 1; i >= from; i-- {
		s := a.states[i]
		orphans := 0
		if torn && restored && !s.present {
			// Of a new service without an acknowledgement only the event may be stored.
			known := s.events
			s.events = max(known, min(len(a.events), a.compared+len(f.events)))
			orphans = downs(a.events[known:s.events])
		}
		if restored && s.beats == 0 && f.status != nil && f.status.Beats == 1 && a.beaten(i) {
			// The time of a heartbeat is stored within a second, its status only when it
			// changes: the server knows of one heartbeat of a state without any.
			s.beats = 1
		}
		if problem := a.differs(s, f); problem != "" {
			why = append(why, fmt.Sprintf("    operation %d (answered: %v): %s", a.first+i, s.answered > 0, problem))
			continue
		}
		a.states[i] = s
		a.forget(a.first + i)
		s.answered = life
		if f.status != nil {
			s.learn(*f.status)
		}
		if restored {
			a.states, a.first = a.states[i:], a.first+i
			s.lastDurable, i = a.first, 0
		}
		a.states[i] = s
		a.compared, a.frozen = s.events, false
		a.orphans += orphans
		return nil
	}
	slices.Reverse(why)
	return fmt.Errorf("%s: the state of the server follows from none of the operations up to %d, the first of which was acknowledged as durable:\n%s",
		a.id, a.op(), strings.Join(why, "\n"))
}

// beaten reports whether the service beat in its present life after the i-th
// state.
func (a *service) beaten(i int) bool {
	for _, s := range a.states[i+1:] {
		if !s.present {
			return false
		}
		if s.beats > 0 {
			return true
		}
	}
	return false
}

// downs counts the incidents that events open.
func downs(events []transition) (n int) {
	for _, tr := range events {
		if tr.kind == laneswap.EventDown {
			n++
		}
	}
	return n
}

// differs returns how the found differs from the state, "" when it does not.
func (a *service) differs(s state, f found) string {
	if problem := s.differs(f.status); problem != "" {
		return problem
	}
	if problem := differ(a.events[a.compared:max(a.compared, s.events)], f.events); problem != "" {
		return problem
	}
	if f.status == nil {
		return ""
	}
	return sameErrors(a.errors[s.oldest:s.errors], f.errors, errorsLooked)
}

// differ compares events.
func differ(want []transition, got []laneswap.Event) string {
	for i, ev := range got {
		if i >= len(want) {
			return fmt.Sprintf("event %s (sequence %d) is one too many: %+v", ev.ID, ev.Sequence, of(ev))
		}
		if of(ev) != want[i] {
			return fmt.Sprintf("event %s (sequence %d) is %+v, want %+v", ev.ID, ev.Sequence, of(ev), want[i])
		}
	}
	if len(got) < len(want) {
		return fmt.Sprintf("%d events are missing, the first of them %+v", len(want)-len(got), want[len(got)])
	}
	return ""
}

// sameErrors compares the newest errors, at most n of them, with the reported ones
// since the service was last created.
func sameErrors(want, got []laneswap.ErrorRecord, n int) string {
	for i := range min(n, len(want)) {
		w := want[len(want)-1-i]
		if i >= len(got) {
			return fmt.Sprintf("the error %q is missing", w.Message)
		}
		g := got[i]
		if g.Message != w.Message || g.Type != w.Type || g.Stack != w.Stack || w.ID != "" && w.ID != g.ID {
			return fmt.Sprintf("the newest error but %d is %s %q, want %s %q", i, g.ID, g.Message, w.ID, w.Message)
		}
	}
	if len(got) > len(want) && len(want) < n && mentions(want, got[len(want)].Message) {
		return fmt.Sprintf("the error %q is there twice", got[len(want)].Message)
	}
	return ""
}

func mentions(recs []laneswap.ErrorRecord, message string) bool {
	return slices.ContainsFunc(recs, func(r laneswap.ErrorRecord) bool { return r.Message == message })
}

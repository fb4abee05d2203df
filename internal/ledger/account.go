package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/laneswap/laneswap"
)

// account is what is known of one service. It belongs to one worker while there
// is work, and to the comparison while there is none.
type account struct {
	id laneswap.ServiceID
	// standings are those that may be found after a kill, in the order of the
	// operations: the first is durable, each of the others follows from the one
	// before.
	standings []standing
	first     int // the number of the operation that led to the first
	events    []transition
	errors    []laneswap.ErrorRecord // the id is empty where no answer came
	compared  int                    // so many of the events were found already
	orphans   int                    // incidents of which a torn creation has left the event alone
	frozen    bool                   // an answer is missing; it rests until it was compared
	asked     int                    // in which run of the server; 0 for never
}

func newAccount(id laneswap.ServiceID) *account {
	return &account{id: id, standings: []standing{{}}}
}

func (a *account) now() standing { return a.standings[len(a.standings)-1] }

// op is the number of the latest operation.
func (a *account) op() int { return a.first + len(a.standings) - 1 }

// note adds the standing that an operation leads to. vital says that its
// acknowledgement makes it durable, and not only what was before it.
func (a *account) note(next standing, tr *transition, vital bool) {
	if tr != nil {
		a.events = append(a.events, *tr)
	}
	next.vital = a.now().vital
	if vital {
		next.vital = a.op() + 1
	}
	a.standings = append(a.standings, next)
}

// forget takes back the operations behind a number: they did not happen.
func (a *account) forget(op int) {
	a.standings = a.standings[:op-a.first+1]
	a.events = a.events[:a.now().events]
	a.errors = a.errors[:a.now().errors]
}

// answered says that the latest operation has happened in a life of the server, and
// learns from what was said about it.
func (a *account) answered(st *laneswap.ServiceStatus, life int) {
	s := &a.standings[len(a.standings)-1]
	s.answered = life
	if st != nil {
		s.learn(*st)
	}
}

// durable says that the answer to the latest operation did not say that it is
// not: what it acknowledged is there whatever happens.
func (a *account) durable() {
	vital := a.now().vital
	if vital > a.first {
		a.standings = slices.Clone(a.standings[vital-a.first:])
		a.first = vital
	}
}

// found is what the server says of a service.
type found struct {
	status *laneswap.ServiceStatus // nil when there is none
	events []laneswap.Event        // behind those that were compared before
	errors []laneswap.ErrorRecord  // the newest errorsLooked, newest first
}

// errorsLooked is how many of the newest errors are compared each time.
const errorsLooked = 20

// compare finds out which of the standings is the server's. What was answered in
// the present life of the server must be there. restored says that the server has
// it from its storage, where it will be found again; torn that this has no
// transactions. The error says what was lost.
func (a *account) compare(f found, life int, restored, torn bool) error {
	from := 0
	for i, s := range a.standings {
		if s.answered == life {
			from = i
		}
	}
	var why []string
	for i := len(a.standings) - 1; i >= from; i-- {
		s := a.standings[i]
		orphans := 0
		if torn && restored && !s.present {
			// A new service that nobody acknowledged may have left its event alone.
			known := s.events
			s.events = max(known, min(len(a.events), a.compared+len(f.events)))
			orphans = downs(a.events[known:s.events])
		}
		if restored && s.beats == 0 && f.status != nil && f.status.Beats == 1 && a.beaten(i) {
			// When a service was heard is stored within a second, what it said only then
			// when it matters: of a state without beats one is known.
			s.beats = 1
		}
		if problem := a.differs(s, f); problem != "" {
			why = append(why, fmt.Sprintf("    operation %d (answered: %v): %s", a.first+i, s.answered > 0, problem))
			continue
		}
		a.standings[i] = s
		a.forget(a.first + i)
		s.answered = life
		if f.status != nil {
			s.learn(*f.status)
		}
		if restored {
			a.standings, a.first = a.standings[i:], a.first+i
			s.vital, i = a.first, 0
		}
		a.standings[i] = s
		a.compared, a.frozen = s.events, false
		a.orphans += orphans
		return nil
	}
	slices.Reverse(why)
	return fmt.Errorf("%s: what is found follows from none of the operations up to %d, the first of which was acknowledged as durable:\n%s",
		a.id, a.op(), strings.Join(why, "\n"))
}

// beaten reports whether the service beat in its present life after the i-th
// standing.
func (a *account) beaten(i int) bool {
	for _, s := range a.standings[i+1:] {
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

// differs says in what the found is not the standing.
func (a *account) differs(s standing, f found) string {
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

// sameErrors compares the newest errors, at most n of them, with what was
// reported; what is older than the present life does not matter.
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

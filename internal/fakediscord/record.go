package fakediscord

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Request is one that came.
type Request struct {
	// Number counts the requests, from 1.
	Number int
	At     time.Time
	Method string
	// Path has neither host nor query; Wait and Thread are what of the query matters.
	Path   string
	Wait   bool
	Thread string
	Header http.Header
	// Webhook is the id of the webhook that it was for.
	Webhook string
	// Body is the JSON of the message, also when it came with files.
	Body    []byte
	Payload Payload
	Files   []File
	// Early says that a delay which had been announced was still running.
	Early bool
	// Status is the answer's, 0 while there is none, and when there was none. Of one
	// that hangs after its header it is what the header says.
	Status int

	shared bool // the limit that it met was of the channel
}

// Message is one that was taken.
type Message struct {
	ID      string
	Webhook string // the id of the webhook
	Channel string
	Thread  string
	// Request is the number of the request that brought it.
	Request int
	At      time.Time
	// Edits counts the edits; Payload and Files are as they were left by the last.
	Edits   int
	Payload Payload
	Files   []File
}

// Rule is what a violation is of.
type Rule string

// The rules.
const (
	RulePayload  Rule = "payload"  // A message that Discord would refuse, or that LaneSwap must not send.
	RuleDelay    Rule = "delay"    // A request while an announced delay ran.
	RuleProtocol Rule = "protocol" // A request of a kind that no client makes.
)

// Violation is something that a client must not do.
type Violation struct {
	Rule    Rule
	Request int // its number
	Text    string
}

func (v Violation) String() string {
	return fmt.Sprintf("request %d: %s: %s", v.Request, v.Rule, v.Text)
}

// Requests returns all requests, in the order in which they came.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Messages returns the messages that were taken, in order, as they stand now.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Violations returns what clients did wrong, of the given rules or of all.
func (s *Server) Violations(rules ...Rule) []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Violation
	for _, v := range s.violations {
		if len(rules) == 0 || slices.Contains(rules, v.Rule) {
			out = append(out, v)
		}
	}
	return out
}

// Invalid returns the greatest number of answers 401, 403 and 429 within ten
// minutes; those of a channel's limit do not count. Discord bans an address at
// 10,000.
func (s *Server) Invalid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Time
	most := 0
	for _, r := range s.requests {
		if r.shared || r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden && r.Status != http.StatusTooManyRequests {
			continue
		}
		times = append(times, r.At)
		for r.At.Sub(times[0]) >= 10*time.Minute {
			times = times[1:]
		}
		most = max(most, len(times))
	}
	return most
}

// blame notes a violation; mu is held.
func (s *Server) blame(rule Rule, request int, format string, args ...any) {
	s.violations = append(s.violations, Violation{rule, request, fmt.Sprintf(format, args...)})
}
